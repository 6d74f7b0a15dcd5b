"""What to try next: a pure function of seed, study, trial number and history.

Every proposal comes from a fresh sampler seeded with (seed, study name, trial number), which sees
the trials of earlier rounds in the order of their numbers. So a study that was interrupted, or shared
among workers, or searched by others with a larger budget, proposes for a number what it would have
proposed alone.

The sampler runs on a mirror of the study in memory, never on the database: Optuna's own ``ask``
writes a trial in several transactions, and a process that dies between them leaves half a trial.
Here the caller writes the whole proposal in one.
"""

from __future__ import annotations

import hashlib
import math
import random
import warnings
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar, cast

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, PartialFixedSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from adapterlab.search.tpe import tpe_sampler
from adapterlab.spec.search_space import COMBINER, Choices, Dimension, FloatRange, IntRange, Setting

Spaces = Mapping[str, Dimension]
"""The dimensions of a search by name."""

STARTUP_TRIALS = 5
"""Finished trials before TPE trusts them; until then it samples at random. Optuna's default of 10
would leave little of a study of 16 to the model."""

_FIRST_ROUNDS = 4
_LEARNT_FROM = 3
"""A round is four trials, later a third of all before it: what is proposed at once knows three quarters
of what there is to know, and a long search is spread over ever more lanes."""

_Computed = TypeVar("_Computed")

_REDRAWS = 8
"""Draws before a repeated setting is replaced by the first untried one."""


@cache
def round_start(place: int) -> int:
    """Return the place of the first trial of a trial's round; it sees those before that, and no others.

    Trials of one round can train at the same time. The rounds begin at 0, 4, 8, 12, 16, 21, 28, 37, 49, …,
    whatever the budget, the lanes and the workers, so that none of them moves a result.

    Args:
        place: 0 for the first trial.
    """
    start = 0
    while (following := start + max(_FIRST_ROUNDS, start // _LEARNT_FROM)) <= place:
        start = following
    return start


class Proposer:
    """Proposes settings for one study; never the same setting twice where settings are countable.

    Args:
        study: The study's name; part of every seed.
        spaces: The dimensions; or, in a study that chooses the combiner, each combiner's dimensions.
        direction: ``"maximize"`` or ``"minimize"``.
        sampler: ``"tpe"``, ``"random"`` or ``"grid"``.
        seed: The search's seed.
        start: Settings of the first trials, by the names under which they are stored; a dimension that is missing is
            proposed as usual.

    Raises:
        ValueError: ``"grid"`` with a range, or an unknown sampler.
    """

    def __init__(
        self,
        study: str,
        spaces: Spaces | Mapping[str, Spaces],
        *,
        direction: str,
        sampler: str,
        seed: int,
        start: Sequence[Mapping[str, Setting]] = (),
    ) -> None:
        if sampler not in {"tpe", "random", "grid"}:
            raise ValueError(f"sampler must be 'tpe', 'random' or 'grid', got {sampler!r}")
        self._branches = [
            _Branch(chosen, {name: _distribution(space) for name, space in found.items()})
            for chosen, found in _branched(spaces)
        ]
        sizes = [branch.size for branch in self._branches]
        self.size = None if None in sizes else sum(size for size in sizes if size is not None)
        """Number of distinct settings; ``None`` when a dimension is a range."""
        if sampler == "grid" and self.size is None:
            raise ValueError('sampler = "grid" needs choices or fixed values, not ranges')
        self.learns = sampler == "tpe"
        """Whether proposals depend on results."""
        self._study = study
        self._sampler = sampler
        self._seed = seed
        self._start = start
        self._grid: list[int] | None = None
        self._turns: list[str] | None = None
        self._mirror = _Mirror(direction)
        self._tried = _Tried(self._identity)

    def distributions(self, settings: Mapping[str, Any]) -> dict[str, BaseDistribution]:
        """Return the distributions of what is, or will be, in a trial with these settings."""
        return self._of(settings).distributions

    def propose(
        self, number: int, before: Sequence[FrozenTrial], ended: Sequence[FrozenTrial]
    ) -> dict[str, Setting]:
        """Return the settings of trial ``number``.

        Args:
            number: The trial's number; decides the seed.
            before: All trials before it, ordered by number, running ones included; none is repeated.
            ended: Those of earlier rounds, which it learns from.
        """
        tried = () if self.size is None else self._tried.by(before)
        if len(before) < len(self._start):
            for attempt in range(_REDRAWS):
                given = self.complete(number, ended, self._start[len(before)], attempt)
                if self._identity(given) not in tried:
                    return given
        if self.size is None:
            return self._draw(number, ended, attempt=0)
        if self._sampler != "grid":
            for attempt in range(_REDRAWS):
                settings = self._draw(number, ended, attempt)
                if self._identity(settings) not in tried:
                    return settings
        untried = self._first_untried(tried)
        return untried if untried is not None else self._grid_point(self._order()[number % self.size])

    def complete(
        self, number: int, ended: Sequence[FrozenTrial], settings: Mapping[str, Any], attempt: int = 0
    ) -> dict[str, Setting]:
        """Return settings with what they lack proposed: a given trial's, or those of one that another tool began."""
        drawn = self._draw(number, ended, attempt, combiner=settings.get(COMBINER))
        return {name: settings.get(name, drawn[name]) for name in drawn}

    def _draw(
        self, number: int, history: Sequence[FrozenTrial], attempt: int, combiner: str | None = None
    ) -> dict[str, Setting]:
        seed = _seed_of(self._seed, self._study, number, attempt)
        sampler: BaseSampler
        if self._sampler == "random":
            sampler, history = RandomSampler(seed=seed), ()
        else:
            space = self._branches[0].distributions if len(self._branches) == 1 else None
            sampler = tpe_sampler(space, self._mirror.once, seed=seed, n_startup_trials=STARTUP_TRIALS)
        others = history
        if others and others[-1].number >= number:  # ordered by number
            others = [trial for trial in history if trial.number != number]
        if len(self._branches) == 1:
            return self._mirror.sample(sampler, self._branches[0].distributions, others)
        turn = combiner or (self._turn(number) if attempt == 0 else None)
        return self._mirror.choose(sampler, self._branches, others, turn)

    def _turn(self, number: int) -> str | None:
        """Return the combiner whose turn it is: each has one among a study's first trials, given ones aside."""
        if self._turns is None:
            self._turns = [str(branch.chosen) for branch in self._branches]
            random.Random(_seed_of(self._seed, self._study, -2, 0)).shuffle(self._turns)  # noqa: S311
        turn = number - len(self._start)
        return self._turns[turn] if 0 <= turn < len(self._turns) else None

    def _first_untried(self, tried: Container[tuple[Any, ...]]) -> dict[str, Setting] | None:
        """Return the first of the shuffled points that is not tried; ``None`` when all are."""
        order = self._order()
        first = self._tried.passed
        for place in range(first, len(order)):
            settings = self._grid_point(order[place])
            if self._identity(settings) not in tried:
                self._tried.passed = place  # all before it are tried, and stay so
                return settings
        return None

    def _order(self) -> list[int]:
        """Return the grid's points in a fixed random order, so that any beginning of it is a fair sample."""
        if self._grid is None:
            self._grid = list(range(self.size or 0))
            random.Random(_seed_of(self._seed, self._study, -1, 0)).shuffle(self._grid)  # noqa: S311
        return self._grid

    def _grid_point(self, index: int) -> dict[str, Setting]:
        for branch in self._branches:
            size = branch.size or 0
            if index < size:
                return branch.point(index)
            index -= size
        raise IndexError(index)

    def _identity(self, settings: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(settings.get(name) for name in self._of(settings).distributions)

    def _of(self, settings: Mapping[str, Any]) -> _Branch:
        """Return the branch of a setting; the first where it names none."""
        chosen = settings.get(COMBINER)
        return next((one for one in self._branches if one.chosen == chosen), self._branches[0])


class _Tried:
    """The settings that were tried; a trial's are looked at once, not again for each proposal.

    Args:
        identity: What makes two settings the same.
    """

    def __init__(self, identity: Callable[[Mapping[str, Any]], tuple[Any, ...]]) -> None:
        self._identity = identity
        self._forget()

    def _forget(self) -> None:
        self._known, self._last = 0, -1
        self._unfinished: dict[int, tuple[Any, ...]] = {}
        self._identities: set[tuple[Any, ...]] = set()
        self.passed = 0
        """Points of the grid, in its order, that are known to be tried."""

    def by(self, trials: Sequence[FrozenTrial]) -> Container[tuple[Any, ...]]:
        """Return the identities of trials that are ordered by number, most often those of before and one more."""
        if not self._goes_on(trials):
            self._forget()
        for place in [place for place in self._unfinished if trials[place].state.is_finished()]:
            del self._unfinished[place]
        for place, trial in enumerate(trials[self._known :], start=self._known):
            found = self._identity(trial.params)
            self._identities.add(found)
            if not trial.state.is_finished():
                self._unfinished[place] = found
        self._known, self._last = len(trials), trials[-1].number if trials else -1
        return self._identities

    def _goes_on(self, trials: Sequence[FrozenTrial]) -> bool:
        """Return whether trials begin with the known ones.

        Trials are never taken away: as many with the same last one are the same ones. Only of one that has not ended may
        another tool still write settings.
        """
        if self._known > len(trials) or (self._known and trials[self._known - 1].number != self._last):
            return False
        return all(self._identity(trials[place].params) == found for place, found in self._unfinished.items())


class _Branch:
    """The dimensions of one combiner; of a plain study all of them."""

    def __init__(self, chosen: str | None, distributions: dict[str, BaseDistribution]) -> None:
        self.chosen = chosen
        self.distributions = distributions
        values = {
            name: one.choices if name != COMBINER else (chosen,)
            for name, one in distributions.items()
            if isinstance(one, CategoricalDistribution)
        }
        self._choices = values if len(values) == len(distributions) else {}
        self.size = math.prod(map(len, values.values())) if self._choices else None
        """Distinct settings; ``None`` when a dimension is a range."""

    def point(self, index: int) -> dict[str, Setting]:
        """Return one of the distinct settings."""
        settings: dict[str, Setting] = {}
        for name, choices in self._choices.items():
            index, choice = divmod(index, len(choices))
            settings[name] = cast("Setting", choices[choice])
        return settings


def _branched(
    spaces: Spaces | Mapping[str, Spaces],
) -> Iterator[tuple[str | None, Mapping[str, Dimension | tuple[str, ...]]]]:
    nested = {name: space for name, space in spaces.items() if isinstance(space, Mapping)}
    if not nested:
        yield None, spaces  # type: ignore[misc]
        return
    for chosen, own in nested.items():
        yield chosen, {COMBINER: tuple(nested), **{f"{chosen}.{name}": one for name, one in own.items()}}


def by_dimension(settings: Mapping[str, Any]) -> dict[str, Setting]:
    """Return stored settings by the plain names of their dimensions: ``lr`` for ``<combiner>.lr``."""
    chosen = settings.get(COMBINER)
    if chosen is None:
        return dict(settings)
    return {name.removeprefix(f"{chosen}."): value for name, value in settings.items()}


class _Mirror:
    """An in-memory copy of a study that samplers may scribble on; updated, not rebuilt, at each use."""

    def __init__(self, direction: str) -> None:
        self._storage = optuna.storages.InMemoryStorage()
        self._study = optuna.create_study(storage=self._storage, direction=direction)
        self._study_id = self._storage.get_study_id_from_name(self._study.study_name)
        self._copies: dict[int, tuple[int, TrialState]] = {}
        self._settled: tuple[int, int] | None = None
        self._computed: dict[Any, Any] = {}

    def once(self, name: Any, compute: Callable[[], _Computed]) -> _Computed:
        """Return what depends on nothing but the copied trials, computed again when one of them changes.

        Args:
            name: What it is.
            compute: Computes it.
        """
        if name not in self._computed:
            self._computed[name] = compute()
        return cast("_Computed", self._computed[name])

    def _copy_all(self, history: Sequence[FrozenTrial]) -> None:
        # Trials are ordered by number and are never taken away: as many with the same last one are the same ones.
        these = (len(history), history[-1].number) if history else None
        if these is None or these == self._settled:
            return
        for trial in history:
            self._copy(trial)
        if all(trial.state.is_finished() for trial in history):
            self._settled = these

    def sample(
        self,
        sampler: BaseSampler,
        distributions: dict[str, BaseDistribution],
        history: Sequence[FrozenTrial],
    ) -> dict[str, Setting]:
        self._copy_all(history)
        self._study.sampler = sampler
        draft = self._study.ask(distributions)
        # Samplers ignore failed trials, so the draft does not count as history.
        self._study.tell(draft, state=TrialState.FAIL)
        return dict(draft.params)

    def choose(
        self,
        sampler: BaseSampler,
        branches: Sequence[_Branch],
        history: Sequence[FrozenTrial],
        turn: str | None,
    ) -> dict[str, Setting]:
        """Sample the combiner, then its own dimensions; ``turn`` names the combiner where it is decided."""
        self._copy_all(history)
        if turn is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                sampler = PartialFixedSampler({COMBINER: turn}, sampler)
        self._study.sampler = sampler
        draft = self._study.ask()
        chosen = draft.suggest_categorical(COMBINER, branches[0].distributions[COMBINER].choices)
        branch = next(one for one in branches if one.chosen == chosen)
        for name, distribution in branch.distributions.items():
            if isinstance(distribution, FloatDistribution):
                draft.suggest_float(name, distribution.low, distribution.high, log=distribution.log)
            elif isinstance(distribution, IntDistribution):
                draft.suggest_int(name, distribution.low, distribution.high, log=distribution.log)
            elif name != COMBINER:
                draft.suggest_categorical(name, distribution.choices)
        self._study.tell(draft, state=TrialState.FAIL)
        return dict(draft.params)

    def _copy(self, trial: FrozenTrial) -> None:
        known = self._copies.get(trial.number)
        if trial.state is TrialState.WAITING:  # enqueued by hand; `ask` would take it for the draft
            return
        if known is None:
            trial_id = self._storage.create_new_trial(self._study_id, template_trial=trial)
            self._copies[trial.number] = (trial_id, trial.state)
            self._computed.clear()
            return
        trial_id, state = known
        if state is trial.state:
            return
        self._computed.clear()
        for step, value in trial.intermediate_values.items():
            self._storage.set_trial_intermediate_value(trial_id, step, value)
        self._storage.set_trial_state_values(trial_id, trial.state, trial.values)
        self._copies[trial.number] = (trial_id, trial.state)


def _distribution(space: Dimension | tuple[str, ...]) -> BaseDistribution:
    if isinstance(space, FloatRange):
        return FloatDistribution(space.low, space.high, log=space.log)
    if isinstance(space, IntRange):
        return IntDistribution(space.low, space.high, log=space.log)
    if isinstance(space, tuple):
        return CategoricalDistribution(space)
    # A fixed value is a choice of one: the dashboard then shows every setting of a trial.
    values = space.choices if isinstance(space, Choices) else (space,)
    return CategoricalDistribution(tuple(map(float, values)))


def _seed_of(seed: int, study: str, number: int, attempt: int) -> int:
    text = f"{seed}\0{study}\0{number}\0{attempt}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
