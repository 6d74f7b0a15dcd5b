"""What a trial costs does not grow with the trials before it."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import sqlalchemy
from optuna.trial import FrozenTrial

from adapterlab.search.storage import _STATES, close_storage, open_storage, trial_states
from adapterlab.spec.search_space import Choices, FloatRange
from searches import open_search

SPACES = {"lr": FloatRange(low=1e-4, high=1e-2, log=True)}


def fill(url: str, count: int) -> None:
    """Put so many ended trials of one study into an empty database."""
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO studies (study_id, study_name) VALUES (1, 'large')")
        connection.execute(
            sqlalchemy.text(
                "INSERT INTO trials (trial_id, number, study_id, state) VALUES (:id, :number, 1, 'COMPLETE')"
            ),
            [{"id": number + 1, "number": number} for number in range(count)],
        )
    engine.dispose()


def test_sqlite_goes_through_no_more_rows_for_the_states_of_a_larger_study(new_sqlite):
    steps = []
    for count in (100, 5000):
        url, taken = new_sqlite(), []
        fill(url, count)
        storage = open_storage(url)
        sqlalchemy.event.listen(
            storage._backend.engine,
            "checkout",
            lambda connection, *_, taken=taken: connection.set_progress_handler(lambda: taken.append(1), 1),
        )
        found = trial_states(storage, 1, count - 2, [5, 6])
        assert sorted(number for _, number, _ in found) == [4, 5, count - 2, count - 1]
        close_storage(storage)
        steps.append(len(taken))
    assert steps[0] == steps[1] > 0


@pytest.mark.postgres
def test_postgresql_does_not_read_the_whole_study_for_its_states(postgres_url, tmp_path):
    from adapterlab.search.storage import initialise

    initialise(postgres_url, tmp_path)
    fill(postgres_url, 5000)
    engine = sqlalchemy.create_engine(postgres_url)
    with engine.connect() as connection:
        plan = connection.execute(
            sqlalchemy.text(f"EXPLAIN {_STATES.text}").bindparams(
                sqlalchemy.bindparam("ids", expanding=True)
            ),
            {"study": 1, "after": 4998, "ids": [5, 6]},
        ).all()
    engine.dispose()
    text = "\n".join(row[0] for row in plan)
    assert "trials_pkey" in text
    assert "ix_trials_study_id" not in text
    assert "Seq Scan" not in text


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_later_trial_sends_as_many_statements_and_reads_no_study_anew(new_sqlite, monkeypatch, sampler):
    sent, read = [], []
    with open_search(new_sqlite(), "study", spaces=SPACES, trials=80, sampler=sampler) as search:
        backend = search._storage._backend
        get_trials = backend._get_trials
        monkeypatch.setattr(backend, "_get_trials", lambda *a, **k: read.append(1) or get_trials(*a, **k))
        sqlalchemy.event.listen(backend.engine, "before_cursor_execute", lambda *_: sent.append(1))
        counts = []
        while (proposal := search.ask("one")) is not None:
            proposal.report(0.5, 1)
            search.tell_complete(proposal.number, 0.5)
            assert search.standing() == (proposal.number + 1, 0.5)
            counts.append(len(sent))
            sent.clear()
    assert len(set(counts[2:])) == 1, counts
    assert len(read) <= 1


def test_a_worker_that_waits_for_a_round_leaves_the_lock_to_those_that_work(new_sqlite):
    url, locked = new_sqlite(), []

    @contextmanager
    def guard():
        locked.append(1)
        yield

    with (
        open_search(url, "study", spaces=SPACES, trials=6) as busy,
        open_search(url, "study", spaces=SPACES, trials=6, guard=guard) as idle,
    ):
        proposals = [busy.ask("busy") for _ in range(4)]
        locked.clear()
        assert [idle.ask("idle") for _ in range(5)] == [None] * 5
        assert len(locked) == 1
        for proposal in proposals:
            busy.tell_complete(proposal.number, 0.5)
        assert idle.ask("idle").number == 4
        assert busy.ask("busy").number == 5
        assert idle.ask("idle") is None
        with open_search(url, "study", spaces=SPACES, trials=6) as other:
            assert other.take_over("busy") == 1
        assert idle.ask("idle").number == 5, "what is free again is taken"


def test_a_later_point_of_the_grid_is_found_without_looking_at_all_trials_again(new_sqlite, monkeypatch):
    """Settings that were tried are known; of the trials before, those alone are asked that may still change."""
    looked_at = []
    stored = FrozenTrial.params
    monkeypatch.setattr(
        FrozenTrial, "params", property(lambda trial: looked_at.append(1) or stored.fget(trial))
    )
    spaces = {"lr": Choices(choices=tuple(number / 1000 for number in range(1, 121)))}
    counts, found = [], []
    with open_search(new_sqlite(), "study", spaces=spaces, trials=120, sampler="grid") as search:
        while (proposal := search.ask("one")) is not None:
            search.tell_complete(proposal.number, 0.5)
            found.append(proposal.settings["lr"])
            counts.append(len(looked_at))
            looked_at.clear()
    assert counts[-20] == counts[10] > 0
    assert len(set(found)) == 120
