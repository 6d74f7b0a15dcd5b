"""The clock of a study is read from its trials, those of its budget only."""

from __future__ import annotations

import time
from datetime import datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState, create_trial

from adapterlab.errors import UnavailableError
from adapterlab.search.clocks import begun_within, trial_spans
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


SPANS = st.lists(st.tuples(st.floats(0, 50), st.one_of(st.none(), st.floats(0, 20))), max_size=12)


@given(SPANS, st.floats(0.5, 60))
def test_a_clock_runs_once_however_many_trials_are_open(spans, limit_s):
    """Compared with counting tenths of seconds in which any trial is open."""
    now, trials = 100.0, []
    for begin, length in sorted(spans, key=lambda one: one[0]):
        trial = create_trial(
            state=TrialState.RUNNING if length is None else TrialState.FAIL, user_attrs={"worker": "w"}
        )
        trial.datetime_start = datetime.fromtimestamp(begin)  # noqa: DTZ006  # as Optuna's are
        trial.datetime_complete = None if length is None else datetime.fromtimestamp(begin + length)  # noqa: DTZ006
        trials.append(trial)
    begun, clock_s = begun_within(trials, limit_s, now)
    points = sorted({point for trial in trials for point in _ends(trial, now)})
    open_s = [
        (left, right)
        for left, right in pairwise(points)
        if any(_ends(trial, now)[0] <= left and right <= _ends(trial, now)[1] for trial in trials)
    ]
    assert clock_s == pytest.approx(sum(right - left for left, right in open_s), abs=1e-4)
    for place, trial in enumerate(trials):
        start = _ends(trial, now)[0]
        before = sum(right - left for left, right in open_s if right <= start)
        if abs(before - limit_s) > 1e-3:
            assert (before < limit_s) == (place < begun)


def _ends(trial, now):
    end = trial.datetime_complete
    return trial.datetime_start.timestamp(), now if end is None else end.timestamp()
