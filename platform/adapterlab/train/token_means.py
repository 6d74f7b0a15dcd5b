"""Coefficients that differ from token to token, averaged."""

from __future__ import annotations

import torch
from torch import Tensor


class TokenMeans:
    """Means of token-dependent coefficients over the real tokens of one lane's evaluation."""

    def __init__(self, points: int) -> None:
        self._sums: list[Tensor | None] = [None] * points
        self._tokens = [0] * points

    def observe(self, point: int, coefficients: Tensor) -> None:
        """Add one pass's coefficients at a point, (N, T); a pass has real tokens only."""
        total = coefficients.double().sum(0)
        before = self._sums[point]
        self._sums[point] = total if before is None else before + total
        self._tokens[point] += len(coefficients)

    def snapshot(self) -> tuple[list[Tensor | None], list[int]]:
        """Return what was noted so far."""
        return list(self._sums), list(self._tokens)

    def restore(self, snapshot: tuple[list[Tensor | None], list[int]]) -> None:
        """Forget what was noted since a snapshot."""
        self._sums, self._tokens = (list(part) for part in snapshot)  # type: ignore[assignment]

    @property
    def values(self) -> Tensor:
        """The means, (points, T, 1), float32."""
        means = [one / count for one, count in zip(self._sums, self._tokens, strict=True) if one is not None]
        return torch.stack(means).unsqueeze(-1).float().cpu()
