"""When trials are stopped early: the pruners, and the settings each of them has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal, get_args

from pydantic import Field

from adapterlab.spec.search_space import Frozen

Pruner = Literal["median", "percentile", "asha", "patience", "threshold", "wilcoxon", "none"]

PRUNERS: Final[tuple[str, ...]] = get_args(Pruner)

_COMPARED: Mapping[str, int | float] = {"startup_trials": 4, "warmup_epochs": 2}
_DEFAULTS: Final[Mapping[str, Mapping[str, int | float | None]]] = {
    "median": {**_COMPARED, "patience": None, "min_delta": None},
    "percentile": {"percentile": 25.0, **_COMPARED, "patience": None, "min_delta": None},
    "asha": {"min_epochs": 1, "reduction_factor": 4},
    "patience": {"patience": 2, "min_delta": 0.0},
    "threshold": {"lower": None, "warmup_epochs": 0},
    "wilcoxon": {"p_threshold": 0.1, "startup_runs": 2},
    "none": {},
}
"""Each pruner's settings with what they are when not written; ``None``: then it does without."""

_BEFORE_SETTINGS: Final[Mapping[str, Mapping[str, int | float]]] = {"median": _COMPARED, "none": {}}
"""Pruners that were there before they had settings: as these, none enter a key."""


class PruningSpec(Frozen):
    """The settings of ``search.pruner``; each is for the pruners it names.

    Whatever the pruner, a trial is compared with the trials of earlier rounds only, so that no number depends on
    lanes, workers or restarts.
    """

    startup_trials: Annotated[int, Field(ge=0)] | None = None
    """``median`` and ``percentile``: trials that must be complete before one is compared; absent: 4."""
    warmup_epochs: Annotated[int, Field(ge=0)] | None = None
    """``median``, ``percentile`` and ``threshold``: the first epoch after which a trial may be stopped; absent: 2,
    for ``threshold`` any."""
    percentile: Annotated[float, Field(gt=0, lt=100)] | None = None
    """``percentile``: the share of trials, in per cent, whose best value at the same epoch is good enough; absent:
    25.0."""
    min_epochs: Annotated[int, Field(ge=1)] | None = None
    """``asha``: epochs of the first rung, which every trial trains (Optuna's ``min_resource``); absent: 1."""
    reduction_factor: Annotated[int, Field(ge=2)] | None = None
    """``asha``: of the trials on a rung one in so many goes on, for so many times the epochs; absent: 4."""
    patience: Annotated[int, Field(ge=0)] | None = None
    """``patience``: epochs a trial may stay below its best before it is stopped; absent: 2. ``median`` and
    ``percentile``: the same, before it is compared at all; absent: no such condition."""
    min_delta: Annotated[float, Field(ge=0)] | None = None
    """With ``patience``: how far below its best a trial must be for that to count; absent: 0.0, anything."""
    lower: float | None = None
    """``threshold``: stop a trial whose value is below this. Required there."""
    p_threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    """``wilcoxon``: the p-value below which a trial is worse than the best one, over runs of the same seed and fold;
    absent: 0.1."""
    startup_runs: Annotated[int, Field(ge=0)] | None = None
    """``wilcoxon``: runs of a trial before it is compared; absent: 2."""


def check_pruning(pruner: str, written: PruningSpec) -> None:
    """Check that what is written is for the chosen pruner.

    Raises:
        ValueError: It is for another, or is not enough.
    """
    known = _DEFAULTS[pruner]
    for name in _written(written):
        if name not in known:
            has = ", ".join(known) or "no settings"
            raise ValueError(f'pruning.{name} is not for pruner = "{pruner}", which has {has}')
    if pruner == "threshold" and written.lower is None:
        raise ValueError('pruner = "threshold" needs pruning.lower, the value to stop below')
    if pruner != "patience" and written.min_delta is not None and written.patience is None:
        raise ValueError("pruning.min_delta needs pruning.patience")


def check_runs(pruner: str, written: PruningSpec, runs: int) -> None:
    """Check that a pruner that compares runs has enough of them to stop any trial before its last one.

    Args:
        pruner: The chosen one.
        written: Its settings.
        runs: Of each trial: seeds times folds.

    Raises:
        ValueError: It has not.
    """
    if pruner != "wilcoxon":
        return
    level = float(pruning_settings(pruner, written)["p_threshold"])
    least = next(count for count in range(1, 65) if 0.5**count < level)  # the least p of so many pairs
    if runs <= least:
        raise ValueError(
            f'pruner = "wilcoxon" can tell trials apart after {least} runs at the earliest (p below {level:g}), '
            f"and a trial has {runs}: raise seeds_per_trial or folds, or take another pruner"
        )


def pruning_settings(pruner: str, written: PruningSpec) -> dict[str, int | float]:
    """Return every setting a pruner works with, defaults included.

    Raises:
        ValueError: There is no such pruner.
    """
    if pruner not in _DEFAULTS:
        raise ValueError(f"pruner must be one of {', '.join(PRUNERS)}, got {pruner!r}")
    settings = {**_DEFAULTS[pruner], **_written(written)}
    return {name: value for name, value in settings.items() if value is not None}


def pruning_identity(pruner: str, settings: Mapping[str, int | float]) -> dict[str, int | float] | None:
    """Return what of a pruner's settings is in a study's key; ``None``: nothing, they are as they always were."""
    return None if _BEFORE_SETTINGS.get(pruner) == dict(settings) else dict(settings)


def _written(spec: PruningSpec) -> dict[str, int | float]:
    return {name: value for name, value in spec if value is not None}
