"""What the runs of a study's trials came to, read from the storage."""

from __future__ import annotations

from collections.abc import Mapping

from optuna.trial import TrialState

from adapterlab.search.storage import close_storage, open_storage, readable_errors
from adapterlab.search.trials import RUN_VALUES


def run_values(storage_url: str, studies: Mapping[str, int]) -> dict[str, dict[int, list[float]]]:
    """Return the objective of every run of each complete trial that had several, by study and number.

    Args:
        storage_url: Database of the studies.
        studies: How many trials of each study count, by its name there. A study that is not there is left out.

    Raises:
        UnavailableError: The storage cannot be reached or was never initialised.
    """
    storage = open_storage(storage_url)
    found: dict[str, dict[int, list[float]]] = {}
    try:
        with readable_errors(storage_url):
            for name, count in studies.items():
                try:
                    number = storage.get_study_id_from_name(name)
                except KeyError:
                    continue
                trials = storage.get_all_trials(number, deepcopy=False, states=(TrialState.COMPLETE,))
                found[name] = {
                    trial.number: list(trial.user_attrs[RUN_VALUES])
                    for trial in trials
                    if trial.number < count and RUN_VALUES in trial.user_attrs
                }
    finally:
        close_storage(storage)
    return found
