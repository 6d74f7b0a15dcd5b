"""When the trials of studies were open, by the clock."""

from __future__ import annotations

from collections.abc import Mapping

from adapterlab.search.storage import close_storage, open_storage, readable_errors


def trial_spans(storage_url: str, studies: Mapping[str, int]) -> dict[str, list[tuple[float, float]]]:
    """Return begin and end of every ended trial, in seconds since 1970, by study.

    A trial that was interrupted and trained again began when it was first proposed.

    Args:
        storage_url: Database of the studies.
        studies: How many trials of each study count, by its name there: a search with a greater budget goes on in
            the same study. A study that is not there is left out.

    Raises:
        UnavailableError: The storage cannot be reached or was never initialised.
    """
    storage = open_storage(storage_url)
    found: dict[str, list[tuple[float, float]]] = {}
    try:
        with readable_errors(storage_url):
            for name, count in studies.items():
                try:
                    number = storage.get_study_id_from_name(name)
                except KeyError:
                    continue
                found[name] = [
                    (trial.datetime_start.timestamp(), trial.datetime_complete.timestamp())
                    for trial in storage.get_all_trials(number, deepcopy=False)
                    if trial.number < count and trial.datetime_start and trial.datetime_complete
                ]
    finally:
        close_storage(storage)
    return found
