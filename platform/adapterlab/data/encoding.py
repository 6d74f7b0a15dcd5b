"""Rows to token ids, with the backbone's own fast tokenizer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from adapterlab.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

_CHUNK_SEQUENCES = 1024
"""Sequences encoded at once: enough to keep every core busy, little enough to hold."""


def encode(
    tokenizer: Tokenizer, texts: Iterable[tuple[str, ...]], *, segments: bool
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
    """Return flat token ids and segment ids, both (total tokens,), and sequence offsets, (M + 1,).

    Args:
        tokenizer: From :func:`~adapterlab.backbones.tokenizer.load_tokenizer`.
        texts: M sequences of one or two texts, M > 0.
        segments: Keep the tokenizer's segment ids; else all are 0.

    Raises:
        DataError: A sequence cannot be cut to the tokenizer's longest length.
    """
    import numpy as np

    chunks = list(encode_chunks(tokenizer, texts, segments=segments))
    ids, types, lengths = (np.concatenate(arrays) for arrays in zip(*chunks, strict=True))
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return ids, types, offsets


def encode_chunks(
    tokenizer: Tokenizer, texts: Iterable[tuple[str, ...]], *, segments: bool
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]]:
    """Yield token ids, segment ids, both (tokens,), and lengths, (sequences,), a chunk at a time.

    Args:
        tokenizer: From :func:`~adapterlab.backbones.tokenizer.load_tokenizer`.
        texts: Sequences of one or two texts, read as they are needed.
        segments: Keep the tokenizer's segment ids; else all are 0.

    Raises:
        DataError: A sequence cannot be cut to the tokenizer's longest length.
    """
    import numpy as np

    stream = iter(texts)
    while chunk := list(islice(stream, _CHUNK_SEQUENCES)):
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
