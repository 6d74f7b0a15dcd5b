"""A study's trials as this process knows them, kept true by one small query instead of six large ones.

Optuna reads a study anew for every question: a trial's row, parameters, values, attributes and epochs,
each table by a query of its own. Nearly always the answer is what this process wrote itself. So it
remembers what it wrote, and asks only which trials there are in which state; any difference, and any
running trial of somebody else's, makes it read everything.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence

from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from adapterlab.search.storage import trial_states


class TrialView:
    """The trials of one study.

    Args:
        storage: An open storage; the truth.
        study_id: The study's id there.
    """

    def __init__(self, storage: BaseStorage, study_id: int) -> None:
        self._storage = storage
        self._study_id = study_id
        self._trials: dict[int, FrozenTrial] = {}
        """By number; everything in it was read from the storage or written to it by us."""
        self._ordered: list[FrozenTrial] | None = []
        """The same by number; ``None``: to be ordered anew."""
        self._open: dict[int, int] = {}
        """Ids of the trials that have not ended, with their numbers."""
        self._last_id = -1

    def current(self, mine: Collection[int]) -> list[FrozenTrial]:
        """Return every trial by number, as the storage has it; not to be changed.

        Args:
            mine: Numbers of the running trials that no other process writes to.
        """
        found = trial_states(self._storage, self._study_id, self._last_id, self._open)
        if found is None or self._differs(found, mine):
            self._read()
        return self.trials

    @property
    def trials(self) -> list[FrozenTrial]:
        """Every trial by number, as far as known; asks nobody. A list of the view's own, which goes on changing."""
        if self._ordered is None:
            self._ordered = [self._trials[number] for number in sorted(self._trials)]
        return self._ordered

    @property
    def unfinished(self) -> list[FrozenTrial]:
        """The trials that have not ended by number, as far as known."""
        return [self._trials[number] for number in sorted(self._open.values())]

    def get(self, number: int) -> FrozenTrial | None:
        """Return what is known of a trial."""
        return self._trials.get(number)

    # -- what this process wrote --------------------------------------------------------------------

    def note_trial(self, trial: FrozenTrial) -> None:
        """Note a trial that was written."""
        self._keep(trial)

    def note_value(self, number: int, epoch: int, value: float) -> None:
        """Note an epoch's objective that was written."""
        self._change(number, intermediate_values={epoch: value})

    def note_end(self, number: int, state: TrialState, values: Sequence[float] | None) -> None:
        """Note an end that was written."""
        self._change(number, state=state, values=values)

    def forget(self) -> None:
        """Read everything at the next question."""
        self._last_id = -1
        self._trials.clear()
        self._open.clear()
        self._ordered = []

    # -- inner --------------------------------------------------------------------------------------

    def _differs(self, found: Collection[tuple[int, int, TrialState]], mine: Collection[int]) -> bool:
        if len(found) != len(self._open):
            return True  # a new one, or one is gone
        for trial_id, number, state in found:
            trial = self._trials.get(number)
            if trial is None or trial._trial_id != trial_id or trial.state is not state:
                return True
            if state is TrialState.RUNNING and number not in mine:
                return True  # its epochs and its owner may have changed
        return False

    def _read(self) -> None:
        trials = self._storage.get_all_trials(self._study_id, deepcopy=False)
        if len(trials) < len(self._trials):
            self.forget()  # one was taken away
        for trial in trials:
            if self._trials.get(trial.number) is not trial:
                self._keep(trial)

    def _keep(self, trial: FrozenTrial) -> None:
        number, ordered = trial.number, self._ordered
        if ordered is not None:
            # Numbers count from 0, so that a trial's place is its number, as long as none is missing.
            if number == len(ordered) == len(self._trials):
                ordered.append(trial)
            elif number in self._trials and number < len(ordered) and ordered[number].number == number:
                ordered[number] = trial
            else:
                self._ordered = None
        self._trials[number] = trial
        self._last_id = max(self._last_id, trial._trial_id)
        if trial.state.is_finished():
            self._open.pop(trial._trial_id, None)
        else:
            self._open[trial._trial_id] = trial.number

    def _change(
        self,
        number: int,
        *,
        state: TrialState | None = None,
        values: Sequence[float] | None = None,
        intermediate_values: dict[int, float] | None = None,
    ) -> None:
        before = self._trials.get(number)
        if before is None:
            return  # read at the next question
        # A copy, because Optuna's cache may hold the same object and must learn of changes by itself.
        trial = copy.copy(before)
        trial.intermediate_values = {**before.intermediate_values, **(intermediate_values or {})}
        if state is not None:
            trial.state = state
            trial.values = values
        self._keep(trial)
