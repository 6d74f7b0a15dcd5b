"""What a constant answer gives, and what was confused, from the outputs that runs keep."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterlab.data.run_predictions import KeptPredictions
from adapterlab.records import ProblemType
from adapterlab.reporting.evidence import Evidence, confusion_counts, constant_score, gather
from adapterlab.reporting.summary import Summary
from adapterlab.tracking import schema
from adapterlab.tracking.tracker import Tracker
from reports import cell


def document(labels, outputs, kind="classification", names=("a", "b", "c"), **more):
    return {"outputs": outputs, "labels": labels, "problem_type": kind, "label_names": list(names), **more}


ROWS = document([0, 0, 0, 1, 2], [[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0]])


def test_rows_are_truths_and_columns_answers():
    assert confusion_counts(ROWS).tolist() == [[2, 1, 0], [0, 1, 0], [1, 0, 0]]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=30))
def test_every_row_is_counted_once_and_the_diagonal_is_the_accuracy(pairs):
    one = document(
        [truth for truth, _ in pairs], [[float(place == said) for place in range(3)] for _, said in pairs]
    )
    counts = confusion_counts(one)
    assert counts.sum() == len(pairs)
    assert counts.trace() == sum(truth == said for truth, said in pairs)


def test_of_several_labels_at_once_each_is_counted():
    one = document([[1, 0], [1, 1]], [[2.0, 3.0], [-1.0, 4.0]], "multi_label", ("x", "y"))
    assert confusion_counts(one).tolist() == [[1, 0, 1], [1, 1, 0]]


def test_numbers_and_diverged_runs_have_no_matrix():
    assert confusion_counts(document([0.5], [[0.4]], "regression", ())) is None
    assert confusion_counts(document([0, 1], [[float("nan"), 0], [0, 1]], names=("a", "b"))) is None


def test_the_most_frequent_class_is_answered_always():
    assert constant_score(ROWS, "accuracy") == pytest.approx(0.6)
    assert constant_score(document([1, 1, 0], [[0, 1]] * 3, names=("a", "b")), "f1") == pytest.approx(0.8)
    assert constant_score(document([1, 1, 0], [[0, 1]] * 3, names=("a", "b")), "matthews") == 0.0
    assert constant_score(document([0.1, 0.9], [[0.0]] * 2, "regression", ()), "pearson") is None
    assert constant_score(
        document([[1, 0], [1, 1], [0, 0]], [[0, 0]] * 3, "multi_label", ("x", "y")), "f1_micro"
    ) == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))


def test_a_store_that_does_not_answer_is_said_and_the_rest_is_reported(tmp_path):
    found = gather(Summary("s", "k", "complete", ()), f"sqlite:///{tmp_path / 'none.db'}")
    assert found.curves == ()
    assert "not shown" in found.missing


def test_curves_and_outputs_are_read_from_the_runs(tmp_path):
    uri, artifacts = f"sqlite:///{tmp_path / 'mlflow.db'}", str(tmp_path / "artifacts")
    schema.initialise(uri, artifacts, tmp_path / "locks")
    with Tracker.open(uri=uri, artifacts=artifacts, experiment="e", spool=tmp_path / "spool") as tracker:
        run = tracker.run("s/final", name="final", parent=None)
        for epoch, value in ((2, 0.7), (1, 0.5)):
            run.metrics({"validation/accuracy": value}, step=epoch)
        run.json("test_outputs.json", ROWS)
        run.end("complete")
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    (known,) = client.search_runs([client.get_experiment_by_name("e").experiment_id])
    one = replace(cell("scalearn", [0.6, 0.7]), run_ids=(known.info.run_id, "0" * 32))
    found = gather(Summary("s", "k", "complete", (one,)), uri)
    (curve,) = found.curves
    assert (curve.epochs, curve.values, curve.seed) == ((1, 2), (0.5, 0.7), 0)
    (confusion,) = found.confusions
    assert confusion.runs == 1
    assert found.majority == {"glue/rte": pytest.approx(0.6)}
    assert "of 1 run:" in found.missing, "the other run is not there"
    assert isinstance(Evidence.to_json(found)["curves"], list)


def test_without_mlflow_the_catalog_s_predictions_make_the_matrices(tmp_path):
    labels = np.array([0, 1, 1], dtype=np.uint8)
    kept = KeptPredictions(ProblemType.CLASSIFICATION, np.eye(2)[[0, 1, 0]], labels)
    one = replace(cell("scalearn", [2 / 3, 0.5]), keys=("a", "b"))
    summary = Summary("s", "k", "complete", (one,))
    found = gather(summary, f"sqlite:///{tmp_path / 'none.db'}", {"a": kept}.get)
    (confusion,) = found.confusions
    assert (confusion.runs, confusion.counts) == (1, ((1, 0), (1, 1)))
    assert found.majority == {"glue/rte": pytest.approx(2 / 3)}
    assert "curves are not shown" in found.missing
    assert "of 1 run:" in found.missing
