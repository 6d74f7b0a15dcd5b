"""Whether a row beats a reference row: permutation tests paired over seeds, and one over targets.

The null hypothesis is that the two values of a seed could as well be swapped. With ``n`` pairs there
are 2ⁿ ways to swap, so no p-value can be below 2 / 2ⁿ: five seeds never give less than 0.0625. That
bound is part of the answer.

A table asks as many questions as it has cells. Their p-values are corrected together, by what the greatest of
all statistics does when seeds are swapped: a table without any effect has a bold cell in one of twenty, however
many rows and targets it has.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from adapterlab.errors import NotFoundError
from adapterlab.registry.entry_points import near
from adapterlab.reporting.equivalence import Equivalence, signed_rank_probabilities
from adapterlab.reporting.summary import Summary

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

AVERAGE = "average"
"""Name of the column over all targets."""
ACROSS = "across targets"
"""Name of the column that takes targets, not seeds, as pairs."""
_MOST_EXACT = 16
"""Pairs up to which all 2ⁿ swaps are enumerated; beyond, as many are drawn."""
_SWAPS_OF_TABLES = 1 << 14
"""Swaps of a whole table at most; beyond 14 seeds as many are drawn."""
_SEED = 0
_SAME = 1e-9
"""Statistics that differ by less, relatively, are one number computed in two orders."""


@dataclass(frozen=True)
class Comparison:
    """One row against the reference, on one target."""

    combiner: str
    target: str
    """Full task name, :data:`AVERAGE`, or :data:`ACROSS`."""
    pairs: int
    """Seeds that both have a finite value for, ``n``; across targets, targets with such seeds."""
    difference: float | None
    """Mean of row minus reference over these pairs; ``None`` without any."""
    p: float | None
    """Two-sided; ``None`` for fewer than two pairs, which can show nothing."""
    p_adjusted: float | None
    """Corrected for every cell of the table; of averages, and of tests across targets, for every row."""
    effect: float | None
    """Mean over standard deviation of the differences, Cohen's d of pairs; ``None`` where they do not vary."""
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
    equal_within: float | None = None
    """Bound of practical equivalence, in [0, 1] as metrics are; ``None``: not asked for."""
    equivalences: tuple[Equivalence, ...] = ()
    """Of every row with a difference on at least two targets."""

    def of(self, combiner: str, target: str) -> Comparison | None:
        """Return one comparison, if it was made."""
        found = (one for one in self.comparisons if (one.combiner, one.target) == (combiner, target))
        return next(found, None)

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON-able mapping."""
        rows = [{**asdict(one), "least_p": one.least_p} for one in self.comparisons]
        return {
            "against": self.against,
            "test": "paired permutation",
            "test_across_targets": "wilcoxon",
            "correction": "westfall-young",
            "correction_across_targets": "holm",
            "rows": rows,
            "equal_within": self.equal_within,
            "equivalences": [asdict(one) for one in self.equivalences],
        }


def compare(summary: Summary, against: str, *, equal_within: float | None = None) -> Significance:
    """Compare every row with a reference row, on each target, on the average over targets, and across targets.

    Args:
        summary: A sweep's results.
        against: Name of the reference row.
        equal_within: Difference up to which two rows are practically equal, in [0, 1] as metrics are; absent: how
            probable that is, is not told.

    Raises:
        NotFoundError: There is no such row.
    """
    if against not in summary.combiners:
        raise NotFoundError(
            f"no row named {against!r} to compare with", remedy=near(against, summary.combiners)
        )
    rows = [row for row in summary.combiners if row != against]
    cells = [
        _Cell.of(row, target, _values(summary, row, target), _values(summary, against, target))
        for row in rows
        for target in summary.targets
    ]
    found = _family(cells)
    if len(summary.targets) > 1:
        theirs = summary.average(against).by_seed
        found += _family([_Cell.of(row, AVERAGE, summary.average(row).by_seed, theirs) for row in rows])
        found += _across(rows, found)
    equal = () if equal_within is None else tuple(_equivalences(rows, found, equal_within))
    return Significance(against, tuple(found), equal_within, equal)


def _equivalences(rows: Sequence[str], cells: Sequence[Comparison], within: float) -> Iterator[Equivalence]:
    for row in rows:
        differences = _of_targets(row, cells)
        if len(differences) > 1:
            yield Equivalence(row, len(differences), *signed_rank_probabilities(differences, within))


def _of_targets(row: str, cells: Sequence[Comparison]) -> list[float]:
    """Return a row's mean differences, one a target."""
    return [
        one.difference
        for one in cells
        if one.combiner == row and one.target not in (AVERAGE, ACROSS) and one.difference is not None
    ]


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


def signed_rank_p(differences: Sequence[float]) -> float | None:
    """Return the two-sided p-value of Wilcoxon's signed-rank test; ``None`` for fewer than two differences.

    Source: Demšar, Statistical comparisons of classifiers over multiple data sets, 2006, section 3.1.3.
    """
    from scipy.stats import wilcoxon

    if len(differences) < 2:
        return None
    if not any(differences):
        return 1.0
    return float(wilcoxon(differences, zero_method="zsplit", method="auto").pvalue)


def effect_size(differences: Sequence[float]) -> float | None:
    """Return mean over standard deviation of paired differences; ``None`` where that is nothing."""
    if len(differences) < 2 or not (spread := stdev(differences)):
        return None
    return fmean(differences) / spread


def family_wise(cells: Sequence[Mapping[int, float]]) -> list[float | None]:
    """Return p-values of all cells of a table together: how often one as great is met if there is no effect.

    A swap turns the differences of a seed round in every cell at once, which keeps what cells have in common.
    A cell's p-value is the share of swaps in which the greatest of the statistics, its own and of cells with a
    lesser one, is at least its own. Statistics are means over their standard errors, so that cells of different
    spread can be compared.

    Args:
        cells: Differences by seed; cells of fewer than two get ``None``.

    Source: Westfall and Young, Resampling-based multiple testing, 1993, step-down maxT (algorithm 4.1).
    """
    import numpy as np

    tested = [place for place, one in enumerate(cells) if len(one) > 1]
    adjusted: list[float | None] = [None] * len(cells)
    if not tested:
        return adjusted
    seeds = sorted({seed for place in tested for seed in cells[place]})
    swaps = _swaps(len(seeds))  # (B, seeds)
    observed = np.empty(len(tested))  # (m,)
    swapped = np.empty((len(swaps), len(tested)))  # (B, m)
    for column, place in enumerate(tested):
        own = [seeds.index(seed) for seed in sorted(cells[place])]
        values = np.array([cells[place][seed] for seed in sorted(cells[place])])
        swapped[:, column] = _statistics(swaps[:, own] * values)
        observed[column] = _statistics(values[None])[0]
    order = np.argsort(observed, kind="stable")
    greatest = np.maximum.accumulate(swapped[:, order], axis=1)  # of each cell and all lesser ones
    p = (greatest >= observed[order] * (1 - _SAME)).mean(axis=0)
    p = np.maximum.accumulate(p[::-1])[::-1]  # a lesser statistic is never more certain
    for column, value in zip(order, p, strict=True):
        adjusted[tested[column]] = float(value)
    return adjusted


def _swaps(count: int) -> NDArray[np.float64]:
    """Return signs of seeds, (B, seeds): all 2ⁿ, or as many as are enough, the first without any swap."""
    import numpy as np

    if 1 << count <= _SWAPS_OF_TABLES:
        return np.array(list(product((1.0, -1.0), repeat=count)))
    drawn = np.random.default_rng(_SEED).choice([1.0, -1.0], size=(_SWAPS_OF_TABLES, count))
    drawn[0] = 1.0
    return drawn


def _statistics(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return |mean| over standard error along the last axis, (B, n) -> (B,); infinite without spread, 0 of zeros."""
    import numpy as np

    mean = np.abs(values.mean(axis=-1))
    error = values.std(axis=-1, ddof=1) / math.sqrt(values.shape[-1])
    # Rounding leaves a spread of some 1e-17 where all values are equal.
    none = error <= 1e-12 * np.abs(values).max(axis=-1)
    return np.where(mean == 0, 0.0, np.where(none, np.inf, mean / np.where(none, 1.0, error)))


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


@dataclass(frozen=True)
class _Cell:
    """One row against the reference on one target, before it is tested."""

    row: str
    target: str
    mine: Mapping[int, float]
    """By seed; both have the same seeds."""
    theirs: Mapping[int, float]

    @classmethod
    def of(cls, row: str, target: str, mine: Mapping[int, float], theirs: Mapping[int, float]) -> _Cell:
        """Return the cell of the seeds that both have."""
        seeds = sorted(set(mine) & set(theirs))
        return cls(row, target, {seed: mine[seed] for seed in seeds}, {seed: theirs[seed] for seed in seeds})

    @property
    def differences(self) -> dict[int, float]:
        """By seed."""
        return {seed: value - self.theirs[seed] for seed, value in self.mine.items()}


def _family(cells: Sequence[_Cell]) -> list[Comparison]:
    """Test cells that are one family: their p-values are corrected for one another."""
    adjusted = family_wise([one.differences for one in cells])
    return [
        Comparison(
            one.row,
            one.target,
            len(one.mine),
            fmean(one.mine.values()) - fmean(one.theirs.values()) if one.mine else None,
            paired_p(list(one.mine.values()), list(one.theirs.values())) if len(one.mine) > 1 else None,
            p,
            effect_size(list(one.differences.values())),
            len(one.mine) <= _MOST_EXACT,
        )
        for one, p in zip(cells, adjusted, strict=True)
    ]


def _across(rows: Sequence[str], cells: Sequence[Comparison]) -> list[Comparison]:
    """Return one test a row whose pairs are the targets' mean differences."""
    of_rows = [_of_targets(row, cells) for row in rows]
    p = [signed_rank_p(differences) for differences in of_rows]
    return [
        Comparison(
            row,
            ACROSS,
            len(differences),
            fmean(differences) if differences else None,
            one,
            adjusted,
            effect_size(differences),
            is_exact=True,
        )
        for row, differences, one, adjusted in zip(rows, of_rows, p, holm(p), strict=True)
    ]
