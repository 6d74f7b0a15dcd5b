"""A new trial is written as Optuna writes it, in fewer statements."""

from __future__ import annotations

from datetime import datetime

import optuna
import pytest
import sqlalchemy
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from adapterlab.search.storage import TrialStorage

WITH = {
    "params": {"lr": 3e-3, "dropout": 0.3, "sources": 4},
    "distributions": {
        "lr": FloatDistribution(1e-4, 1e-1, log=True),
        "dropout": CategoricalDistribution([0.0, 0.3]),
        "sources": IntDistribution(1, 8),
    },
    "user_attrs": {"worker": "a", "note": {"ω": [1, None]}},
}
TEMPLATES = {
    "running": create_trial(state=TrialState.RUNNING, **WITH),
    "without settings": create_trial(state=TrialState.RUNNING),
    "waiting": create_trial(state=TrialState.WAITING, system_attrs={"fixed_params": {"lr": 1e-3}}),
    "complete": create_trial(state=TrialState.COMPLETE, value=0.5, intermediate_values={1: 0.25}, **WITH),
}


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request):
    return request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")


def statements_of(storage, work):
    """Return how many statements a piece of work sends."""
    sent = []
    sqlalchemy.event.listen(storage.engine, "before_cursor_execute", lambda *_: sent.append(1))
    work()
    return len(sent)


def facts(trial):
    """Return all that a trial holds but its id."""
    return {
        name: getattr(trial, name)
        for name in (
            "number", "state", "values", "params", "distributions", "user_attrs", "system_attrs",
            "intermediate_values", "datetime_start", "datetime_complete",
        )
    }  # fmt: skip


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_a_trial_is_as_optuna_would_have_written_it(url, template):
    template.datetime_start = datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001  (Optuna's have no zone)
    written = []
    for kind in (RDBStorage, TrialStorage):
        storage = kind(url)
        study = storage.create_new_study([StudyDirection.MAXIMIZE], kind.__name__)
        for _ in range(3):
            storage.create_new_trial(study, template)
        storage.engine.dispose()
        reader = RDBStorage(url)
        written.append([facts(trial) for trial in reader.get_all_trials(study)])
        reader.engine.dispose()
    assert written[1] == written[0]
    assert [one["number"] for one in written[1]] == [0, 1, 2]


def test_it_asks_the_database_less(url):
    """Should a later Optuna call its part otherwise, this test says so."""
    counts = []
    for kind in (RDBStorage, TrialStorage):
        storage = kind(url)
        study = storage.create_new_study([StudyDirection.MAXIMIZE], kind.__name__)
        counts.append(statements_of(storage, lambda: storage.create_new_trial(study, TEMPLATES["running"])))  # noqa: B023
        storage.engine.dispose()
    assert counts[1] < 0.6 * counts[0]


def test_what_it_writes_is_open_to_optunas_own_tools(url):
    storage = TrialStorage(url)
    study = optuna.create_study(storage=storage, study_name="s")
    storage.create_new_trial(study._study_id, TEMPLATES["running"])
    trial = study.trials[0]
    storage.set_trial_param(trial._trial_id, "more", 0.5, FloatDistribution(0, 1))
    study.tell(0, 0.75)
    assert optuna.load_study(study_name="s", storage=url).best_trial.params == {**WITH["params"], "more": 0.5}
    storage.engine.dispose()
