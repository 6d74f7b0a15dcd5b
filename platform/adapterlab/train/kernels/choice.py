"""Which code computes the fused operations on a device: Triton's kernels where they are there and right, or plain torch.

On a card each operation is tried on a few rows before it is first used, in the precision and at the width it is used in:
a compiler, a driver and a card that nobody has tried together are no reason to train on wrong numbers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cache, partial
from types import ModuleType

import torch
from torch import Tensor

from adapterlab.train.capacity import is_out_of_memory
from adapterlab.train.counters import SiteWords, levels
from adapterlab.train.kernels import plain
from adapterlab.train.kernels.arguments import Attended, Drawn, Moments, Stepped

_LOG = logging.getLogger(__name__)
_LENGTHS = 5, 130, 1, 64
"""Tokens of the sequences that kernels are tried on, in several blocks and in parts of one."""
_HEADS, _WIDTH = 2, 100
_DROPPED = levels(0.1)
_SITE = SiteWords(3, 1 << 30)
_TOLERANCES = {torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 5e-2}
"""Of numbers around 1, absolute and relative, by precision; others are computed by plain torch."""

Check = Callable[[ModuleType], bool]
"""Whether some code computes what plain torch does."""


def code_for_masks(device: torch.device) -> ModuleType:
    """Return what draws masks on a device."""
    return plain if device.type != "cuda" else _code("masks", device, torch.uint8, 0)


def code_for_rows(x: Tensor) -> ModuleType:
    """Return what drops entries of rows like ``x``, and lays rows apart."""
    return _code("rows", x.device, x.dtype, 0) if _has_kernels(x) else plain


def code_for_attention(q: Tensor, heads: int) -> ModuleType:
    """Return what computes attention of so many heads on queries like ``q``, (Q, H·e)."""
    return _code("attention", q.device, q.dtype, q.shape[1] // heads) if _has_kernels(q) else plain


def code_for_step(tensors: Sequence[Tensor]) -> ModuleType:
    """Return what takes an optimizer's step for tensors of one device."""
    card = tensors[0].device
    known = card.type == "cuda" and all(one.dtype is torch.float32 and one.is_contiguous() for one in tensors)
    return _code("AdamW", card, torch.float32, 0) if known else plain


def _has_kernels(x: Tensor) -> bool:
    return x.device.type == "cuda" and x.dtype in _TOLERANCES


@cache
def _code(name: str, card: torch.device, dtype: torch.dtype, width: int) -> ModuleType:
    """Return Triton's kernels if they can be used for an operation on a card, else plain torch, and say so."""
    try:
        from adapterlab.train.kernels import with_triton

        right = checks(card, dtype, width)[name](with_triton)
    except Exception as error:
        if is_out_of_memory(error):
            raise
        why = f"{type(error).__name__}: {(str(error).strip() or 'no reason given').splitlines()[0]}"
    else:
        if right:
            return with_triton
        why = "what they compute differs"
    _LOG.warning(
        "Triton's kernels for %s cannot be used on %s: %s; plain torch computes the same, slower",
        name,
        torch.cuda.get_device_name(card),
        why,
    )
    return plain


def checks(device: torch.device, dtype: torch.dtype, width: int) -> dict[str, Check]:
    """Return what tells, by operation, whether some code computes it as plain torch does.

    Args:
        device: Where it is tried.
        dtype: In which precision, 32 or 16 bits.
        width: Of a head.
    """
    return {
        "masks": partial(_same_masks, device),
        "rows": partial(_same_rows, device, dtype),
        "attention": partial(_same_attention, device, dtype, width),
        "AdamW": partial(_same_step, device),
    }


def _keys(device: torch.device) -> Tensor:
    return torch.tensor([11, (1 << 62) + 5], device=device)


def _lanes(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the lanes of the sequences and their places in them."""
    return torch.tensor([0, 0, 1, 1], device=device), torch.tensor([0, 1, 0, 1], device=device)


def _rows(count: int, width: int, device: torch.device, dtype: torch.dtype, seed: int) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed)).to(device, dtype)


def _same_masks(device: torch.device, code: ModuleType) -> bool:
    dropped = torch.tensor([_DROPPED, 1 << 15], dtype=torch.int32, device=device)
    masks = [one.keep(_keys(device), [3000, 1], dropped, _SITE) for one in (code, plain)]
    return torch.equal(*masks)


def _same_rows(device: torch.device, dtype: torch.dtype, code: ModuleType) -> bool:
    lengths, rows = torch.tensor(_LENGTHS, device=device), sum(_LENGTHS)
    lanes = _lanes(device)[0].repeat_interleave(lengths)
    drawn = Drawn(_keys(device), lanes, torch.arange(rows, device=device), _SITE, _DROPPED)
    x, residual = (_rows(rows, _WIDTH, device, dtype, seed) for seed in range(2))
    cells = torch.tensor([3, -1, 0, rows - 1], device=device)
    if not _near(*(one.lay(x, cells) for one in (code, plain))):
        return False
    return all(_near(*(one.drop(x, added, drawn) for one in (code, plain))) for added in (residual, None))


def _same_attention(device: torch.device, dtype: torch.dtype, width: int, code: ModuleType) -> bool:
    lengths = torch.tensor(_LENGTHS, device=device)
    drawn = Drawn(_keys(device), *_lanes(device), _SITE, _DROPPED)
    at = Attended(lengths.cumsum(0) - lengths, lengths, max(_LENGTHS), _HEADS, drawn)
    q, k, v, gradient = (_rows(sum(_LENGTHS), _HEADS * width, device, dtype, seed) for seed in range(4))
    for looking in (slice(None), slice(len(_LENGTHS))):  # all rows, and one a sequence
        found = []
        for one in (code, plain):
            forward = one.attend(q[looking], k, v, at)
            backward = one.attend_backward(gradient[looking], q[looking], k, v, *forward, at)
            found.append((forward[0], *backward))
        if not all(_near(got, wanted) for got, wanted in zip(*found, strict=True)):
            return False
    return True


def _same_step(device: torch.device, code: ModuleType) -> bool:
    """Two runs' tensors of several sizes, of which one has diverged."""
    stepped = Stepped([0, 1, 0], [0.99] * 3, [0.1, 0.2, 0.3], [0.5] * 3, [1e-8, 0.0, 0.0], [0.0, 1e-8, 1e-8])
    scales = torch.tensor([0.5, 0.25], device=device, dtype=torch.float64)
    diverged = torch.tensor([0.0, 1.0], device=device)
    found = []
    for one in (code, plain):
        tensors, gradients, means, squares = (
            [_rows(1, size, device, torch.float32, seed)[0] for size in (3000, 7, 1)] for seed in range(4)
        )
        squares = [square.square() for square in squares]
        one.adamw(tensors, gradients, Moments(means, squares, 0.9, 0.999), scales, diverged, stepped)
        found.append([*tensors, *means, *squares])
    return all(_near(got, wanted) for got, wanted in zip(*found, strict=True))


def _near(got: Tensor, wanted: Tensor) -> bool:
    tolerance = _TOLERANCES[got.dtype]
    return torch.allclose(got.float(), wanted.float(), rtol=tolerance, atol=tolerance)
