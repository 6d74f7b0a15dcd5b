"""Rows to token ids, with the backbone's own fast tokenizer.

The tokenizer's file may hold padding and truncation of its author's; both are ours to decide: no
padding, truncation longest part first, special tokens counted in.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from adapterlab.data.backbone import TOKENIZER_FILE, read_config
from adapterlab.data.read import Rows
from adapterlab.errors import BackboneError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

_CHUNK_ROWS = 1024
"""Rows encoded at once: enough to keep every core busy, little enough to hold."""


def has_segments(folder: Path) -> bool:
    """Return whether the backbone tells two segments apart (RoBERTa has one kind of segment only)."""
    return int(read_config(folder).get("type_vocab_size") or 1) > 1


def longest_input(folder: Path) -> int | None:
    """Return the most tokens a row may have, or ``None`` if the config does not say.

    RoBERTa numbers positions from ``pad_token_id + 1``, so that many fewer are left.
    """
    config = read_config(folder)
    positions = config.get("max_position_embeddings")
    if not isinstance(positions, int) or positions < 1:
        return None
    offset = 0 if config.get("model_type") == "bert" else int(config.get("pad_token_id") or 0) + 1
    return positions - offset


def load_tokenizer(folder: Path, max_length: int) -> Tokenizer:
    """Return the fast tokenizer of a model folder, set to cut rows at ``max_length`` tokens.

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
    tokenizer.enable_truncation(max_length, strategy="longest_first")
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
        rows: N rows of one or two sequences.
        segments: Keep the tokenizer's segment ids; else all are 0.
    """
    import numpy as np

    ids: list[NDArray[np.int32]] = []
    types: list[NDArray[np.int32]] = []
    lengths: list[int] = []
    for start in range(0, len(rows), _CHUNK_ROWS):
        chunk = rows.texts[start : start + _CHUNK_ROWS]
        inputs = [text[0] if len(text) == 1 else text for text in chunk]
        encodings = tokenizer.encode_batch_fast(inputs, add_special_tokens=True)
        lengths += [len(encoding.ids) for encoding in encodings]
        ids.append(np.asarray([token for encoding in encodings for token in encoding.ids], dtype=np.int32))
        types.append(
            np.asarray([kind for encoding in encodings for kind in encoding.type_ids], dtype=np.int32)
        )
    token_ids, type_ids = np.concatenate(ids), np.concatenate(types)
    offsets = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return token_ids, type_ids if segments else np.zeros_like(type_ids), offsets
