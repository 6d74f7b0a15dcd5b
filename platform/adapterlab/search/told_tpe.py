"""TPE that is told its dimensions, from the public side of Optuna alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial

_Computed = TypeVar("_Computed")


class Once(Protocol):
    """Returns what depends on nothing but the known trials; computes it when one of them has changed."""

    def __call__(self, name: Any, compute: Callable[[], _Computed], /) -> _Computed:
        """Return it.

        Args:
            name: What it is.
            compute: Computes it.
        """


class ToldTpe(TPESampler):  # type: ignore[misc]  # Optuna is not looked into
    """TPE that is told its dimensions, which it else gathers from every trial anew for each proposal.

    Args:
        space: The dimensions of every trial; ``None`` where trials differ in them.
        once: Keeps what was computed for the trials it learns from.
        **options: TPE's own.
    """

    def __init__(self, space: Mapping[str, BaseDistribution] | None, once: Once, **options: Any) -> None:
        super().__init__(**options)
        self._told = space
        self._once = once

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, Any]:
        """Return the dimensions to sample together, in the order in which TPE has them."""
        if self._told is not None:
            return {name: one for name, one in sorted(self._told.items()) if not one.single()}
        infer = super().infer_relative_search_space
        inferred: dict[str, Any] = self._once("dimensions", lambda: infer(study, trial))
        return dict(inferred)  # `PartialFixedSampler` takes some out
