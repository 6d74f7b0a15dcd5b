"""When a trial is stopped early: Optuna's pruners, shown the trials of earlier rounds and nothing else.

A pruner is asked with a stand-in for the study that knows those trials only
(:func:`~adapterlab.search.samplers.round_start`), and with the epochs of this very run. So its answer follows from
the trial's number and its training, whatever the lanes, the workers, the restarts and other budgets.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Protocol

import optuna
from optuna.pruners import (
    BasePruner,
    MedianPruner,
    NopPruner,
    PatientPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
    ThresholdPruner,
    WilcoxonPruner,
)
from optuna.trial import FrozenTrial, TrialState, create_trial

Numbers = Mapping[str, int | float]
"""A pruner's settings."""


class Seen(Protocol):
    """The stand-in for a study: its direction, and the trials of earlier rounds."""

    @property
    def direction(self) -> optuna.study.StudyDirection:
        """Whether the objective is maximised."""

    @property
    def computed(self) -> dict[Any, Any]:
        """What pruners have computed of these trials."""

    @property
    def best_trial(self) -> FrozenTrial:
        """The best complete one, the earliest of equals; :class:`ValueError` where none is."""

    def get_trials(
        self, deepcopy: bool = False, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Return the trials in some states."""


def pruner_of(name: str, settings: Numbers) -> BasePruner:
    """Return the pruner of a name.

    Args:
        name: One of :data:`adapterlab.spec.pruning.PRUNERS`.
        settings: All of its settings, see :func:`adapterlab.spec.pruning.pruning_settings`.

    Raises:
        KeyError: A setting is missing.
        ValueError: There is no such pruner.
    """
    makers: dict[str, Callable[[Numbers], BasePruner]] = {
        "median": lambda given: _patient(given, MedianPruner(**_compared(given))),
        "percentile": lambda given: _patient(
            given, PercentilePruner(float(given["percentile"]), **_compared(given))
        ),
        "asha": lambda given: AshaPruner(int(given["min_epochs"]), int(given["reduction_factor"])),
        "patience": lambda given: _patient(given, None),
        "threshold": lambda given: ThresholdPruner(
            lower=float(given["lower"]), n_warmup_steps=int(given["warmup_epochs"])
        ),
        "wilcoxon": lambda given: _silently(
            lambda: WilcoxonPruner(
                p_threshold=float(given["p_threshold"]), n_startup_steps=int(given["startup_runs"])
            )
        ),
        "none": lambda _: NopPruner(),
    }
    if name not in makers:
        raise ValueError(f"pruner must be one of {', '.join(makers)}, got {name!r}")
    return makers[name](settings)


def compares(name: str) -> bool:
    """Return whether a pruner's answer depends on other trials."""
    return name in {"median", "percentile", "asha", "wilcoxon"}


def judges_runs(name: str) -> bool:
    """Return whether a pruner is told whole runs of a trial, and not its epochs."""
    return name == "wilcoxon"


class AshaPruner(BasePruner):  # type: ignore[misc]  # Optuna is not looked into
    """Asynchronous successive halving (https://arxiv.org/abs/1810.05934): Optuna's, but for what it compares with.

    Optuna's notes on each trial, when it is judged, that it has come to a rung and with which value. Here that is
    read off the epochs of the trials seen, where it follows from them: a trial's value on rung ``k`` is that of its
    epoch ``min_epochs * reduction_factor ** k``. Failed trials compete with none.

    Args:
        min_epochs: Epochs of the first rung.
        reduction_factor: Of the trials on a rung one in so many goes on.
    """

    def __init__(self, min_epochs: int, reduction_factor: int) -> None:
        self._least = min_epochs
        self._factor = reduction_factor
        self._pruner = SuccessiveHalvingPruner(min_resource=min_epochs, reduction_factor=reduction_factor)

    def prune(self, study: Seen, trial: FrozenTrial) -> bool:
        """Return whether a trial is not among the best of its rung."""
        values = trial.intermediate_values
        if not values:
            return False
        before = {epoch: value for epoch, value in values.items() if epoch < max(values)}
        judged = create_trial(
            state=TrialState.RUNNING,
            intermediate_values=dict(values),
            system_attrs=self._rungs(before),
        )
        stop: bool = self._pruner.prune(_Rungs(study.direction, self._competing(study)), judged)
        return stop

    def _competing(self, study: Seen) -> list[SimpleNamespace]:
        if self not in study.computed:  # asked after each epoch of each trial of the round
            ended = study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))
            study.computed[self] = [
                SimpleNamespace(system_attrs=self._rungs(one.intermediate_values)) for one in ended
            ]
        found: list[SimpleNamespace] = study.computed[self]
        return found

    def _rungs(self, values: Mapping[int, float]) -> dict[str, float]:
        """Return a trial's value on each rung it has come to, as Optuna notes it."""
        found: dict[str, float] = {}
        for epoch in sorted(values):
            while epoch >= self._least * self._factor ** len(found):
                found[f"completed_rung_{len(found)}"] = values[epoch]
        return found


@dataclass(frozen=True)
class _Rungs:
    """What successive halving asks a study for; what it notes is not kept."""

    direction: optuna.study.StudyDirection
    _trials: Iterable[SimpleNamespace]
    _storage: SimpleNamespace = field(
        default_factory=lambda: SimpleNamespace(set_trial_system_attr=lambda *_: None)
    )

    def get_trials(self, deepcopy: bool = False) -> list[SimpleNamespace]:  # noqa: ARG002 - nobody changes them
        return list(self._trials)


def _compared(settings: Numbers) -> dict[str, int]:
    return {
        "n_startup_trials": int(settings["startup_trials"]),
        "n_warmup_steps": int(settings["warmup_epochs"]),
    }


def _patient(settings: Numbers, wrapped: BasePruner | None) -> BasePruner:
    """Return a pruner that asks another, or none, once a trial has not improved for some epochs."""
    if "patience" not in settings:
        return wrapped
    return _silently(
        lambda: PatientPruner(
            wrapped, patience=int(settings["patience"]), min_delta=float(settings.get("min_delta", 0.0))
        )
    )


def _silently(make: Callable[[], BasePruner]) -> BasePruner:
    """Make a pruner that Optuna calls experimental, with no word of that: it is what was asked for."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return make()
