"""Rows that have no answer: finite weights can still overflow together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

OVERFLOW = "Its weights overflow in float32: its training diverged, or it was scaled; train it again."
"""What to do about it, wherever it shows."""


def rows_without_answer(outputs: NDArray[np.float64]) -> list[int]:
    """Return the rows, from 0, one of whose outputs is not finite.

    Args:
        outputs: (N, …), whatever one row has.
    """
    each = np.isfinite(outputs).reshape(len(outputs), -1).all(axis=1)
    return [int(row) for row in np.flatnonzero(~each)]


def told(bad: list[int]) -> str:
    """Return which rows have no answer, in words: ``the outputs of row 3 are not finite, nor those of 2 others``."""
    return f"the outputs of row {bad[0] + 1} are not finite" + (
        f", nor those of {len(bad) - 1} others" if len(bad) > 1 else ""
    )
