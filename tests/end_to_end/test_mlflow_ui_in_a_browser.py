"""What a person sees: the tree of a sweep in MLflow's UI, driven in a real Chromium."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from browser import fresh_page, keep_picture, platform_ui

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

TRIALS = ["rte · scalearn · lr 6e-3 · init 2 · dropout 0.3", "rte · scalearn · lr 3e-4 · init 1 · dropout 0"]
TOKEN = re.compile(r"/\?token=([\w-]{43})#")
PRUNED = "rte · scalearn · lr 0.05 · init 5 · dropout 0.1"


_REACHES_OUT_OF_ITS_CELL = """link => {
  const text = document.createRange();
  text.selectNodeContents(link);
  return text.getBoundingClientRect().right > link.closest('[role=gridcell]').getBoundingClientRect().right;
}"""


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A home folder that holds one finished sweep."""
    from adapterlab.records import State
    from adapterlab.tracking import pictures, schema
    from adapterlab.tracking import run_names as names
    from adapterlab.tracking.entities import Dataset
    from adapterlab.tracking.tracker import Tracker

    home = tmp_path_factory.mktemp("home")
    uri, artifacts = f"sqlite:///{home / 'mlflow.db'}", str(home / "artifacts")
    schema.initialise(uri, artifacts, home / "locks")
    settings = [
        {"lr": 0.006, "init_scale": 2.0, "dropout": 0.3},
        {"lr": 0.0003, "init_scale": 1.0, "dropout": 0.0},
        {"lr": 0.05, "init_scale": 5.0, "dropout": 0.1},
    ]
    with Tracker.open(
        uri=uri, artifacts=artifacts, experiment="quickstart", spool=home / "spool", command="platform submit"
    ) as tracker:
        sweep = tracker.run(
            "s", name=names.sweep_name("quickstart"), parent=None, params={"targets": "glue/rte"}
        )
        sweep.text("spec.toml", "name = 'quickstart'\n")
        for task in ("mnli", "qqp"):
            data = [Dataset(f"glue/{task}", "ab" * 32, "folder", part) for part in ("training", "validation")]
            run = tracker.run(
                f"s/source/{task}", name=names.source_name(f"glue/{task}", 0), parent="s", datasets=data
            )
            _learn(run)
            run.end(State.COMPLETE)
        study = tracker.run("s/study", name=names.study_name("glue/rte", "scalearn"), parent="s")
        for number, setting in enumerate(settings):
            name = names.trial_name("glue/rte", "scalearn", setting)
            trial = tracker.run(f"s/study/trial/{number}", name=name, parent="s/study", params=setting)
            _learn(trial, speed=1 + number)
            trial.end(
                State.PRUNED if number == 2 else State.COMPLETE,
                "worse than the median" if number == 2 else None,
            )
        for seed in range(2):
            name = names.final_name("glue/rte", "scalearn", seed)
            final = tracker.run(f"s/study/final/{seed}", name=name, parent="s/study", params={"seed": seed})
            _learn(final)
            omega = np.random.default_rng(seed).normal(1, 0.2, (6, 2, 1))
            picture = pictures.coefficient_heatmap(
                omega, ["glue/mnli", "glue/qqp"], target="glue/rte", combiner="scalearn", start=1.0
            )
            final.picture("coefficients.png", picture)
            final.end(State.COMPLETE)
        study.end(State.COMPLETE)
        sweep.end(State.COMPLETE)
    return home


def _learn(run, speed: float = 1.0) -> None:
    for epoch in range(1, 8):
        run.metrics(
            {"train/loss": 1 / (speed + epoch), "validation/accuracy": 0.9 - 0.4 / (speed + epoch)},
            step=epoch,
        )


@pytest.fixture(scope="module")
def address(home):
    """``platform ui``, running for that home folder."""
    with platform_ui(home) as (url, said):
        yield url, said
        assert TOKEN.search(said).group(1) not in (home / "logs" / "ui.log").read_text()


@pytest.fixture
def page(address):
    """A fresh browser that has opened the printed link: nothing remembered from earlier visits."""
    with fresh_page() as page:
        url, said = address
        page.goto(f"{url}/?token={TOKEN.search(said).group(1)}")
        assert page.url.partition("#")[0] == f"{url}/", "the token stays in the address"
        yield page


def _row(page, name: str):
    return page.get_by_role("row").filter(has=page.get_by_role("link", name=name, exact=True))


def _open_experiment_by_hand(page, url: str) -> None:
    page.goto(url)
    page.get_by_role("link", name="Experiments", exact=True).first.click()
    page.get_by_role("link", name="quickstart", exact=True).first.click()
    _row(page, "sweep · quickstart").wait_for()


def _expand(page, name: str) -> None:
    _row(page, name).get_by_role("button").first.click()


def test_experiment_opens_in_the_model_training_view_however_one_gets_there(page, address):
    """Neither the start page nor the bare link of an experiment lands in the GenAI half."""
    url, _ = address
    _open_experiment_by_hand(page, url)
    assert "workflowType=machine_learning" in page.url
    assert "/runs" in page.url
    page.goto("about:blank")
    page.goto(f"{url}/#/experiments/1")
    _row(page, "sweep · quickstart").wait_for()
    assert "workflowType=machine_learning" in page.url


def test_printed_link_opens_the_runs_and_a_choice_of_ones_own_is_kept(page, address):
    """What the command prints leads to the runs; who chooses GenAI stays there."""
    url, said = address
    link = next(
        line.split(": ", 1)[1] for line in said.splitlines() if line.strip().startswith("quickstart:")
    )
    page.goto(link)
    _row(page, "sweep · quickstart").wait_for()
    page.evaluate("localStorage.setItem('mlflow.workflowType_v1', JSON.stringify('genai'))")
    page.goto("about:blank")
    page.goto(f"{url}/#/experiments/1")
    page.wait_for_url(re.compile("workflowType=genai"))


def test_without_the_token_there_is_nothing_to_see(page, address):
    """Another user's browser and program get a sentence that says what to do."""
    url, said = address
    page.context.clear_cookies()
    page.goto(url)
    assert "open the link that `platform ui` printed" in page.inner_text("body")
    page.goto(f"{url}/?token=wrong")
    assert "platform ui" in page.inner_text("body")
    assert page.context.cookies() == []
    for token, experiments in [(None, None), ("wrong", None), (TOKEN.search(said).group(1), 2)]:
        assert _experiments_seen(url, token) == experiments


def _experiments_seen(url: str, token: str | None) -> int | None:
    """Ask as MLflow's own client does, in a process of its own; ``None`` where it is refused."""
    program = (
        "import mlflow\n"
        "try: print(len(mlflow.MlflowClient().search_experiments()))\n"
        "except mlflow.exceptions.MlflowException as error:\n"
        "    assert '401' in str(error), error\n"
    )
    outside = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    token_set = {} if token is None else {"MLFLOW_TRACKING_TOKEN": token}
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**outside, "MLFLOW_TRACKING_URI": url, **token_set},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(ended.stdout) if ended.stdout.strip() else None


def test_tree_expands_to_trials_that_can_be_read_and_compared(page, address):
    """Three levels are drawn; a trial's name is whole; two trials can be compared."""
    url, _ = address
    _open_experiment_by_hand(page, url)
    assert _row(page, "rte · scalearn").count() == 0, "the tree starts folded"
    _expand(page, "sweep · quickstart")
    for source in ("source · mnli · seed 0", "source · qqp · seed 0"):
        _row(page, source).wait_for()
    _expand(page, "rte · scalearn")
    for name in [*TRIALS, PRUNED, "rte · scalearn · final · seed 1"]:
        link = _row(page, name).get_by_role("link", name=name, exact=True)
        link.wait_for()
        cut_off = link.evaluate(_REACHES_OUT_OF_ITS_CELL)
        assert not cut_off, f"{name} is not shown whole"
    assert page.get_by_role("gridcell", name="pruned", exact=True).count() == 1
    keep_picture(page, "tree")
    for name in TRIALS:
        _row(page, name).get_by_role("checkbox", name="Press Space").check()
    page.get_by_role("button", name="Compare", exact=True).click()
    page.get_by_role("heading", name="Comparing 2 Runs").wait_for()
    for name in TRIALS:
        page.get_by_text(name, exact=True).first.wait_for()
    keep_picture(page, "comparison")


def test_final_run_shows_its_heatmap(page, address):
    """The picture of the coefficients is drawn in the run's artifacts."""
    url, _ = address
    _open_experiment_by_hand(page, url)
    _expand(page, "sweep · quickstart")
    _expand(page, "rte · scalearn")
    name = "rte · scalearn · final · seed 0"
    _row(page, name).get_by_role("link", name=name, exact=True).click()
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text("coefficients.png").first.click()
    page.wait_for_function("[...document.images].some(image => image.naturalWidth > 400)")
    keep_picture(page, "heatmap")
