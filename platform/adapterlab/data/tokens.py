"""Rows to token ids, with the backbone's own fast tokenizer.

The tokenizer's file may hold padding and truncation of its author's; both are ours to decide: no
padding, truncation longest part first, special tokens counted in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from adapterlab.backbones.facts import TOKENIZER_FILE
from adapterlab.data.row_reading import Rows
from adapterlab.errors import BackboneError, DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

_CHUNK_ROWS = 1024
"""Rows encoded at once: enough to keep every core busy, little enough to hold."""


def load_tokenizer(folder: Path, max_length: int, *, truncate: str = "longest_first") -> Tokenizer:
    """Return the fast tokenizer of a model folder, set to cut rows at ``max_length`` tokens.

    Args:
        folder: Model folder.
        max_length: Most tokens of a row, special tokens included.
        truncate: Which text of a pair is cut: ``"longest_first"``, ``"only_first"``, ``"only_second"``.

    Raises:
        BackboneError: The tokenizer cannot be read.
    """
    try:
        tokenizer = _read(folder)
    except Exception as error:  # the Rust side raises nothing more precise
        raise BackboneError(
            f"{folder}: its tokenizer cannot be read ({error})", remedy="Fetch the model again."
        ) from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length, strategy=truncate)
    return tokenizer


def _read(folder: Path) -> Tokenizer:
    if (folder / TOKENIZER_FILE).is_file():
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(folder / TOKENIZER_FILE))
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(
        str(folder), use_fast=True, trust_remote_code=False, local_files_only=True
    )
    tokenizer: Tokenizer = loaded.backend_tokenizer
    return tokenizer


def encode(
    tokenizer: Tokenizer, rows: Rows, *, segments: bool
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
    """Return flat token ids and segment ids, both (total tokens,), and row offsets, (N + 1,).

    Args:
        tokenizer: From :func:`load_tokenizer`.
        rows: N sequences of one or two texts.
        segments: Keep the tokenizer's segment ids; else all are 0.
    """
    import numpy as np

    parts = list(encoded(tokenizer, rows.texts, segments=segments))
    ids, types, lengths = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return ids, types, offsets


def encoded(
    tokenizer: Tokenizer, texts: Iterable[tuple[str, ...]], *, segments: bool
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]]:
    """Yield token ids, segment ids, both (tokens,), and lengths, (sequences,), some sequences at a time.

    Args:
        tokenizer: From :func:`load_tokenizer`.
        texts: Sequences of one or two texts.
        segments: Keep the tokenizer's segment ids; else all are 0.
    """
    import numpy as np

    stream = iter(texts)
    while chunk := list(islice(stream, _CHUNK_ROWS)):
        inputs = [text[0] if len(text) == 1 else text for text in chunk]
        try:
            encodings = tokenizer.encode_batch_fast(inputs, add_special_tokens=True)
        except Exception as error:  # noqa: BLE001 - the Rust side raises nothing more precise
            raise DataError(
                f"a row cannot be cut to the longest length: {error}",
                remedy='Raise data.max_length, or let the longest text be cut (truncate = "longest_first").',
            ) from None
        ids = np.asarray([token for encoding in encodings for token in encoding.ids], dtype=np.int32)
        types = np.asarray([kind for encoding in encodings for kind in encoding.type_ids], dtype=np.int32)
        lengths = np.asarray([len(encoding.ids) for encoding in encodings], dtype=np.int64)
        yield ids, types if segments else np.zeros_like(types), lengths
