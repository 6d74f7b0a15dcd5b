"""Checks of a batch as transformers' models take it, before a wrong id becomes a strange crash."""

from __future__ import annotations

import torch
from torch import Tensor

from adapterlab.plugin import DataError


def check_ids(name: str, ids: Tensor, like: Tensor, count: int) -> None:
    """Check that ids are whole numbers in [0, count), shaped (B, S) like ``like``.

    Raises:
        DataError: They are not.
    """
    if ids.dim() != 2 or ids.shape != like.shape or ids.is_floating_point() or ids.dtype is torch.bool:
        wanted = "(batch, tokens)" if ids is like else str(tuple(like.shape))
        raise DataError(
            f"{name}: expected whole numbers of shape {wanted}, got {ids.dtype} of {tuple(ids.shape)}"
        )
    if ids.numel() and not (int(ids.min()) >= 0 and int(ids.max()) < count):
        raise DataError(
            f"{name}: values from {int(ids.min())} to {int(ids.max())}, expected 0 to {count - 1}",
            remedy="Use this backbone's own tokenizer.",
        )


def positions(ids: Tensor, pad_token_id: int | None) -> Tensor:
    """Return position ids, (B, S): columns, or from ``pad_token_id + 1`` over what is not padding."""
    if pad_token_id is None:
        return torch.arange(ids.shape[1], device=ids.device).expand(ids.shape)
    real = ids != pad_token_id
    return torch.where(real, real.cumsum(1), 0) + pad_token_id


def check_positions(found: Tensor, count: int, longest: int) -> None:
    """Check that every position has a row in the table of ``count``.

    Raises:
        DataError: A row has more than ``longest`` tokens.
    """
    if found.numel() and int(found.max()) >= count:
        raise DataError(
            f"rows of {found.shape[1]} tokens, the backbone takes {longest}",
            remedy=f"Cut them: tokenizer(..., truncation=True, max_length={longest}).",
        )


def as_mask(attention_mask: Tensor | None, ids: Tensor) -> Tensor | None:
    """Return a (B, S) mask of truth values; ``None`` where every token may be looked at.

    Raises:
        DataError: It has another shape, values other than 0 and 1, or a row without any 1.
    """
    if attention_mask is None:
        return None
    mask = attention_mask.to(ids.device)
    if mask.shape != ids.shape:
        raise DataError(f"attention_mask: expected shape {tuple(ids.shape)}, got {tuple(mask.shape)}")
    kept = mask != 0
    if not bool((kept.to(mask.dtype) == mask).all()):
        raise DataError("attention_mask: expected 0 and 1 only", remedy="Pass the tokenizer's own mask.")
    if bool(kept.all()):
        return None
    empty = (~kept.any(1)).nonzero().flatten().tolist()
    if empty:
        raise DataError(
            f"attention_mask: row {empty[0]} has no token to look at",
            remedy="Leave empty rows out; a softmax over nothing has no value.",
        )
    return kept
