"""Whether two methods are practically equal: a Bayesian signed-rank test over targets with a region of equivalence.

A p-value says how surprising a difference is, never that there is none. Here differences below a bound count as none, and the
answer is three probabilities: that the row is worse, practically equal, or better on tasks like these.

Source: Benavoli, Corani, Demšar, Zaffalon, Time for a change: a tutorial for comparing multiple classifiers through Bayesian
analysis, JMLR 18(77), 2017, section 4.2; Benavoli et al., A Bayesian Wilcoxon signed-rank test based on the Dirichlet process,
ICML 2014.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_PRIOR_STRENGTH = 0.5
"""Weight of one observation more, a difference of 0, as in the authors' own code."""
_SAMPLES = 50_000
_BLOCK = 4_000_000
"""Numbers of a block of samples at most."""
_SEED = 0


@dataclass(frozen=True)
class Equivalence:
    """One row against the reference, over targets; the three probabilities add up to 1."""

    combiner: str
    targets: int
    """With a difference to the reference."""
    worse: float
    """Probability that the row is worse by more than the bound."""
    equal: float
    """That they are practically equal."""
    better: float
    """That it is better by more than the bound."""


def signed_rank_probabilities(differences: Sequence[float], within: float) -> tuple[float, float, float]:
    """Return the probabilities of worse, practically equal and better.

    The differences z₁…z_n and z₀ = 0 have weights w ~ Dirichlet(0.5, 1, …, 1). A draw of them says "better" where
    Σᵢⱼ wᵢ wⱼ [zᵢ + zⱼ > 2 r] is the greatest of the three such sums; equal sums share it.

    Args:
        differences: Of pairs, n > 0.
        within: r ≥ 0, the bound.

    Raises:
        ValueError: There is no difference, or the bound is below 0.
    """
    import numpy as np

    if not differences or within < 0:
        raise ValueError(f"{len(differences)} differences, bound {within:g}: expected some, and at least 0")
    values = np.array([0.0, *differences])
    sums = values[:, None] + values
    regions = np.stack([sums < -2 * within, np.abs(sums) <= 2 * within, sums > 2 * within]).astype(float)
    draws = np.random.default_rng(_SEED)
    prior = np.array([_PRIOR_STRENGTH, *np.ones(len(differences))])
    won = np.zeros(3)
    block = max(1, _BLOCK // len(values))
    for start in range(0, _SAMPLES, block):
        weights = draws.dirichlet(prior, size=min(block, _SAMPLES - start))  # (B, n + 1)
        shares = np.stack([((weights @ region) * weights).sum(1) for region in regions], axis=1)  # (B, 3)
        greatest = shares >= shares.max(axis=1, keepdims=True)
        won += (greatest / greatest.sum(axis=1, keepdims=True)).sum(axis=0)
    worse, equal, better = (float(one) for one in won / _SAMPLES)
    return worse, equal, better
