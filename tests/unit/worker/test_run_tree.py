"""Stored test outputs are enough to compute every metric again; runs carry the names that all tasks share."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, precision_score

from adapterlab import home
from adapterlab.data.metrics import score
from adapterlab.data.task_library import TaskLibrary
from adapterlab.records import State
from adapterlab.worker.orders import BackboneFiles, Context
from adapterlab.worker.run_recorder import label_scores, outputs_document, scores
from adapterlab.worker.run_tree import SweepTree
from catalogs import open_at
from tiny_models import random_choice_task, random_label_task, random_task


def stored(task, width):
    """Return outputs, and what is read back from the stored document."""
    outputs = np.random.default_rng(1).normal(size=(len(task.test), width))
    return outputs, json.loads(json.dumps(outputs_document(outputs, task), allow_nan=False))


def test_label_sets_are_scored_again():
    task = random_label_task(labels=4)
    outputs, read = stored(task, 4)
    own = score(
        ["f1_macro", "precision_macro", "subset_accuracy"], outputs, task.test, task.facts.problem_type
    )
    said, true = np.array(read["outputs"]) > 0, np.array(read["labels"])
    assert own["f1_macro"] == pytest.approx(f1_score(true, said, average="macro", zero_division=0))
    assert own["precision_macro"] == pytest.approx(
        precision_score(true, said, average="macro", zero_division=0)
    )
    assert own["subset_accuracy"] == pytest.approx(accuracy_score(true, said))
    assert read["label_names"] == list(task.facts.labels)
    assert read["problem_type"] == "multi_label"


def test_choices_are_scored_again():
    task = random_choice_task(choices=3)
    outputs, read = stored(task, 3)
    own = score(["accuracy"], outputs, task.test, task.facts.problem_type)["accuracy"]
    assert own == accuracy_score(read["labels"], np.array(read["outputs"]).argmax(axis=1))


def test_groups_and_extras_are_kept():
    plain = random_task()
    rows = len(plain.test)
    extras = [{"entity": f"e{i}", "answers": ["e1"]} for i in range(rows)]
    test = replace(plain.test, groups=np.arange(rows) // 3, extras=extras)
    _, read = stored(replace(plain, test=test), 2)
    assert read["groups"] == [i // 3 for i in range(rows)]
    assert read["extras"] == extras
    assert "groups" not in stored(plain, 2)[1]


def test_each_label_has_its_own_score():
    task = random_label_task(labels=4)
    outputs, _ = stored(task, 4)
    scores, counts = label_scores(outputs, task)
    for label in range(4):
        true, said = task.test.labels[:, label], outputs[:, label] > 0
        assert scores[label] == pytest.approx(f1_score(true, said, zero_division=0))
        assert counts[label] == true.sum()
    assert label_scores(outputs, random_task()) is None
    assert label_scores(outputs * np.nan, task) is None


# -- in a real store --------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A sweep's tree of runs in an MLflow store of this test's own."""
    from adapterlab.tracking import schema

    monkeypatch.setenv("ADAPTERLAB_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    stores = home.stores()
    schema.initialise(stores.tracking, stores.artifacts, stores.locks)
    context = Context(
        sweep_key="k", name="n", stores=stores, experiment="x",
        backbone=BackboneFiles("/models/roberta", "roberta", "d", "bfloat16", "hub:roberta"),
        library=TaskLibrary(tmp_path), max_length=24, max_train_rows=100, lanes=4, threads=1, gpu=False,
    )  # fmt: skip
    with open_at(stores.catalog, tmp_path) as catalog, SweepTree.open(context, catalog) as opened:
        yield opened


def read(tree, kind):
    """Return the metrics, parameters and tags of the one run of a kind."""
    from mlflow.tracking import MlflowClient

    assert tree.tracker.flush()
    client = MlflowClient(tracking_uri=tree.tracker.uri)
    (run,) = client.search_runs([tree.tracker.experiment_id], f"tags.`adapterlab.kind` = '{kind}'")
    return run.data


@pytest.mark.parametrize(
    ("spent_s", "cancelled", "expected"),
    [(4.0, False, State.STOPPED), (3.0, False, State.KILLED), (4.0, True, State.CANCELLED)],
)
def test_runs_left_open_say_whether_a_budget_a_person_or_a_signal_stopped_them(
    tree, tmp_path, spent_s, cancelled, expected
):
    key = "a" * 64
    context = replace(tree._context, sweep_key=key, max_device_s=3.6)
    with open_at(context.stores.catalog, tmp_path) as catalog:
        catalog.open_sweep(key, "n", "{}", [])
        catalog.spend(key, spent_s)
        if cancelled:
            catalog.request_cancel(key)
        with ExitStack() as stopped:
            stopped.enter_context(SweepTree.open(context, catalog)).sweep("", {}, "")
    tags = read(tree, "sweep").tags
    assert tags["adapterlab.state"] == str(expected)
    assert ("budget is spent" in tags["adapterlab.state_reason"]) == (expected is State.STOPPED)


def test_numbers_of_all_seeds_take_the_place_of_those_of_some(tree):
    """A sweep that goes on after a seed failed says the mean of all, whatever it said before."""
    tree.sweep("", {}, "")
    facts = replace(random_task("glue/rte").facts, n_train=500)
    for values, missing in (({"test/score": 0.9, "seeds": 1.0}, 2), ({"test/score": 0.4, "seeds": 3.0}, 0)):
        row = tree.baseline("lora", facts, (0, 1, 2), None)
        row.row(values, missing=missing)
        row.end(State.COMPLETE)
    found = read(tree, "baseline")
    assert found.metrics == {"test/score": 0.4, "seeds": 3.0}
    assert found.params == {
        "target": "glue/rte",
        "method": "lora",
        "backbone": "hub:roberta",
        "train_rows": "100",
        "seed": "0, 1, 2",
        "precision": "bfloat16",
    }
    assert found.tags["adapterlab.row"] == "true"


def test_an_experiments_note_and_tags_are_set_and_what_was_there_is_shown_to_the_writer(tree):
    from mlflow.tracking import MlflowClient

    seen = []

    def text(before):
        seen.append(before)
        return f"{len(seen)} {before}".strip()

    for _ in range(2):
        tree.tracker.describe_experiment({"mlflow.sharedViewState.x": "{}"}, text)
    assert seen == ["", "1"]
    tags = MlflowClient(tracking_uri=tree.tracker.uri).get_experiment(tree.tracker.experiment_id).tags
    assert tags["mlflow.note.content"] == "2 1"
    assert tags["mlflow.sharedViewState.x"] == "{}"


def test_a_run_has_the_names_all_tasks_share_beside_its_own():
    assert scores("f1", {"f1": 0.5, "accuracy": 0.6}, {"f1": 0.4}) == {
        "best/f1": 0.5,
        "best/accuracy": 0.6,
        "test/f1": 0.4,
        "validation/score": 0.5,
        "test/score": 0.4,
    }
    assert "test/score" not in scores("f1", {"f1": 0.5}, {})
