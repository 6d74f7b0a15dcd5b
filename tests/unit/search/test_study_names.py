"""Studies are called what people call them; which search one belongs to is told by its key alone."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import optuna
import pytest
import sqlalchemy

from adapterlab.errors import ConflictError, NotFoundError
from adapterlab.records import State
from adapterlab.search.storage import close_storage, find_study, initialise, open_storage
from adapterlab.search.study import StudySearch, read_trials
from adapterlab.search.trials import WORKER, free_trials
from adapterlab.spec.search_space import FloatRange
from searches import open_search

KEY, ALIKE, OTHER = "1a2b3c4d" + "0" * 56, "1a2b3c4d" + "f" * 56, "9" * 64
SPACES = {"lr": FloatRange(low=1e-4, high=1e-2, log=True)}
TITLE = "rte · scalearn"


def opened(url: str, key: str = KEY, *, title: str | None = TITLE, trials: int = 6) -> StudySearch:
    return open_search(url, key, title=title, spaces=SPACES, trials=trials)


def finish(search: StudySearch) -> list[int]:
    numbers = []
    with search:
        while (proposal := search.ask("w0")) is not None:
            proposal.report(0.5, 1)
            search.tell_complete(proposal.number, float(proposal.settings["lr"]))
            numbers.append(proposal.number)
    return numbers


def names_in(url: str) -> list[str]:
    return optuna.get_all_study_names(url)


def store_of_the_version_before(url: str, ended: int, running: int) -> list[optuna.trial.FrozenTrial]:
    """Search as it was done while a study's name was its search key; some trials are in training."""
    study = optuna.create_study(storage=url, study_name=KEY, direction="maximize")
    # Written out, since what this version writes there may not move either.
    study.set_user_attr(
        "search",
        {
            "spaces": {"lr": {"low": 0.0001, "high": 0.01, "log": True}},
            "direction": "maximize",
            "sampler": "tpe",
            "seed": 0,
        },
    )
    study.set_user_attr("target", "glue/rte")
    with opened(url.replace("studies.db", "alone.db"), title=None) as alone:
        finish(alone)
        proposed = alone.trials()
    for trial in proposed[: ended + running]:
        is_running = trial.number >= ended
        study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.RUNNING if is_running else optuna.trial.TrialState.COMPLETE,
                value=None if is_running else trial.value,
                params=dict(trial.settings),
                distributions={"lr": optuna.distributions.FloatDistribution(1e-4, 1e-2, log=True)},
                user_attrs={WORKER: "w0"},
                intermediate_values={1: 0.5},
            )
        )
    return study.get_trials()


def test_a_study_is_called_what_people_call_it_with_the_first_digits_of_its_key(sqlite_url):
    with opened(sqlite_url) as search:
        assert search.name == "rte · scalearn · 1a2b3c4d"
    assert names_in(sqlite_url) == ["rte · scalearn · 1a2b3c4d"]
    assert optuna.load_study(study_name=search.name, storage=sqlite_url).user_attrs["search_key"] == KEY


def test_a_name_changes_no_proposal(new_sqlite):
    named, unnamed = new_sqlite(), new_sqlite()
    finish(opened(named)), finish(opened(unnamed, title=None))
    settings = [[trial.settings for trial in read_trials(url, KEY)] for url in (named, unnamed)]
    assert settings[0] == settings[1]


def test_two_that_call_one_search_differently_share_its_study(sqlite_url):
    assert finish(opened(sqlite_url, trials=4)) == [0, 1, 2, 3]
    assert finish(opened(sqlite_url, title="glue/rte · scalearn", trials=6)) == [4, 5]
    assert names_in(sqlite_url) == ["rte · scalearn · 1a2b3c4d"]


def test_keys_that_begin_alike_have_studies_of_their_own(sqlite_url):
    assert finish(opened(sqlite_url)) == finish(opened(sqlite_url, ALIKE)) == list(range(6))
    assert sorted(names_in(sqlite_url)) == [
        "rte · scalearn · 1a2b3c4d",
        "rte · scalearn · 1a2b3c4dffffffff",
    ]
    assert finish(opened(sqlite_url)) == finish(opened(sqlite_url, ALIKE)) == []
    lrs = [[trial.settings["lr"] for trial in read_trials(sqlite_url, key)] for key in (KEY, ALIKE)]
    assert set(lrs[0]).isdisjoint(lrs[1])


def test_a_store_of_the_version_before_goes_on_under_its_old_name(new_sqlite):
    url = new_sqlite()
    initialise(url.replace("studies.db", "alone.db"), Path(url.removeprefix("sqlite:///")).parent)
    before = store_of_the_version_before(url, ended=3, running=1)
    with opened(url) as search:
        search.take_over()
        assert search.name == KEY  # what records and scripts know it by
        taken = search.ask("w0")
        assert (taken.number, taken.taken_over) == (3, True)
        search.tell_complete(3, float(taken.settings["lr"]))
    assert finish(opened(url)) == [4, 5]
    assert names_in(url) == [KEY]
    after = read_trials(url, KEY)
    assert [trial.value for trial in after[:3]] == [trial.value for trial in before[:3]]
    alone = read_trials(url.replace("studies.db", "alone.db"), KEY)
    assert [trial.settings for trial in after] == [trial.settings for trial in alone]


def test_trials_are_read_and_freed_by_key_and_by_name(sqlite_url):
    with opened(sqlite_url) as search:
        search.ask("gone")
    free_trials(sqlite_url, KEY)
    free_trials(sqlite_url, OTHER)  # there is none: nothing to free
    (by_key,), (by_name,) = read_trials(sqlite_url, KEY), read_trials(sqlite_url, search.name)
    assert by_key == by_name
    assert (by_key.state, by_key.worker) == (State.RUNNING, None)
    with pytest.raises(NotFoundError):
        read_trials(sqlite_url, OTHER)


def test_a_process_that_died_while_it_made_a_study_leaves_no_second_one(sqlite_url):
    optuna.create_study(storage=sqlite_url, study_name="rte · scalearn · 1a2b3c4d", direction="maximize")
    assert finish(opened(sqlite_url)) == list(range(6))
    assert names_in(sqlite_url) == ["rte · scalearn · 1a2b3c4d"]


def test_another_search_under_one_key_is_still_refused(sqlite_url):
    opened(sqlite_url).close()
    with pytest.raises(ConflictError, match="1a2b3c4d"):
        open_search(sqlite_url, KEY, title=TITLE, spaces={"lr": 0.1}, trials=1)


def test_a_title_of_any_length_makes_a_name_that_databases_hold(sqlite_url):
    with opened(sqlite_url, title="x" * 600) as search:
        assert len(search.name) <= 512
        assert search.name.endswith(" · 1a2b3c4d")


MAKER = """
import sys
from adapterlab.search.study import SearchRecipe, StudySearch
sys.stdin.readline()
with StudySearch.open(sys.argv[1], sys.argv[2], SearchRecipe(spaces={"lr": 0.1}, trials=1), title=sys.argv[3]) as s:
    print(s.name)
"""


def made_at_once(url: str) -> None:
    titles = ["rte · scalearn", "glue/rte · scalearn"]
    makers = [
        subprocess.Popen(
            [sys.executable, "-c", MAKER, url, KEY, titles[number % 2]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda one: one.communicate("go\n", timeout=100)[0].strip(), makers))
    assert [one.returncode for one in makers] == [0] * 4
    storage = open_storage(url)
    assert {find_study(storage, KEY)[1]} == set(found)
    assert len(storage.get_all_studies()) == 1
    close_storage(storage)


def test_processes_that_make_one_study_at_once_make_one(sqlite_url):
    made_at_once(sqlite_url)


@pytest.mark.slow
@pytest.mark.postgres
def test_processes_that_make_one_study_at_once_make_one_on_postgresql(postgres_url, tmp_path):
    initialise(postgres_url, tmp_path)
    made_at_once(postgres_url)


def test_a_study_is_found_by_one_statement(sqlite_url):
    opened(sqlite_url).close()
    storage, sent = open_storage(sqlite_url), []
    sqlalchemy.event.listen(storage._backend.engine, "before_cursor_execute", lambda *_: sent.append(1))
    assert find_study(storage, KEY)[1] == "rte · scalearn · 1a2b3c4d"
    close_storage(storage)
    assert len(sent) == 1
