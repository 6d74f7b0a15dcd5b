"""What to try next: a pure function of seed, study, trial number and history.

Every proposal comes from a fresh sampler seeded with (seed, study name, trial number), which sees
the study's trials in the order of their numbers. So a study that was interrupted proposes for a
number what it would have proposed without the interruption, given the same results before it.

The sampler runs on a mirror of the study in memory, never on the database: Optuna's own ``ask``
writes a trial in several transactions, and a process that dies between them leaves half a trial.
Here the caller writes the whole proposal in one.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from adapterlab.spec.space import Choices, FloatRange

Spaces = Mapping[str, float | FloatRange | Choices]
"""The dimensions of a search by name."""

STARTUP_TRIALS = 5
"""Finished trials before TPE trusts them; until then it samples at random. Optuna's default of 10
would leave little of a study of 16 to the model."""

_REDRAWS = 8
"""Draws before a repeated setting is replaced by the first untried one."""


class Proposer:
    """Proposes settings for one study; never the same setting twice where settings are countable.

    Args:
        study: The study's name; part of every seed.
        spaces: The dimensions.
        direction: ``"maximize"`` or ``"minimize"``.
        sampler: ``"tpe"``, ``"random"`` or ``"grid"``.
        seed: The search's seed.

    Raises:
        ValueError: ``"grid"`` with a range, or an unknown sampler.
    """

    def __init__(self, study: str, spaces: Spaces, *, direction: str, sampler: str, seed: int) -> None:
        if sampler not in {"tpe", "random", "grid"}:
            raise ValueError(f"sampler must be 'tpe', 'random' or 'grid', got {sampler!r}")
        self.distributions = {name: _distribution(space) for name, space in spaces.items()}
        self._choices = {name: choices for name, space in spaces.items() if (choices := _choices(space))}
        finite = len(self._choices) == len(self.distributions)
        self.size = math.prod(map(len, self._choices.values())) if finite else None
        """Number of distinct settings; ``None`` when a dimension is a range."""
        if sampler == "grid" and self.size is None:
            raise ValueError('sampler = "grid" needs choices or fixed values, not ranges')
        self._study = study
        self._sampler = sampler
        self._seed = seed
        self._grid: list[int] | None = None
        self._mirror = _Mirror(direction)

    def propose(self, number: int, history: Sequence[FrozenTrial]) -> dict[str, float]:
        """Return the settings of trial ``number``.

        Args:
            number: The trial's number; decides the seed.
            history: All other trials of the study, ordered by number, running ones included.
        """
        if self.size is None:
            return self._draw(number, history, attempt=0)
        tried = {self._identity(trial.params) for trial in history if trial.number != number}
        if self._sampler != "grid":
            for attempt in range(_REDRAWS):
                settings = self._draw(number, history, attempt)
                if self._identity(settings) not in tried:
                    return settings
        return next(
            (settings for settings in self._shuffled() if self._identity(settings) not in tried),
            self._grid_point(self._order()[number % self.size]),
        )

    def _draw(self, number: int, history: Sequence[FrozenTrial], attempt: int) -> dict[str, float]:
        seed = _seed_of(self._seed, self._study, number, attempt)
        sampler: BaseSampler
        if self._sampler == "random":
            sampler, history = RandomSampler(seed=seed), ()
        else:
            sampler = TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS)
        others = [trial for trial in history if trial.number != number]
        return self._mirror.sample(sampler, self.distributions, others)

    def _shuffled(self) -> Iterator[dict[str, float]]:
        return (self._grid_point(index) for index in self._order())

    def _order(self) -> list[int]:
        """Return the grid's points in a fixed random order, so that any beginning of it is a fair sample."""
        if self._grid is None:
            self._grid = list(range(self.size or 0))
            random.Random(_seed_of(self._seed, self._study, -1, 0)).shuffle(self._grid)  # noqa: S311
        return self._grid

    def _grid_point(self, index: int) -> dict[str, float]:
        settings = {}
        for name, choices in self._choices.items():
            index, choice = divmod(index, len(choices))
            settings[name] = choices[choice]
        return settings

    def _identity(self, settings: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(settings.get(name) for name in self.distributions)


class _Mirror:
    """An in-memory copy of a study that samplers may scribble on; updated, not rebuilt, at each use."""

    def __init__(self, direction: str) -> None:
        self._storage = optuna.storages.InMemoryStorage()
        self._study = optuna.create_study(storage=self._storage, direction=direction)
        self._study_id = self._storage.get_study_id_from_name(self._study.study_name)
        self._copies: dict[int, tuple[int, TrialState]] = {}

    def sample(
        self,
        sampler: BaseSampler,
        distributions: dict[str, BaseDistribution],
        history: Sequence[FrozenTrial],
    ) -> dict[str, float]:
        for trial in history:
            self._copy(trial)
        self._study.sampler = sampler
        draft = self._study.ask(distributions)
        # Samplers ignore failed trials, so the draft does not count as history.
        self._study.tell(draft, state=TrialState.FAIL)
        return dict(draft.params)

    def _copy(self, trial: FrozenTrial) -> None:
        known = self._copies.get(trial.number)
        if trial.state is TrialState.WAITING:  # enqueued by hand; `ask` would take it for the draft
            return
        if known is None:
            trial_id = self._storage.create_new_trial(self._study_id, template_trial=trial)
            self._copies[trial.number] = (trial_id, trial.state)
            return
        trial_id, state = known
        if state is trial.state:
            return
        for step, value in trial.intermediate_values.items():
            self._storage.set_trial_intermediate_value(trial_id, step, value)
        self._storage.set_trial_state_values(trial_id, trial.state, trial.values)
        self._copies[trial.number] = (trial_id, trial.state)


def pruner_of(name: str) -> optuna.pruners.BasePruner:
    """Return the pruner of a name.

    ``"median"`` lets 4 trials finish and every trial train 2 epochs before it compares a trial's
    best value so far with the median of the others at the same epoch: first epochs say little.

    Raises:
        ValueError: Neither ``"median"`` nor ``"none"``.
    """
    pruners: dict[str, Callable[[], optuna.pruners.BasePruner]] = {
        "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=2),
        "none": optuna.pruners.NopPruner,
    }
    if name not in pruners:
        raise ValueError(f"pruner must be 'median' or 'none', got {name!r}")
    return pruners[name]()


def _choices(space: float | FloatRange | Choices) -> tuple[float, ...]:
    """Return the values a dimension can take; none for a range, which has too many."""
    if isinstance(space, FloatRange):
        return ()
    return tuple(map(float, space.choices)) if isinstance(space, Choices) else (float(space),)


def _distribution(space: float | FloatRange | Choices) -> BaseDistribution:
    if isinstance(space, FloatRange):
        return FloatDistribution(space.low, space.high, log=space.log)
    # A fixed value is a choice of one: the dashboard then shows every setting of a trial.
    return CategoricalDistribution(_choices(space))


def _seed_of(seed: int, study: str, number: int, attempt: int) -> int:
    text = f"{seed}\0{study}\0{number}\0{attempt}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
