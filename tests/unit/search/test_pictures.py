"""Pictures of a study are of its own trials, drawn once, and in a moment however many there are."""

from __future__ import annotations

import sys
from itertools import pairwise

import optuna
import pytest

from adapterlab.errors import NotFoundError
from adapterlab.search import pictures
from adapterlab.search.pictures import HISTORY, IMPORTANCE, PicturedStudy, study_pictures
from adapterlab.spec.search_space import Choices, FloatRange
from searches import open_search

LR = FloatRange(low=1e-4, high=1e-2, log=True)
SPACES = {"lr": LR, "init_scale": FloatRange(low=0.5, high=4.0), "dropout": Choices(choices=(0.1, 0.3))}
BRANCHES = {"scalearn": {"lr": LR, "init_scale": SPACES["init_scale"]}, "fusion": {"lr": LR}}
PNG = b"\x89PNG\r\n"


def search(url: str, trials: int, name: str = "study", complete=lambda _: True, **options) -> None:
    with open_search(url, name, **{"spaces": SPACES, "trials": trials, "pruner": "none", **options}) as one:
        while (proposal := one.ask("w0")) is not None:
            if complete(proposal.number):
                one.tell_complete(proposal.number, -abs(float(proposal.settings["lr"]) - 2e-3))
            else:
                one.tell_failed(proposal.number, "it diverged")


def of(trials: int, **changes) -> PicturedStudy:
    return PicturedStudy(
        **{
            "key": "a" * 64,
            "name": "study",
            "title": "rte · scalearn",
            "metric": "f1",
            "trials": trials,
            **changes,
        }
    )


@pytest.mark.parametrize("spaces", [SPACES, BRANCHES], ids=["plain", "choosing"])
def test_a_search_has_a_history_and_importances(sqlite_url, tmp_path, spaces):
    search(sqlite_url, 12, spaces=spaces)
    found = study_pictures(sqlite_url, of(12), cache=tmp_path)
    assert sorted(found) == [HISTORY, IMPORTANCE]
    assert all(png.startswith(PNG) for png in found.values())


def test_pictures_are_drawn_once(sqlite_url, tmp_path, monkeypatch):
    search(sqlite_url, 6)
    first = study_pictures(sqlite_url, of(6), cache=tmp_path)
    monkeypatch.setattr(pictures, "_drawn", lambda *_: pytest.fail("drawn again"))
    assert study_pictures(sqlite_url, of(6), cache=tmp_path) == first


def test_what_a_larger_budget_added_is_not_in_a_study_s_pictures(new_sqlite, tmp_path):
    small, large = new_sqlite(), new_sqlite()
    search(small, 8), search(large, 8), search(large, 14)
    drawn = [study_pictures(url, of(8), cache=tmp_path / url[-30:-12]) for url in (small, large)]
    whole = study_pictures(large, of(14), cache=tmp_path / "whole")
    assert drawn[0] == drawn[1] != whole


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"trials": 3}, [HISTORY]),  # too few to tell
        ({"trials": 6, "spaces": {"lr": LR, "dropout": 0.3}}, [HISTORY]),  # one dimension explains everything
        ({"trials": 5, "complete": lambda _: False}, []),
    ],
)
def test_what_cannot_be_told_is_not_drawn(sqlite_url, tmp_path, options, names):
    search(sqlite_url, **options)
    assert sorted(study_pictures(sqlite_url, of(options["trials"]), cache=tmp_path)) == names


def test_a_study_that_is_not_there_is_told(sqlite_url, tmp_path):
    with pytest.raises(NotFoundError, match="no study"):
        study_pictures(sqlite_url, of(3), cache=tmp_path)


def trials(count: int) -> list[optuna.trial.FrozenTrial]:
    space = {
        "lr": optuna.distributions.FloatDistribution(0, 1),
        "x": optuna.distributions.FloatDistribution(0, 1),
    }
    found = []
    for number in range(count):
        params = {"lr": number * 0.618 % 1, "x": number * 0.414 % 1}
        one = optuna.trial.create_trial(params=params, distributions=space, value=-abs(params["lr"] - 0.3))
        one.number = one._trial_id = number
        found.append(one)
    return found


def test_importances_of_very_many_trials_are_computed_from_an_even_share():
    many = trials(10_000)
    shown = pictures._sample(many)
    assert len(shown) == 2_000
    assert {two.number - one.number for one, two in pairwise(shown)} == {5}
    assert sorted(pictures._drawn(many, of(10_000))) == [HISTORY, IMPORTANCE]


def test_the_dimension_that_decides_is_the_most_important(sqlite_url):
    search(sqlite_url, 40, sampler="random")
    found = optuna.load_study(study_name="study", storage=sqlite_url).get_trials()
    importances = pictures._importances(pictures._view(found))
    assert max(importances, key=importances.get) == "lr"
    assert importances.keys() == SPACES.keys()


def test_failed_trials_are_no_points_of_a_history(sqlite_url, tmp_path):
    search(sqlite_url, 9, complete=lambda number: number % 2 == 1)
    assert sorted(study_pictures(sqlite_url, of(9), cache=tmp_path)) == [HISTORY, IMPORTANCE]


def test_drawing_leaves_pyplot_as_it_was(sqlite_url, tmp_path):
    from matplotlib import pyplot as plt
    from matplotlib import rcParams

    before = dict(rcParams)
    search(sqlite_url, 6)
    study_pictures(sqlite_url, of(6), cache=tmp_path)
    assert dict(rcParams) == before
    assert plt.get_fignums() == []


def test_light_commands_draw_nothing():
    import subprocess

    code = "import sys, adapterlab.cli.main, adapterlab.reporting.folder; print('optuna' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
