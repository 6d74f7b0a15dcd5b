"""How far a search's best trials lie apart, in units of the noise of its runs; without Optuna."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

_NOISE = 2.0
"""Standard errors within which a trial counts as no worse than the best one."""


@dataclass(frozen=True)
class Separation:
    """What the runs of a search's trials say of its choice."""

    runs: int
    """Runs of each trial."""
    best: float
    """Mean objective of the best trial."""
    next: float
    """That of the one after it."""
    standard_error: float
    """Of their difference, paired over runs of the same seed and fold."""
    alike: int
    """Trials whose mean is less than two such standard errors, of their own difference, below the best one's."""
    trials: int
    """Complete ones, the best included."""

    @property
    def in_errors(self) -> float | None:
        """The difference of the two best in standard errors; ``None`` where that is 0 by 0."""
        difference = self.best - self.next
        if self.standard_error > 0:
            return difference / self.standard_error
        return math.inf if difference > 0 else None


def separation(values: Mapping[int, Sequence[float]], folds: int = 1) -> Separation | None:
    """Return how far the best of some trials lie apart; ``None`` with fewer than two of them, or of runs.

    Runs over folds are no independent samples, because their training rows overlap: the variance of their mean is
    ``s² (1/n + 1/(k − 1))`` for ``n`` runs over ``k`` folds, where independent ones have ``s² / n``.

    Source: Nadeau and Bengio, Inference for the Generalization Error, Machine Learning 52 (2003): the corrected resampled t-test.

    Args:
        values: The objective of every run of each complete trial, by the trial's number; greater is better.
        folds: Parts the training rows had; 1: they were whole.
    """
    runs = {len(one) for one in values.values()}
    if len(values) < 2 or len(runs) != 1 or min(runs) < 2:
        return None
    (count,) = runs
    order = sorted(values, key=lambda number: (-fmean(values[number]), number))
    first, second = order[:2]
    share = 1 / count + (1 / (folds - 1) if folds > 1 else 0.0)

    def error(other: int) -> float:
        return stdev(a - b for a, b in zip(values[first], values[other], strict=True)) * math.sqrt(share)

    means = {number: fmean(values[number]) for number in order}
    return Separation(
        runs=count,
        best=means[first],
        next=means[second],
        standard_error=error(second),
        alike=sum(
            means[first] - means[one] == 0 or means[first] - means[one] < _NOISE * error(one)
            for one in order[1:]
        ),
        trials=len(order),
    )
