"""How much of a row's spread comes from its pools, and how much from the runs over each.

Runs of source seed ``i`` and final seed ``j`` are taken as ``y_ij = μ + a_i + b_j + e_ij``: pools and final seeds are random
and crossed, since a final seed draws the same rows and the same head over every pool.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean


@dataclass(frozen=True)
class VarianceComponents:
    """A row's variance on one target, told apart."""

    pools: int
    """Source seeds, ``p``."""
    seeds: int
    """Final seeds that every pool has, ``s``."""
    between: float
    """Variance between pools, ``σ_a²``; 0 where the estimate is negative, which says that none is seen."""
    within: float
    """Variance between runs over one pool, ``σ_b² + σ_e²``."""
    mean_error: float
    """Standard error of the mean over all runs as a mean of other pools and other final seeds."""

    @property
    def between_std(self) -> float:
        """Standard deviation between pools."""
        return math.sqrt(self.between)

    @property
    def within_std(self) -> float:
        """Standard deviation between runs over one pool."""
        return math.sqrt(self.within)


def variance_components(values: Mapping[tuple[int, int], float]) -> VarianceComponents | None:
    """Return the variance components of runs, by analysis of variance.

    Mean squares of pools, ``MS_a``, of final seeds, ``MS_b``, and of what is left, ``MS_e``, estimate ``s σ_a² + σ_e²``,
    ``p σ_b² + σ_e²`` and ``σ_e²``. The estimate of ``σ_a²`` is unbiased as well where final seeds have nothing in
    common over pools (``σ_b² = 0``).

    Args:
        values: By source seed and final seed; final seeds that some pool lacks are left out.

    Returns:
        ``None`` with fewer than two pools, or two final seeds that all of them have.

    Source: Searle, Casella and McCulloch, Variance Components, 1992, chapter 4 (balanced data: two-way crossed
    classification without interaction, random model).
    """
    pools = sorted({pool for pool, _ in values})
    seeds = [
        seed for seed in sorted({seed for _, seed in values}) if all((pool, seed) in values for pool in pools)
    ]
    p, s = len(pools), len(seeds)
    if p < 2 or s < 2:
        return None
    of_pool = {pool: fmean(values[pool, seed] for seed in seeds) for pool in pools}
    of_seed = {seed: fmean(values[pool, seed] for pool in pools) for seed in seeds}
    mean = fmean(of_pool.values())
    ms_pools = s * sum((one - mean) ** 2 for one in of_pool.values()) / (p - 1)
    ms_seeds = p * sum((one - mean) ** 2 for one in of_seed.values()) / (s - 1)
    left = sum(
        (values[pool, seed] - of_pool[pool] - of_seed[seed] + mean) ** 2 for pool in pools for seed in seeds
    )
    ms_left = left / ((p - 1) * (s - 1))
    between = max(0.0, (ms_pools - ms_left) / s)
    shared = max(0.0, (ms_seeds - ms_left) / p)
    return VarianceComponents(
        p, s, between, shared + ms_left, math.sqrt(between / p + shared / s + ms_left / (p * s))
    )
