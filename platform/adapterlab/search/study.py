"""One study: ask for settings, report epochs, tell results; exact whatever crashes.

The database is the truth: a trial is created with its settings and its worker in one transaction,
pruned is PRUNED with its intermediate values, a value that is not a number is FAIL with a reason,
and a worker that died finds its unfinished trials again under the same numbers. So a study ends
with exactly its budget of trials and none left running.

Searches that differ in their budget only share one Optuna study, so that raising the budget trains
nothing twice. A budget of N is the first N trials of it and knows of no other. What a trial learns
from, and what it is pruned against, is decided by its place and not by the clock: trials come in
rounds, and each sees exactly the rounds before its own (:func:`round_start`).

A study may have a budget of time as well: then it is the first trials that began while its clock had not come to
it, and what had begun is trained to its end. So it is what a budget of so many trials gives.

Every question and answer may be repeated as a whole, which is what is done while the database is away: a trial
that was created though its worker did not hear of it is handed out to that worker at its next try.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from adapterlab.errors import ConflictError, NotFoundError
from adapterlab.patience import NO_PATIENCE, Patience
from adapterlab.records import State
from adapterlab.search.clocks import begun_within
from adapterlab.search.pruners import compares, pruner_of
from adapterlab.search.samplers import Proposer, Spaces, by_dimension, round_start
from adapterlab.search.storage import (
    SEARCH_KEY,
    close_storage,
    find_study,
    open_storage,
    readable_errors,
    study_lock,
    trial_number,
)
from adapterlab.search.trial_view import TrialView
from adapterlab.search.trials import REASON, RESUMED, STATES, WORKER, TrialRecord, read_trials, record_of
from adapterlab.spec.pruning import PruningSpec, pruning_settings
from adapterlab.spec.search_space import Dimension, Setting, space_json

__all__ = ["Guard", "Proposal", "StudySearch", "TrialRecord", "read_trials"]

Guard = Callable[[], AbstractContextManager[Any]]
"""Makes a lock that all workers of a study share; held while a proposal is made and written.

May raise where its caller must not propose, for example because another process has the study now.
"""

SEARCH = "search"
"""Study attribute: the space, sampler, seed and direction it was made with."""

_REASON_LENGTH = 1000
_KEY_DIGITS = (8, 16, 64)
"""Of the key in a study's name: more where another search of that name has the same first ones."""
_LONGEST_TITLE = 400
"""Optuna's names hold 512 characters."""

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Proposal:
    """One setting to train."""

    number: int
    """The trial's number in its study."""
    settings: Mapping[str, Setting]
    """Every dimension, fixed ones included; where the combiner is one, those of the chosen one."""
    taken_over: bool
    """Whether an earlier worker began it and died."""
    attributes: Mapping[str, Any]
    """What was noted of it before, for example by the worker that died."""
    _judges: _Judges = field(repr=False, compare=False)
    """The trials of earlier rounds, which the pruner compares this one with."""
    _study: StudySearch = field(repr=False, compare=False)
    _values: dict[int, float] = field(default_factory=dict, repr=False, compare=False)

    def report(self, value: float, epoch: int) -> bool:
        """Store the objective after an epoch and return whether to stop this trial now.

        A value that is not finite fails the trial at once. Reporting an epoch again overwrites it.

        Args:
            value: The validation metric.
            epoch: 1 for the first.

        Returns:
            True when the trial cannot win any more, or has failed: stop it and, unless it failed,
            tell it pruned.
        """
        return self._study._report(self, float(value), epoch)


@dataclass
class _Judges:
    """The trials of earlier rounds: what a trial learns from, and what a pruner asks its study for."""

    direction: optuna.study.StudyDirection
    seen: Sequence[FrozenTrial]
    computed: dict[Any, Any] = field(default_factory=dict)
    """What the pruner has computed of them."""
    _complete: list[FrozenTrial] | None = None

    @property
    def best_trial(self) -> FrozenTrial:
        complete = self.get_trials(states=(TrialState.COMPLETE,))
        if not complete:
            raise ValueError("no trial is complete")
        sign = -1.0 if self.direction is optuna.study.StudyDirection.MAXIMIZE else 1.0
        return min(complete, key=lambda trial: (sign * float(trial.value or 0.0), trial.number))

    def get_trials(
        self, deepcopy: bool = False, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        assert not deepcopy
        if states != (TrialState.COMPLETE,):
            return [trial for trial in self.seen if states is None or trial.state in states]
        if self._complete is None:  # asked after each epoch of each trial of the round
            self._complete = [trial for trial in self.seen if trial.state is TrialState.COMPLETE]
        return self._complete


@dataclass(frozen=True)
class _Standing:
    """The trials at the beginning of a study that have ended without a gap."""

    place: int = 0
    """How many they are."""
    last: int = -1
    """The number of the last of them."""
    best: float | None = None
    """The best of their values."""


@dataclass(frozen=True, kw_only=True)
class SearchRecipe:
    """What a study searches, and how."""

    spaces: Spaces | Mapping[str, Spaces]
    """The dimensions: fixed values, ranges and choices. In a study that chooses the combiner: each
    combiner's dimensions by its name."""
    trials: int
    """Trials in all; fewer when there are fewer distinct settings."""
    direction: str = "maximize"
    """``"maximize"`` or ``"minimize"``."""
    sampler: str = "tpe"
    """``"tpe"``, ``"random"`` or ``"grid"``."""
    pruner: str = "median"
    """One of :data:`adapterlab.spec.pruning.PRUNERS`."""
    pruning: Mapping[str, int | float] | None = None
    """The pruner's settings, all of them; absent: its defaults."""
    start: Sequence[Mapping[str, Setting]] = ()
    """Settings of the first trials; a dimension that is missing is proposed as usual."""
    seed: int = 0
    """Seed of the proposals."""
    limit_s: float | None = None
    """Seconds by the study's clock after which no trial begins any more; ``None``: until all have."""


class StudySearch:
    """One study in the storage. Make it with :meth:`open`; use it from one thread."""

    def __init__(
        self,
        study: optuna.Study,
        storage: BaseStorage,
        proposer: Proposer,
        *,
        url: str,
        recipe: SearchRecipe,
        guard: Guard,
        patience: Patience = NO_PATIENCE,
    ) -> None:
        self.name: str = study.study_name
        """What it is called in the storage."""
        self._study = study
        self._storage = storage
        self._study_id = storage.get_study_id_from_name(self.name)
        self._view = TrialView(storage, self._study_id)
        self._proposer = proposer
        self._in_rounds = proposer.learns or compares(recipe.pruner)
        self._url = url
        self._guard = guard
        self._patience = patience
        self._handed_out: set[int] = set()
        self._round: _Judges | None = None
        """The last round's trials, when they have all ended: what they are does not change any more."""
        self._stood = _Standing()
        self._in_vain = False
        """Whether there was nothing to hand out when last asked."""
        trials, size = recipe.trials, proposer.size
        self._most = trials if size is None else min(trials, size)
        self._limit_s = recipe.limit_s
        self._in_time: int | None = None
        """Trials that began in time; ``None`` while there is time left."""
        self._look_at = -math.inf
        """When the clock is to be looked at next, by the monotonic one; it cannot be at the limit before."""

    @classmethod
    def open(
        cls,
        storage_url: str,
        key: str,
        recipe: SearchRecipe,
        *,
        title: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        guard: Guard | None = None,
        locks: Path | None = None,
        patience: Patience = NO_PATIENCE,
    ) -> StudySearch:
        """Open a study, creating it when it is new. The storage must be initialised.

        Opening with more trials than before extends the study; nothing is proposed twice. Opening with
        fewer sees the first of them only.

        Args:
            storage_url: Database of the studies.
            key: The search's own key: there is one study of it in the storage, whatever that is called.
            recipe: What to search, and how.
            title: What people call it; a study that is new is named ``<title> · <first digits of its key>``.
                Absent: it is named by its key.
            attributes: JSON-able facts to show in the dashboard (target, combiner, …).
            guard: Makes the lock shared by the study's workers; absent: a lock file (SQLite) or an
                advisory lock (PostgreSQL) of the search's key.
            locks: Folder of lock files, when ``guard`` is absent; absent: beside the SQLite file.
            patience: How long to wait, now and later, for a database that is away.

        Raises:
            ConflictError: The study of this key has another space, direction, sampler or seed.
            UnavailableError: The storage cannot be reached or was never initialised.
            ValueError: An unknown sampler, pruner or direction, or fewer than one trial.
        """
        if recipe.trials < 1:
            raise ValueError(f"trials must be at least 1, got {recipe.trials}")
        proposer = Proposer(
            key,
            recipe.spaces,
            direction=recipe.direction,
            sampler=recipe.sampler,
            seed=recipe.seed,
            start=recipe.start,
        )
        shared = guard or (lambda: study_lock(storage_url, key, locks))
        made_with = _description(recipe)

        def opened() -> StudySearch:
            storage = open_storage(storage_url)
            try:
                with readable_errors(storage_url):
                    with shared():
                        name = _name_of(storage, key, title)
                        study = _open_study(
                            storage, name, recipe, {**(attributes or {}), SEARCH_KEY: key, SEARCH: made_with}
                        )
                    return cls(
                        study,
                        storage,
                        proposer,
                        url=storage_url,
                        recipe=recipe,
                        guard=shared,
                        patience=patience,
                    )
            except BaseException:
                close_storage(storage)
                raise

        return patience.retry(opened)

    @property
    def budget(self) -> int:
        """Trials this study ends with: as asked, as many as there are distinct settings, or those that began in time."""
        return self._most if self._in_time is None else min(self._most, self._in_time)

    def __enter__(self) -> StudySearch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the database connections back."""
        close_storage(self._storage)

    def ask(self, worker: str) -> Proposal | None:
        """Return the next setting to train; ``None`` when there is none now.

        There is none when the budget is spent (:attr:`spent`), or while trials of the round before are
        in training. A worker that comes back after a crash first gets, by number, the trials it left
        running (and those nobody owns); then new ones while fewer than the budget exist.

        Args:
            worker: Stable id of the asking worker: the same after its restart, no other's.
        """
        proposal = self._patiently(
            lambda: None if self._in_vain and self._has_none_for(worker) else self._ask(worker)
        )
        self._in_vain = proposal is None
        if proposal is not None:
            self._handed_out.add(proposal.number)  # only now: a try that broke off has handed out nothing
        return proposal

    def _has_none_for(self, worker: str) -> bool:
        """Return whether there is still nothing to hand out; asked without the lock.

        Where many workers wait for a round to end, those that work get the lock.
        """
        self._view.current(self._handed_out)
        trials = self._own_in_view()
        if any(self._is_stale(trial, worker) for trial in self._view.unfinished):
            return False
        judges = self._judges(trials, len(trials))
        return len(trials) >= self.budget or not all(trial.state.is_finished() for trial in judges.seen)

    def _ask(self, worker: str) -> Proposal | None:
        with self._guard():
            now = datetime.now()  # noqa: DTZ005  # as Optuna's own; before the clock is looked at, so that what begins began in time
            everything = self._view.current(self._handed_out)
            trials = self._own_in_view()
            last = trials[-1].number if trials else -1
            stale = next(
                (
                    trial
                    for trial in self._view.unfinished
                    if trial.number <= last and self._is_stale(trial, worker)
                ),
                None,
            )
            if stale is not None:
                return self._hand_out_again(stale, worker, trials)
            if len(trials) >= self.budget:
                return None
            judges = self._judges(trials, len(trials))
            if judges is not self._round:
                if not all(trial.state.is_finished() for trial in judges.seen):
                    return None
                self._round = judges
            settings = self._proposer.propose(len(everything), trials, judges.seen)
            draft = create_trial(
                state=TrialState.RUNNING,
                params=settings,
                distributions=self._proposer.distributions(settings),
                user_attrs={WORKER: worker},
            )
            draft.datetime_start = now
            trial_id = self._storage.create_new_trial(self._study_id, template_trial=draft)
            number = trial_number(self._storage, self._study_id, trial_id)
            draft.number, draft._trial_id = number, trial_id
            self._view.note_trial(draft)
        return Proposal(
            number, by_dimension(settings), taken_over=False, attributes={}, _judges=judges, _study=self
        )

    def take_over(self, worker: str | None = None) -> int:
        """Let anybody's next ``ask`` continue running trials whose worker is gone for good.

        Args:
            worker: Whose trials; ``None``: everybody's, for a new owner of the whole study.

        Returns:
            How many trials were set free.
        """

        def free() -> list[FrozenTrial]:
            with self._guard():
                freed = [
                    trial
                    for trial in self._own(self._trials())
                    if trial.state is TrialState.RUNNING
                    and (worker is None or trial.user_attrs.get(WORKER) == worker)
                ]
                for trial in freed:
                    self._storage.set_trial_user_attr(self._id_of(trial.number), WORKER, None)
            return freed

        freed = self._patiently(free)
        self._look_again()
        self._handed_out -= {trial.number for trial in freed}
        self._view.forget()
        return len(freed)

    def annotate(self, number: int, **attributes: Any) -> None:
        """Note JSON-able facts of a running trial, for example its MLflow run; ended ones stay as they are."""

        def note() -> None:
            trial_id = self._id_of(number)
            for key, value in attributes.items():
                try:
                    self._storage.set_trial_user_attr(trial_id, key, value)
                except optuna.exceptions.UpdateFinishedTrialError:
                    return

        self._patiently(note)

    def tell_complete(self, number: int, value: float) -> State:
        """End a trial with its objective; not a finite number means failed. Ended trials stay as they are.

        Returns:
            The state the trial has now.
        """
        if not math.isfinite(value):
            return self.tell_failed(number, f"the objective is {value}")
        return self._end(number, TrialState.COMPLETE, value=float(value))

    def tell_pruned(self, number: int) -> State:
        """End a trial as pruned; its intermediate values stay. Returns the state it has now."""
        return self._end(number, TrialState.PRUNED)

    def tell_failed(self, number: int, reason: str) -> State:
        """End a trial without a result, for a reason. Returns the state it has now."""
        return self._end(number, TrialState.FAIL, reason=reason)

    def best(self) -> TrialRecord | None:
        """Return the best complete trial, the earliest of equals; ``None`` while none is complete."""
        complete = [trial for trial in self.trials() if trial.value is not None]
        sign = -1.0 if self._study.direction is optuna.study.StudyDirection.MAXIMIZE else 1.0
        return min(complete, key=lambda trial: (sign * (trial.value or 0.0), trial.number), default=None)

    def trials(self) -> list[TrialRecord]:
        """Return every trial of the budget, by number."""
        return [record_of(trial) for trial in self._own(self._patiently(self._trials))]

    def standing(self) -> tuple[int, float | None]:
        """Return how many trials have ended, and the best value; cheap."""
        trials = self._current()
        better = max if self._study.direction is optuna.study.StudyDirection.MAXIMIZE else min
        known = self._stood
        if known.place and (known.place > len(trials) or trials[known.place - 1].number != known.last):
            known = _Standing()

        def best_of(best: float | None, some: Sequence[FrozenTrial]) -> float | None:
            values = [trial.value for trial in some if trial.state is TrialState.COMPLETE]
            return better((one for one in (best, *values) if one is not None), default=None)

        # What has ended stays as it is: it is looked at once.
        place = known.place
        while place < len(trials) and trials[place].state.is_finished():
            place += 1
        if place > known.place:
            best = best_of(known.best, trials[known.place : place])
            self._stood = known = _Standing(place, trials[place - 1].number, best)
        rest = trials[place:]
        return place + sum(trial.state.is_finished() for trial in rest), best_of(known.best, rest)

    @property
    def finished(self) -> bool:
        """Whether the budget is spent and no trial runs."""
        trials = self._own(self._patiently(self._trials))
        return len(trials) >= self.budget and all(trial.state.is_finished() for trial in trials)

    @property
    def spent(self) -> bool:
        """Whether every trial of the budget exists, so that nothing new will be proposed."""
        return len(self._current()) >= self.budget

    def _current(self) -> list[FrozenTrial]:
        """Return the trials of the budget, as the storage has them."""
        self._patiently(lambda: self._view.current(self._handed_out))
        return self._own_in_view()

    def _own_in_view(self) -> list[FrozenTrial]:
        """Return the trials of the budget as far as known; all are gone through only where one is waiting."""
        if any(trial.state is TrialState.WAITING for trial in self._view.unfinished):
            return self._own(self._view.trials)
        self._look_at_clock()
        return self._view.trials[: self.budget]

    def _patiently(self, work: Callable[[], _Result]) -> _Result:
        """Do something with the storage, again while the database is away."""

        def once() -> _Result:
            with readable_errors(self._url):
                return work()

        return self._patience.retry(once)

    def _own(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """Return the trials the budget pays for: the first, but none another tool enqueued and nobody here runs."""
        own = [trial for trial in trials if trial.state is not TrialState.WAITING]
        self._look_at_clock()
        return own[: self.budget]

    def _look_at_clock(self) -> None:
        """Note which trials began in time, once no other can; by the storage's times, so that all agree."""
        if self._limit_s is None or self._in_time is not None or time.monotonic() < self._look_at:
            return
        stored = [one for one in self._patiently(self._trials) if one.state is not TrialState.WAITING]
        begun, clock_s = begun_within(stored[: self._most], self._limit_s, time.time())
        if clock_s >= self._limit_s:
            self._in_time = begun
        else:
            self._look_at = time.monotonic() + self._limit_s - clock_s

    def _look_again(self) -> None:
        """Look at the clock anew: what a worker lost was counted by it, and is not any more."""
        self._in_time, self._look_at = None, -math.inf

    def _judges(self, trials: Sequence[FrozenTrial], place: int) -> _Judges:
        """Return the trials that the one at a place learns from and is judged against."""
        start = round_start(place) if self._in_rounds else 0
        known = self._round
        # Trials are never taken away: as many with the same last one are the same ones.
        if known is not None and len(known.seen) == start and (
            start == 0 or known.seen[-1].number == trials[start - 1].number
        ):  # fmt: skip
            return known
        return _Judges(self._study.direction, trials[:start])

    def _trials(self) -> list[FrozenTrial]:
        trials: list[FrozenTrial] = self._storage.get_all_trials(self._study_id, deepcopy=False)
        return trials

    def _id_of(self, number: int) -> int:
        try:
            trial_id: int = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)
        except KeyError as error:
            raise NotFoundError(f"study {self.name!r} has no trial {number}") from error
        return trial_id

    def _is_stale(self, trial: FrozenTrial, worker: str) -> bool:
        return (
            trial.state is TrialState.RUNNING
            and trial.number not in self._handed_out
            and trial.user_attrs.get(WORKER) in {None, worker}
        )

    def _hand_out_again(self, trial: FrozenTrial, worker: str, trials: Sequence[FrozenTrial]) -> Proposal:
        trial_id = self._id_of(trial.number)
        judges = self._judges(trials, [one.number for one in trials].index(trial.number))
        settings = {**trial.params}
        if not settings.keys() >= self._proposer.distributions(settings).keys():
            # made by another tool's `ask`, which stores one setting at a time
            drawn = self._proposer.complete(trial.number, judges.seen, settings)
            for name, distribution in sorted(self._proposer.distributions(drawn).items()):
                if name not in settings:
                    internal = distribution.to_internal_repr(drawn[name])
                    self._storage.set_trial_param(trial_id, name, internal, distribution)
                    settings[name] = drawn[name]
        self._storage.set_trial_user_attr(trial_id, RESUMED, time.time())
        self._storage.set_trial_user_attr(trial_id, WORKER, worker)
        self._view.forget()
        self._look_again()
        noted = {
            key: value for key, value in trial.user_attrs.items() if key not in {WORKER, REASON, RESUMED}
        }
        return Proposal(
            trial.number,
            by_dimension(settings),
            taken_over=True,
            attributes=noted,
            _judges=judges,
            _study=self,
        )

    def _report(self, proposal: Proposal, value: float, epoch: int) -> bool:
        number = proposal.number
        if epoch < 1:
            raise ValueError(f"epochs count from 1, got {epoch}")
        if not math.isfinite(value):
            self.tell_failed(number, f"the objective is {value} after epoch {epoch}")
            return True

        def write() -> State:
            trial_id = self._id_of(number)
            try:
                self._storage.set_trial_intermediate_value(trial_id, epoch, value)
            except optuna.exceptions.UpdateFinishedTrialError:
                return STATES[self._storage.get_trial(trial_id).state]
            return State.RUNNING

        state = self._patiently(write)
        if state is State.FAILED:
            return True  # nothing this worker finds can count
        # A worker that has lost the study may end the trial it was at. This run comes to the same end, and is taken
        # to it: what is shown of it, and a final run that goes on from it, are as if nobody else had been there.
        if state is State.RUNNING:
            self._view.note_value(number, epoch, value)
        proposal._values[epoch] = value
        # The pruner judges this run alone: later epochs of a run that died are not its own.
        judged = create_trial(state=TrialState.RUNNING, intermediate_values=dict(proposal._values))
        stop: bool = self._study.pruner.prune(proposal._judges, judged)
        return stop

    def _end(
        self, number: int, state: TrialState, *, value: float | None = None, reason: str | None = None
    ) -> State:

        def write() -> State:
            trial_id = self._id_of(number)
            values = None if value is None else [value]
            if state is TrialState.PRUNED:  # Optuna's tools show a pruned trial at its last epoch
                trial = self._view.get(number) or self._storage.get_trial(trial_id)
                values = None if trial.last_step is None else [trial.intermediate_values[trial.last_step]]
            try:
                if reason is not None:
                    self._storage.set_trial_user_attr(trial_id, REASON, reason[:_REASON_LENGTH])
                written = self._storage.set_trial_state_values(trial_id, state, values)
            except optuna.exceptions.UpdateFinishedTrialError:
                written = False  # another process ended it before: the first one counts
            if not written:
                return STATES[self._storage.get_trial(trial_id).state]
            self._view.note_end(number, state, values)
            return STATES[state]

        return self._patiently(write)


def _name_of(storage: BaseStorage, key: str, title: str | None) -> str:
    """Return what a search's study is called: as it is called already, else a name that is free.

    Under the study's lock, so that nobody names the same search meanwhile.
    """
    found = find_study(storage, key)
    if found is not None:
        return found[1]
    if title is None:
        return key
    for digits in _KEY_DIGITS:
        name = f"{title[:_LONGEST_TITLE]} · {key[:digits]}"
        try:
            attributes = storage.get_study_user_attrs(storage.get_study_id_from_name(name))
        except KeyError:
            return name
        if SEARCH not in attributes and SEARCH_KEY not in attributes:
            return name  # made by a process that died before it could write whose it is
    return key


def _open_study(
    storage: BaseStorage, name: str, recipe: SearchRecipe, attributes: Mapping[str, Any]
) -> optuna.Study:
    study = optuna.create_study(
        storage=storage,
        study_name=name,
        direction=recipe.direction,
        pruner=pruner_of(recipe.pruner, _pruning(recipe)),
        load_if_exists=True,
    )
    known, made_with = study.user_attrs, attributes[SEARCH]
    if SEARCH in known and known[SEARCH] != made_with:
        raise ConflictError(
            f"study {name!r} exists with another search: {json.dumps(known[SEARCH])}; "
            f"now asked for: {json.dumps(made_with)}",
            remedy="Give the changed search a name of its own.",
        )
    for attribute, value in attributes.items():
        if attribute not in known or known[attribute] != value:
            study.set_user_attr(attribute, value)
    return study


def _pruning(recipe: SearchRecipe) -> Mapping[str, int | float]:
    return pruning_settings(recipe.pruner, PruningSpec()) if recipe.pruning is None else recipe.pruning


def _description(recipe: SearchRecipe) -> dict[str, Any]:
    start = [dict(one) for one in recipe.start]
    return {
        "spaces": {name: _plain(space) for name, space in recipe.spaces.items()},
        "direction": recipe.direction,
        "sampler": recipe.sampler,
        "seed": recipe.seed,
        **({"start": start} if start else {}),
    }


def _plain(space: Dimension | Spaces) -> Any:
    if isinstance(space, Mapping):
        return {name: _plain(one) for name, one in space.items()}
    return space_json(space)
