"""Trials on a PostgreSQL that restarts: waited for, and none that was told is lost, even where it was killed."""

from __future__ import annotations

import threading
import time

import pytest

from adapterlab.errors import AwayError
from adapterlab.patience import Patience
from adapterlab.search.storage import initialise
from adapterlab.search.study import read_trials
from adapterlab.spec.search_space import FloatRange
from own_postgres import server
from searches import open_search

__all__ = ["server"]

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(180)]
SPACE = {"lr": FloatRange(low=1e-3, high=1e-2, log=True)}


@pytest.fixture(scope="module")
def url(server, tmp_path_factory):
    made = server.database("studies")
    initialise(made, tmp_path_factory.mktemp("locks"))
    return made


def test_a_search_goes_on_where_it_was_when_its_server_restarts(server, url):
    with open_search(url, "restart", spaces=SPACE, trials=3, patience=Patience(30)) as search:
        first = search.ask("worker")
        server.stop()
        back = threading.Timer(2.0, server.start)
        back.start()
        assert not first.report(0.5, 1)
        search.tell_complete(first.number, 0.5)
        server.stop()
        server.start()
        second = search.ask("worker")
        back.join()
        assert (first.number, second.number, second.taken_over) == (0, 1, False)
        assert [trial.value for trial in search.trials()] == [0.5, None]


def test_a_search_without_patience_fails_within_seconds(server, url):
    with open_search(url, "hasty", spaces=SPACE, trials=3) as search:
        server.stop()
        begun = time.monotonic()
        with pytest.raises(AwayError):
            search.ask("worker")
        assert time.monotonic() - begun < 5
        server.start()


@pytest.mark.parametrize("round_", range(3))
def test_what_a_trial_was_told_survives_a_killed_server(server, url, round_):
    name = f"killed {round_}"
    with open_search(url, name, spaces=SPACE, trials=4, patience=Patience(30)) as search:
        trial = search.ask("worker")
        trial.report(0.25, 1)
        search.tell_complete(trial.number, 0.5)
        server.stop(kill=True)
    server.start()
    (found,) = read_trials(url, name)
    assert (found.value, found.intermediate) == (0.5, {1: 0.25})


def test_a_trial_whose_answer_was_lost_is_handed_out_once(server, url, monkeypatch):
    with open_search(url, "lost", spaces=SPACE, trials=4, patience=Patience(30)) as search:
        create, lost = search._storage.create_new_trial, []

        def create_and_lose(*arguments, **named):
            made = create(*arguments, **named)
            if not lost:
                lost.append(made)
                raise AwayError("the server closed the connection")
            return made

        monkeypatch.setattr(search._storage, "create_new_trial", create_and_lose)
        assert [search.ask("worker").number for _ in range(2)] == [0, 1]
        assert len(search.trials()) == 2
