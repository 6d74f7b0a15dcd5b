"""Confidence intervals over rows and seeds, and McNemar's test, from the test predictions that runs keep.

A score varies for two reasons: other seeds train other weights, and other test rows ask other questions. Every bootstrap
sample draws both, rows and seeds, each with replacement; all methods of a target are scored on the same samples, so
that the interval of a difference is one of pairs.

Shapes: ``B`` samples, ``N`` rows, ``S`` seeds.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Any

from adapterlab.reporting.significance import holm
from adapterlab.reporting.summary import Cell, Summary

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from adapterlab.data.run_predictions import KeptPredictions

LEVEL = 0.95
"""Of every interval."""
_SEED = 0
_MOST_WEIGHTS = 4_000_000
"""Numbers of a block of samples, B · N, at most: 32 MB."""

Read = Callable[[str], "KeptPredictions | None"]
"""Takes the key of a run and returns what it keeps; ``None`` where that is nothing."""


@dataclass(frozen=True)
class Interval:
    """Where a score, or the difference of two, lies with 95 % confidence."""

    combiner: str
    target: str
    rows: int
    seeds: int
    """With one seed the interval is over rows alone; of several pools these are counted, and each is one draw."""
    low: float
    high: float
    difference: float | None = None
    """To the reference, over the seeds that both have; ``None`` without a reference, or without such seeds."""
    difference_low: float | None = None
    difference_high: float | None = None


@dataclass(frozen=True)
class McNemar:
    """Two runs of one seed on the same test rows: which of them is right where they are not both."""

    combiner: str
    target: str
    seed: int
    only_it: int
    """Rows that it alone answers right."""
    only_reference: int
    p: float
    """Two-sided, exact."""
    p_adjusted: float
    """Corrected for every test of the report, by Holm's method."""


@dataclass(frozen=True)
class Resampled:
    """What the kept predictions of a report say."""

    resamples: int
    intervals: tuple[Interval, ...]
    against: str | None = None
    tests: tuple[McNemar, ...] = ()
    without: Mapping[str, int] = field(default_factory=dict)
    """Cells without an interval, by the reason."""

    def of(self, combiner: str, target: str) -> Interval | None:
        """Return one interval, if there is one."""
        found = (one for one in self.intervals if (one.combiner, one.target) == (combiner, target))
        return next(found, None)

    def tests_of(self, combiner: str, target: str) -> tuple[McNemar, ...]:
        """Return a row's tests on one target, by seed."""
        return tuple(one for one in self.tests if (one.combiner, one.target) == (combiner, target))

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON-able mapping."""
        return {
            "level": LEVEL,
            "resamples": self.resamples,
            "seed": _SEED,
            "method": "percentiles of a bootstrap over rows and seeds",
            "against": self.against,
            "intervals": [asdict(one) for one in self.intervals],
            "mcnemar": [asdict(one) for one in self.tests],
            "without": dict(self.without),
        }


def resample(summary: Summary, read: Read, *, resamples: int, against: str | None = None) -> Resampled:
    """Return the intervals of all cells, and every row's tests against a reference.

    Args:
        summary: A sweep's results.
        read: Where the predictions of a run are.
        resamples: Bootstrap samples behind an interval, B.
        against: Name of the reference row; absent: no differences and no tests.
    """
    intervals: list[Interval] = []
    tests: list[McNemar] = []
    without: dict[str, int] = {}
    for target in summary.targets:
        cells = [cell for row in summary.combiners if (cell := summary.cell(target, row)) and cell.test]
        kept = _Kept(target, resamples)
        for cell in cells:
            reason = kept.take(cell, read)
            if reason is not None:
                without[reason] = without.get(reason, 0) + 1
        intervals += kept.intervals(against)
        if against is not None:
            tests += kept.tests(against)
    adjusted = holm([one.p for one in tests])
    corrected = tuple(
        McNemar(**{**asdict(one), "p_adjusted": p}) for one, p in zip(tests, adjusted, strict=True)
    )
    return Resampled(resamples, tuple(intervals), against, corrected, without)


def interval(scores: NDArray[np.float64], draws: NDArray[np.int64]) -> tuple[float, float]:
    """Return the 95 % interval of a mean over seeds.

    Few seeds, drawn again, vary too little, in two ways: the variance of a mean of S drawn ones is (S - 1) / S of what
    it should be, and how much S seeds vary is itself known badly, which is what Student's t is for. So what seeds
    add to a sample is taken √(S / (S - 1)) · t / z times, t and z being the 97.5 % points of Student's distribution with
    S - 1 degrees of freedom and of the normal one: 2.7 times for three seeds, 1.3 for eight.

    Args:
        scores: Of each sample of rows with each seed, (B, S).
        draws: Which seeds each sample draws, (B, S).

    Source: after the expanded percentile interval of Hesterberg, What teachers should know about the bootstrap, 2015.
    """
    import numpy as np
    from scipy.stats import norm, t

    of_rows = scores.mean(axis=1)  # (B,)
    count = scores.shape[1]
    if count > 1:
        drawn = np.take_along_axis(scores, draws, axis=1).mean(axis=1)  # (B,)
        point = (1 + LEVEL) / 2
        widened = math.sqrt(count / (count - 1)) * t.ppf(point, count - 1) / norm.ppf(point)
        of_rows = of_rows + widened * (drawn - of_rows)
    low, high = np.quantile(of_rows, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def mcnemar_p(only_it: int, only_reference: int) -> float:
    """Return the two-sided p-value of McNemar's exact test; 1 where two runs are right on the same rows.

    Source: McNemar 1947; Dietterich 1998, Approximate statistical tests for comparing supervised learners.
    """
    from scipy.stats import binomtest

    together = only_it + only_reference
    return float(binomtest(only_it, together, 0.5).pvalue) if together else 1.0


def row_weights(
    rows: int, groups: NDArray[np.int64] | None, *, samples: int, seed: int
) -> Iterator[NDArray[np.int64]]:
    """Yield how often each row is in each bootstrap sample, (b, N) each, B samples in all.

    Args:
        rows: N.
        groups: Rows of one group are drawn together, (N,); ``None``: each alone.
        samples: B.
        seed: Of the draws.
    """
    import numpy as np

    draws = np.random.default_rng(seed)
    place = np.arange(rows) if groups is None else np.unique(groups, return_inverse=True)[1].reshape(-1)
    drawn = int(place.max()) + 1
    block = max(1, _MOST_WEIGHTS // rows)
    for start in range(0, samples, block):
        size = min(block, samples - start)
        yield draws.multinomial(drawn, np.full(drawn, 1 / drawn), size=size)[:, place]


class _Kept:
    """The predictions on one target, all of the same rows."""

    def __init__(self, target: str, resamples: int) -> None:
        self._target, self._resamples = target, resamples
        self._runs: dict[str, dict[int, list[KeptPredictions]]] = {}
        """By row and unit, see ``Cell.units``."""
        self._metric = ""

    def take(self, cell: Cell, read: Read) -> str | None:
        """Keep a cell's runs; return why it has no interval, ``None`` where it will have one."""
        from adapterlab.data.resampled_metrics import is_weighted

        runs: dict[int, list[KeptPredictions]] = {}
        for unit, key in zip(cell.units, cell.keys, strict=False):
            found = read(key)
            if found is not None:
                runs.setdefault(unit, []).append(found)
        every = [one for some in runs.values() for one in some]
        if len(every) < len(cell.test):
            return "a run keeps no test predictions"
        first = every[0]
        known = next((some[0] for of in self._runs.values() for some in of.values()), first)
        if not all(known.same_rows(one) for one in every):
            return "its test rows are others"
        known_metric = is_weighted(cell.metric, first.problem_type) or all(
            one.group_values(cell.metric) is not None for one in every
        )
        if cell.metric != (self._metric or cell.metric) or not known_metric:
            return f"what {cell.metric} is of is not kept"
        self._metric = cell.metric
        self._runs[cell.combiner] = runs
        return None

    def intervals(self, against: str | None) -> Iterator[Interval]:
        """Yield every row's interval, with that of its difference to the reference."""
        import numpy as np

        if not self._runs:
            return
        scores = self._scores()
        theirs = self._runs.get(against or "", {})
        for row, runs in self._runs.items():
            rows = len(next(iter(runs.values()))[0].labels)
            low, high = interval(scores[row], self._drawn(len(runs)))
            shared = sorted(set(runs) & set(theirs)) if row != against else []
            if not shared:
                yield Interval(row, self._target, rows, len(runs), low, high)
                continue
            mine = [sorted(runs).index(seed) for seed in shared]
            others = [sorted(theirs).index(seed) for seed in shared]
            apart = scores[row][:, mine] - scores[str(against)][:, others]  # (B, S)
            below, above = interval(apart, self._drawn(len(shared)))
            point = np.mean([self._score(runs[seed]) - self._score(theirs[seed]) for seed in shared])
            yield Interval(row, self._target, rows, len(runs), low, high, float(point), below, above)

    def tests(self, against: str) -> Iterator[McNemar]:
        """Yield the tests of every seed that a row and the reference have."""
        theirs = self._runs.get(against, {})
        for row, runs in self._runs.items():
            if row == against:
                continue
            for seed in sorted(set(runs) & set(theirs)):
                if len(runs[seed]) > 1 or len(theirs[seed]) > 1:
                    continue  # a pool's runs are no one model
                mine, other = runs[seed][0].right, theirs[seed][0].right
                if mine is None or other is None:
                    continue
                only, only_other = int((mine & ~other).sum()), int((other & ~mine).sum())
                p = mcnemar_p(only, only_other)
                yield McNemar(row, self._target, seed, only, only_other, p, p)

    def _scores(self) -> dict[str, NDArray[np.float64]]:
        """Return each row's scores, seeds in order, (B, S)."""
        import numpy as np

        first = next(iter(next(iter(self._runs.values())).values()))[0]
        found: dict[str, list[NDArray[np.float64]]] = {row: [] for row in self._runs}
        seed = zlib.crc32(self._target.encode()) + _SEED
        for weights in row_weights(len(first.labels), first.groups, samples=self._resamples, seed=seed):
            for row, runs in self._runs.items():
                of_block = [
                    np.mean([self._weighted(one, weights) for one in some], axis=0)
                    for _, some in sorted(runs.items())
                ]
                found[row].append(np.stack(of_block, axis=1))
        return {row: np.concatenate(blocks) for row, blocks in found.items()}

    def _weighted(self, one: KeptPredictions, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the metric of each sample of rows, (B,)."""
        from adapterlab.data.resampled_metrics import weighted

        values = one.group_values(self._metric)
        if values is None:
            return weighted(self._metric, one.predictions, one.labels, one.problem_type, weights)
        of_groups = weights[:, one.first_rows]  # rows of a group are drawn together
        found: NDArray[np.float64] = of_groups @ values / of_groups.sum(axis=1)
        return found

    def _drawn(self, seeds: int) -> NDArray[np.int64]:
        import numpy as np

        return np.random.default_rng(_SEED).integers(seeds, size=(self._resamples, seeds))

    def _score(self, runs: Sequence[KeptPredictions]) -> float:
        from adapterlab.data.metrics import compute

        scores = []
        for one in runs:
            values = one.group_values(self._metric)
            if values is None:
                found = compute((self._metric,), predictions=one.predictions, labels=one.labels)
                scores.append(found[self._metric])
            else:
                scores.append(float(values.mean()))
        return fmean(scores)
