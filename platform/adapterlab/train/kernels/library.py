"""The fused operations as torch's dispatcher knows them: each is one on any device, as the kernel is.

torch.ops.adapterlab.drop, .keep, .lay, .attend, .attend_backward, .adamw
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from adapterlab.train.counters import SiteWords
from adapterlab.train.kernels.arguments import Attended, Drawn, Moments, Stepped
from adapterlab.train.kernels.choice import (
    code_for_attention,
    code_for_masks,
    code_for_rows,
    code_for_step,
)


def _drop(x: Tensor, residual: Tensor | None, *drawn: Any) -> Tensor:
    return code_for_rows(x).drop(x, residual, _drawn(*drawn))  # type: ignore[no-any-return]


def _keep(keys: Tensor, sizes: list[int], dropped: Tensor, first: int, second: int) -> Tensor:
    return code_for_masks(keys.device).keep(keys, sizes, dropped, SiteWords(first, second))  # type: ignore[no-any-return]


def _lay(x: Tensor, rows: Tensor) -> Tensor:
    return code_for_rows(x).lay(x, rows)  # type: ignore[no-any-return]


def _attend(q: Tensor, k: Tensor, v: Tensor, *told: Any) -> tuple[Tensor, Tensor]:
    at = _attended(*told)
    return code_for_attention(q, at.heads).attend(q, k, v, at)  # type: ignore[no-any-return]


def _attend_backward(
    gradient: Tensor, q: Tensor, k: Tensor, v: Tensor, gathered: Tensor, sums: Tensor, *told: Any
) -> tuple[Tensor, Tensor, Tensor]:
    at = _attended(*told)
    return code_for_attention(q, at.heads).attend_backward(gradient, q, k, v, gathered, sums, at)  # type: ignore[no-any-return]


def _drawn(keys: Tensor, lanes: Tensor, places: Tensor, first: int, second: int, dropped: int) -> Drawn:
    return Drawn(keys, lanes, places, SiteWords(first, second), dropped)


def _attended(
    starts: Tensor, lengths: Tensor, keys: Tensor, lanes: Tensor, places: Tensor, *told: int
) -> Attended:
    longest, heads, *where = told
    return Attended(starts, lengths, longest, heads, _drawn(keys, lanes, places, *where))


def _adamw(
    tensors: list[Tensor],
    gradients: list[Tensor],
    means: list[Tensor],
    squares: list[Tensor],
    betas: list[float],
    scales: Tensor,
    diverged: Tensor,
    *stepped: Any,
) -> None:
    moments = Moments(means, squares, *betas)
    code_for_step(tensors).adamw(tensors, gradients, moments, scales, diverged, Stepped(*stepped))


_KEYS, _WHERE = "Tensor keys, Tensor lanes, Tensor places", "int first, int second, int dropped"
_TOLD = f"Tensor starts, Tensor lengths, {_KEYS}, int longest, int heads, {_WHERE}"
_LIBRARY: Any = torch.library.Library("adapterlab", "DEF")  # type: ignore[no-untyped-call]
for _schema, _function in {
    f"drop(Tensor x, Tensor? residual, {_KEYS}, {_WHERE}) -> Tensor": _drop,
    "keep(Tensor keys, int[] sizes, Tensor dropped, int first, int second) -> Tensor": _keep,
    "lay(Tensor x, Tensor rows) -> Tensor": _lay,
    f"attend(Tensor q, Tensor k, Tensor v, {_TOLD}) -> (Tensor, Tensor)": _attend,
    f"attend_backward(Tensor gradient, Tensor q, Tensor k, Tensor v, Tensor gathered, Tensor sums, {_TOLD}) "
    "-> (Tensor, Tensor, Tensor)": _attend_backward,
    "adamw(Tensor(a!)[] tensors, Tensor[] gradients, Tensor(b!)[] means, Tensor(c!)[] squares, float[] betas, "
    "Tensor scales, Tensor diverged, int[] runs, float[] shrinks, float[] rates, float[] corrections, "
    "float[] before, float[] after) -> ()": _adamw,
}.items():
    _LIBRARY.define(_schema)
    _LIBRARY.impl(_schema.split("(")[0], _function, "CompositeExplicitAutograd")

OPERATIONS: Any = torch.ops.adapterlab
"""The operations by their names."""
