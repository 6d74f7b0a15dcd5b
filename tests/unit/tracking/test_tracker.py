"""A tree of runs in a real SQLite store: nothing twice, nothing lost, nothing running for ever."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import adapterlab
from adapterlab.errors import ConflictError, NotFoundError, UnavailableError
from adapterlab.provenance import provenance_of
from adapterlab.records import State
from adapterlab.tracking import store
from adapterlab.tracking.entities import (
    COMMIT_TAG,
    KIND_TAG,
    NON_FINITE_TAG,
    REASON_TAG,
    STATE_TAG,
    VERSION_TAG,
    Dataset,
)
from adapterlab.tracking.tracker import Tracker


def test_tree_has_three_levels_in_mlflow(place):
    with place.open() as tracker:
        place.write_tree(tracker)
        nodes = tracker.tree("s")
    assert [(node.node, node.parent, node.name) for node in nodes] == [
        ("s/source/a", "s", "source · mnli · seed 0"),
        ("s/study", "s", "rte · scalearn"),
        ("s/study/0", "s/study", "rte · scalearn · lr 6e-3 · init 2 · dropout 0.3"),
    ]
    runs = place.runs()
    assert runs["s/study/0"].data.tags["mlflow.parentRunId"] == runs["s/study"].info.run_id
    assert runs["s/study/0"].data.params == {"lr": "0.006", "init_scale": "2.0", "dropout": "0.3"}
    assert runs["s"].data.tags["adapterlab.root"] == runs["s/study/0"].data.tags["adapterlab.root"] == "s"


def test_every_run_says_which_version_and_device_made_it(place):
    with place.open() as tracker:
        place.write_tree(tracker)
    here = provenance_of()
    for run in place.runs().values():
        tags = run.data.tags
        assert tags[VERSION_TAG] == adapterlab.__version__
        assert (tags.get(COMMIT_TAG), tags.get("adapterlab.device")) == (here.git_commit, here.device_name)
        assert tags["adapterlab.python"] == here.python_version
        assert tags.get("adapterlab.torch") == here.torch_version, "absent where it was not loaded"
        assert "+" not in tags.get("mlflow.source.git.commit", "")


def test_subtree_is_what_is_below_its_top(place):
    with place.open() as tracker:
        place.write_tree(tracker)
        assert [node.node for node in tracker.tree("s/study")] == ["s/study/0"]
        assert tracker.tree("s/study/0") == []
        with pytest.raises(NotFoundError, match="no run"):
            tracker.tree("unknown")


def test_what_has_ended_is_told_alike_by_the_client_and_by_the_database(place):
    with place.open() as tracker:
        top = tracker.run("s", name="sweep", parent=None, tags={KIND_TAG: "sweep"})
        for name, kind in [("s/a", "source"), ("s/gone", "source"), ("s/b", "study"), ("s/b/0", "trial")]:
            tracker.run(name, name=name, parent="s", tags={KIND_TAG: kind})
        for run in (top, *map(tracker.existing, ("s/a", "s/gone", "s/b/0"))):
            run.end(State.COMPLETE)
        place.client().delete_run(tracker.run_id("s/gone"))
        assert tracker.ended("s", without="trial") == {"s", "s/a"}
        assert tracker.ended("t", without="trial") == set()
    assert store.ended_in_database(place.uri, "s") == {"s", "s/a", "s/b/0"}
    assert store.ended_in_database(place.uri, "t") == set()
    assert store.ended_in_database(f"sqlite:///{place.folder / 'none.db'}", "s") is None
    assert not (place.folder / "none.db").exists()


def test_second_sweep_in_the_same_experiment_is_a_tree_of_its_own(place):
    with place.open() as tracker:
        place.write_tree(tracker)
        tracker.run("t", name="sweep · other", parent=None)
        tracker.run("t/0", name="x", parent="t")
        assert [node.node for node in tracker.tree("t")] == ["t/0"]
        assert len(tracker.tree("s")) == 3


def test_reopened_tree_has_no_double_and_runs_again(place):
    for state in (State.KILLED, State.COMPLETE):
        with place.open() as tracker:
            place.write_tree(tracker)
            run = tracker.existing("s/study/0")
            tracker.flush()
            [trial] = tracker.tree("s/study")
            assert (trial.status, trial.state) == ("RUNNING", State.RUNNING)
            run.end(state, "stopped on request" if state is State.KILLED else None)
    runs = place.runs()
    assert len(runs) == 4
    assert runs["s/study/0"].info.status == "FINISHED"
    assert REASON_TAG not in runs["s/study/0"].data.tags, "the reason of the first end is gone"


def test_metrics_arrive_in_batches_and_never_twice(place):
    with place.open() as tracker:
        run = tracker.run("s", name="s", parent=None)
        for step in range(2500):
            run.metrics({"loss": 1 / (step + 1)}, step=step)
            run.metrics({"loss": 99.0}, step=step)
    with place.open() as tracker:
        run = tracker.run("s", name="s", parent=None)
        for step in range(2400, 2600):
            run.metrics({"loss": 1 / (step + 1), "new": 1.0}, step=step)
    assert place.points("s", "loss") == [(step, 1 / (step + 1)) for step in range(2600)]
    assert len(place.points("s", "new")) == 200


def test_points_are_written_within_about_a_second_without_being_asked(place):
    """A person who watches the UI sees progress; nobody calls flush or close."""
    with place.open() as tracker:
        run = tracker.run("s", name="s", parent=None)
        run.metrics({"loss": 1.0}, step=1)
        deadline = time.monotonic() + 30
        while not place.runs() or not place.points("s", "loss"):
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_numbers_that_are_not_finite_are_gaps_with_a_note(place):
    """MLflow would store an infinity as 1.8e308, which flattens every chart."""
    with place.open() as tracker:
        run = tracker.run("s", name="s", parent=None)
        for step, value in enumerate([1.0, math.nan, math.inf, -math.inf, 0.5]):
            run.metrics({"loss": value}, step=step)
    values = [value for _, value in place.points("s", "loss")]
    assert [math.isnan(value) for value in values] == [False, True, True, True, False]
    note = place.runs()["s"].data.tags[NON_FINITE_TAG]
    assert note == "loss nan at step 1; loss inf at step 2; loss -inf at step 3"


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (State.COMPLETE, "FINISHED"),
        (State.PRUNED, "KILLED"),
        (State.FAILED, "FAILED"),
        (State.KILLED, "KILLED"),
    ],
)
def test_states_end_as_mlflow_says_them(place, state, status):
    with place.open() as tracker:
        tracker.run("s", name="s", parent=None).end(state, "because")
    run = place.runs()["s"]
    assert (run.info.status, run.data.tags[STATE_TAG], run.data.tags[REASON_TAG]) == (
        status,
        state,
        "because",
    )
    assert run.info.end_time >= run.info.start_time


@pytest.mark.parametrize("state", [State.PENDING, State.RUNNING])
def test_run_cannot_end_without_an_end(place, state):
    with place.open() as tracker, pytest.raises(ValueError, match="cannot end"):
        tracker.run("s", name="s", parent=None).end(state)


def test_search_for_finished_runs_never_meets_a_pruned_one(place):
    with place.open() as tracker:
        tracker.run("a", name="a", parent=None).end(State.COMPLETE)
        tracker.run("b", name="b", parent=None).end(State.PRUNED)
    found = place.client().search_runs(["1"], "status = 'FINISHED'")
    assert [run.data.tags["adapterlab.node"] for run in found] == ["a"]


def test_splits_of_one_data_set_are_three_inputs(place):
    data = [
        Dataset("glue/rte", "0123456789" * 7, "folder", context, rows=rows)
        for context, rows in (("training", 100), ("validation", 20), ("test", 30))
    ]
    for _ in range(2):
        with place.open() as tracker:
            tracker.run("s", name="s", parent=None, datasets=data)
    inputs = place.runs()["s"].inputs.dataset_inputs
    assert sorted((i.tags[0].value, i.dataset.name, i.dataset.digest) for i in inputs) == [
        (context, f"glue/rte/{context}", "01234567890123456789012345678901")
        for context in ("test", "training", "validation")
    ]
    assert {json.loads(i.dataset.profile)["num_rows"] for i in inputs} == {100, 20, 30}


def test_params_are_written_once_and_missing_ones_are_added(place):
    """MLflow refuses to change a parameter, so a reopened run keeps what it had."""
    with place.open() as tracker:
        tracker.run("s", name="s", parent=None, params={"lr": 0.1})
    with place.open() as tracker:
        tracker.run(
            "s", name="s", parent=None, params={"lr": 0.2, "long": "x" * 10_000, **dict.fromkeys("abc", 1)}
        )
        tracker.flush()
        assert tracker.problems == ()
    params = place.runs()["s"].data.params
    assert params["lr"] == "0.1"
    assert params["long"] == "x" * 5999 + "…"
    assert params["a"] == "1"


def test_more_params_than_fit_one_call_are_all_written(place):
    params = {f"p{number}": number for number in range(250)}
    tags = {f"adapterlab.t{number}": str(number) for number in range(250)}
    with place.open() as tracker:
        tracker.run("s", name="s", parent=None, params=params).tags(tags)
    run = place.runs()["s"]
    assert len(run.data.params) == 250
    assert tags.items() <= run.data.tags.items()


def test_artifacts_lie_below_the_given_folder(place):
    png = b"\x89PNG\r\n\x1a\n picture"
    with place.open() as tracker:
        run = tracker.run("s", name="s", parent=None, description="**what** this is")
        run.json("coefficients/omega.json", {"rte": [1.0, 2.0]})
        run.text("spec.toml", "name = 'ä'\n")
        run.picture("omega.png", b"old")
        run.picture("omega.png", png)
    files = {path.name: path for path in Path(place.artifacts).rglob("*") if path.is_file()}
    assert json.loads(files["omega.json"].read_text()) == {"rte": [1.0, 2.0]}
    assert files["omega.json"].parent.name == "coefficients"
    assert files["spec.toml"].read_text(encoding="utf-8") == "name = 'ä'\n"
    assert files["omega.png"].read_bytes() == png
    assert place.runs()["s"].data.tags["mlflow.note.content"] == "**what** this is"


def test_json_stays_json_and_readable(place):
    with place.open() as tracker:
        run = tracker.run("s", name="s", parent=None)
        run.json("small.json", {"a": [1.0, math.nan, math.inf], "b": (True, None)})
        run.json("large.json", list(range(10_000)))
    files = {path.name: path.read_text() for path in Path(place.artifacts).rglob("*.json")}
    refuse = pytest.fail
    assert json.loads(files["small.json"], parse_constant=refuse) == {
        "a": [1.0, None, None],
        "b": [True, None],
    }
    assert files["small.json"].count("\n") > 5
    assert files["large.json"].count("\n") == 1


def test_mlflows_own_background_writing_is_not_used(place, monkeypatch):
    """What flush says is written is written, whatever the environment asks of MLflow."""
    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_LOGGING", "true")
    with place.open() as tracker:
        tracker.run("s", name="s", parent=None, params={"lr": 1}).metrics({"loss": 1.0}, step=0)
        assert tracker.flush()
        assert place.points("s", "loss") == [(0, 1.0)]
        assert place.runs()["s"].data.params == {"lr": "1"}


@pytest.mark.parametrize("name", ["../x.json", "/etc/x", "a/../../x", "", "a\\b", "nul\0"])
def test_artifact_cannot_leave_its_run(place, name):
    with place.open() as tracker, pytest.raises(ValueError, match="artifact name"):
        tracker.run("s", name="s", parent=None).text(name, "")


@pytest.mark.parametrize("node", ["", "a'b", "a`b", "x" * 600, "a\nb", "%"])
def test_node_that_could_not_be_searched_for_is_refused(place, node):
    with place.open() as tracker, pytest.raises(ValueError, match="node"):
        tracker.run(node, name="s", parent=None)


def test_metric_name_mlflow_would_refuse_is_refused_at_once(place):
    with place.open() as tracker, pytest.raises(ValueError, match="metric name"):
        tracker.run("s", name="s", parent=None).metrics({"a·b": 1.0}, step=0)


def test_entry_the_store_refuses_is_named_and_the_rest_is_written(place):
    """A key with a character MLflow does not take costs that entry, not the run."""
    with place.open() as tracker:
        run = tracker.run("s", name="s", parent=None)
        run.tags({"bad|key": "x"})
        run.metrics({"loss": 1.0}, step=0)
        run.end(State.COMPLETE)
        tracker.flush()
        assert len(tracker.problems) == 1
        assert tracker.problems[0].startswith("s: ")
    assert place.points("s", "loss") == [(0, 1.0)]
    assert place.runs()["s"].info.status == "FINISHED"


def test_experiment_is_marked_as_model_training_and_keeps_its_place(place):
    with place.open() as tracker:
        number = tracker.experiment_id
    client = place.client()
    experiment = client.get_experiment(number)
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    assert experiment.artifact_location.startswith(Path(place.artifacts).as_uri())
    made_by_hand = client.create_experiment("by hand")
    with place.open(experiment="by hand") as tracker:
        assert tracker.experiment_id == made_by_hand
    assert "mlflow.experimentKind" in client.get_experiment(made_by_hand).tags


def test_deleted_experiment_is_a_clear_error(place):
    with place.open() as tracker:
        number = tracker.experiment_id
    place.client().delete_experiment(number)
    with pytest.raises(ConflictError, match="was deleted") as caught:
        place.open()
    assert f"mlflow experiments restore -x {number}" in caught.value.remedy


def test_store_that_was_not_prepared_is_a_clear_error(place):
    with pytest.raises(UnavailableError, match="has not been prepared"):
        Tracker.open(
            uri=f"sqlite:///{place.folder / 'other.db'}", artifacts="a", experiment="e", spool=place.spool
        )
    assert not (place.folder / "other.db").exists()


def test_threads_may_share_a_tracker(place):
    """Lanes report from where they like."""
    with place.open() as tracker:
        tracker.run("s", name="s", parent=None)

        def lane(number: int) -> None:
            run = tracker.run(f"s/{number}", name=str(number), parent="s")
            for step in range(40):
                run.metrics({"loss": step}, step=step)
            run.end(State.COMPLETE)

        threads = [threading.Thread(target=lane, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [len(place.points(f"s/{number}", "loss")) for number in range(8)] == [40] * 8
    assert [run.info.status for node, run in place.runs().items() if node != "s"] == ["FINISHED"] * 8


def test_closed_tracker_takes_nothing_more(place):
    tracker = place.open()
    run = tracker.run("s", name="s", parent=None)
    tracker.close()
    tracker.close()
    with pytest.raises(RuntimeError, match="closed"):
        run.metrics({"loss": 1.0}, step=0)


def test_tracker_that_is_never_closed_loses_nothing_at_exit(place):
    program = """
import sys
from pathlib import Path
from adapterlab.tracking.tracker import Tracker
folder = Path(sys.argv[2])
tracker = Tracker.open(uri=sys.argv[1], artifacts=str(folder), experiment="e", spool=folder / "spool")
tracker.run("s", name="s", parent=None).metrics({"loss": 1.0}, step=0)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, place.uri, str(place.folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert place.points("s", "loss") == [(0, 1.0)]
