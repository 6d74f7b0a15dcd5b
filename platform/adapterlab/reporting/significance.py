"""Whether a row beats a reference row: exact permutation tests, paired over seeds.

The null hypothesis is that the two values of a seed could as well be swapped. With ``n`` pairs there
are 2ⁿ ways to swap, so no p-value can be below 2 / 2ⁿ: five seeds never give less than 0.0625. That
bound is part of the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from adapterlab.errors import NotFoundError
from adapterlab.registry.entry_points import near
from adapterlab.reporting.summary import Summary

AVERAGE = "average"
"""Name of the column over all targets."""
_MOST_EXACT = 16
"""Pairs up to which all 2ⁿ swaps are enumerated; beyond, as many are drawn."""
_SEED = 0


@dataclass(frozen=True)
class Comparison:
    """One row against the reference, on one target."""

    combiner: str
    target: str
    """Full task name, or :data:`AVERAGE`."""
    pairs: int
    """Seeds that both have a finite value for, ``n``."""
    difference: float | None
    """Mean of row minus reference over these seeds; ``None`` without any."""
    p: float | None
    """Two-sided; ``None`` for fewer than two pairs, which can show nothing."""
    p_holm: float | None
    """The same after Holm's correction over the row's targets; ``None`` for the average, one test alone."""
    is_exact: bool
    """Whether all swaps were enumerated."""

    @property
    def least_p(self) -> float | None:
        """The smallest p-value that so many pairs can give, ``2 / 2ⁿ``."""
        return None if self.pairs < 2 else 2.0 ** (1 - self.pairs)


@dataclass(frozen=True)
class Significance:
    """All rows against one reference."""

    against: str
    comparisons: tuple[Comparison, ...]

    def of(self, combiner: str, target: str) -> Comparison | None:
        """Return one comparison, if it was made."""
        found = (one for one in self.comparisons if (one.combiner, one.target) == (combiner, target))
        return next(found, None)

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON-able mapping."""
        rows = [{**asdict(one), "least_p": one.least_p} for one in self.comparisons]
        return {"against": self.against, "test": "paired permutation", "correction": "holm", "rows": rows}


def compare(summary: Summary, against: str) -> Significance:
    """Compare every row with a reference row, on each target and on the average over targets.

    Args:
        summary: A sweep's results.
        against: Name of the reference row.

    Raises:
        NotFoundError: There is no such row.
    """
    if against not in summary.combiners:
        raise NotFoundError(
            f"no row named {against!r} to compare with", remedy=near(against, summary.combiners)
        )
    found: list[Comparison] = []
    for row in summary.combiners:
        if row == against:
            continue
        drafts = [
            _compared(row, target, _values(summary, row, target), _values(summary, against, target))
            for target in summary.targets
        ]
        corrected = holm([one.p for one in drafts])
        found += [
            Comparison(one.combiner, one.target, one.pairs, one.difference, one.p, adjusted, one.is_exact)
            for one, adjusted in zip(drafts, corrected, strict=True)
        ]
        if len(summary.targets) > 1:
            mine, theirs = summary.average(row), summary.average(against)
            found.append(_compared(row, AVERAGE, mine.by_seed, theirs.by_seed))
    return Significance(against, tuple(found))


def paired_p(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the two-sided p-value of the paired permutation test of equal means.

    Args:
        first: Values by seed, at least two.
        second: The other's, of the same seeds in the same order.

    Source: Fisher's randomisation test; SciPy, ``stats.permutation_test`` with ``"samples"``.
    """
    import numpy as np
    from scipy.stats import permutation_test

    differences = np.subtract(first, second)
    if not differences.any():
        return 1.0
    # Swapping the two values of a pair turns its difference round.
    result = permutation_test(
        (differences,),
        lambda values, axis: values.mean(axis=axis),
        permutation_type="samples",
        n_resamples=2**_MOST_EXACT,
        vectorized=True,
        rng=np.random.default_rng(_SEED),
    )
    return float(result.pvalue)


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Return p-values corrected for how many there are; ``None`` stays and is not counted.

    Source: Holm, A simple sequentially rejective multiple test procedure, 1979.
    """
    known = sorted((value, place) for place, value in enumerate(values) if value is not None)
    corrected: list[float | None] = [None] * len(values)
    greatest = 0.0
    for rank, (value, place) in enumerate(known):
        greatest = max(greatest, min(1.0, value * (len(known) - rank)))
        corrected[place] = greatest
    return corrected


def _values(summary: Summary, row: str, target: str) -> Mapping[int, float]:
    cell = summary.cell(target, row)
    return {} if cell is None else cell.by_seed


def _compared(row: str, target: str, mine: Mapping[int, float], theirs: Mapping[int, float]) -> Comparison:
    seeds = sorted(set(mine) & set(theirs))
    first, second = [mine[seed] for seed in seeds], [theirs[seed] for seed in seeds]
    difference = fmean(first) - fmean(second) if seeds else None
    p = paired_p(first, second) if len(seeds) > 1 else None
    return Comparison(row, target, len(seeds), difference, p, None, len(seeds) <= _MOST_EXACT)
