"""The clock of a study is read from its trials, those of its budget only."""

from __future__ import annotations

import time

import pytest

from adapterlab.errors import UnavailableError
from adapterlab.search.clocks import trial_spans
from adapterlab.search.storage import initialise
from adapterlab.spec.search_space import FloatRange
from searches import open_search


def test_spans_are_those_of_the_first_trials(tmp_path):
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    before = time.time()
    spaces = {"lr": FloatRange(low=1e-4, high=1e-2, log=True)}
    initialise(url, tmp_path / "locks")
    with open_search(url, "study", spaces=spaces, trials=3, pruner="none") as search:
        while (proposal := search.ask("w")) is not None:
            search.tell_complete(proposal.number, 0.5)
    found = trial_spans(url, {"study": 2, "nobody's": 4})
    assert list(found) == ["study"]
    assert len(found["study"]) == 2
    assert all(before - 1 <= start <= end <= time.time() + 1 for start, end in found["study"])


def test_a_storage_that_is_not_there_is_said(tmp_path):
    with pytest.raises(UnavailableError):
        trial_spans(f"sqlite:///{tmp_path / 'none.db'}", {"study": 1})
