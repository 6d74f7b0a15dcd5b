"""Whether a combination weighs its sources the same with every seed, or as chance has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean

from adapterlab.reporting.summary import Summary


@dataclass(frozen=True)
class Stability:
    """How alike the coefficients of one method on one target are over seeds."""

    target: str
    combiner: str
    seeds: int
    """Seeds whose coefficients vary over layers and sources; others have no ranks."""
    correlation: float
    """Mean over all pairs of seeds of Spearman's rank correlation of the mean coefficients of layers and sources,
    in [-1, 1]: 1 the same order with every seed, around 0 none in common."""


def stabilities(summary: Summary) -> tuple[Stability, ...]:
    """Return the stability of every row and target with at least two seeds and something to rank."""
    patterns: dict[tuple[str, str], dict[tuple[int, int], dict[tuple[int, int], float]]] = {}
    for one in summary.layers:
        run = (-1 if one.source_seed is None else one.source_seed, one.seed)
        of_seed = patterns.setdefault((one.target, one.combiner), {}).setdefault(run, {})
        of_seed[one.layer, one.position] = one.mean
    found = (_stability(target, combiner, seeds) for (target, combiner), seeds in patterns.items())
    return tuple(one for one in found if one is not None)


def correlations(summary: Summary) -> dict[tuple[str, str], float]:
    """Return the correlation of every stability, by target and row."""
    return {(one.target, one.combiner): one.correlation for one in stabilities(summary)}


def _stability(
    target: str, combiner: str, seeds: Mapping[tuple[int, int], Mapping[tuple[int, int], float]]
) -> Stability | None:
    from scipy.stats import spearmanr

    varied = [one for _, one in sorted(seeds.items()) if len(set(one.values())) > 1]
    places = sorted(set.intersection(*map(set, varied))) if varied else []
    if len(varied) < 2 or len(places) < 2:
        return None
    vectors = [[one[place] for place in places] for one in varied]  # (S, L·T)
    pairs = [float(spearmanr(one, two).statistic) for one, two in combinations(vectors, 2)]
    return Stability(target, combiner, len(varied), fmean(pairs))
