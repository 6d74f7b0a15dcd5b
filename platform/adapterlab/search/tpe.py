"""TPE that does for a round what Optuna's own does for each proposal, where it knows Optuna well enough."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler

from adapterlab.search.told_tpe import Once, ToldTpe

_KNOWN = "5.0."
"""Versions whose inner side :mod:`adapterlab.search.round_tpe` was tested against, number for number."""


def tpe_sampler(space: Mapping[str, BaseDistribution] | None, once: Once, **options: Any) -> BaseSampler:
    """Return a TPE sampler; what it proposes does not depend on which of ours it is.

    Args:
        space: The dimensions of every trial; ``None`` where trials differ in them.
        once: Keeps what was computed for the trials it learns from.
        **options: TPE's own.
    """
    if optuna.__version__.startswith(_KNOWN):
        from adapterlab.search.round_tpe import RoundTpe

        return RoundTpe(space, once, **options)
    return ToldTpe(space, once, **options)
