"""Kept predictions answer as the run did, and lie beside its weights without being among them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from adapterlab.data.metrics import predictions_of, score
from adapterlab.data.run_predictions import from_weights, kept
from adapterlab.errors import CorruptBlobError
from adapterlab.records import Examples, ProblemType
from adapterlab.train import weights


def examples(labels, groups=None, extras=None):
    rows = len(labels)
    empty = np.zeros(rows, dtype=np.int32)
    return Examples(empty, empty, np.arange(rows + 1), np.asarray(labels), groups=groups, extras=extras)


def stored(predictions):
    return weights.to_bytes({"omega": torch.ones(2), "head.weight": torch.ones(3)}, None, predictions)


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.float64, (5, 3), elements=st.floats(-1e6, 1e6)),
    st.sampled_from([ProblemType.CLASSIFICATION, ProblemType.MULTIPLE_CHOICE, ProblemType.MULTI_LABEL]),
)
def test_no_answer_changes_by_the_precision_it_is_kept_in(outputs, kind):
    outputs = outputs.astype(np.float32).astype(np.float64)  # a head computes in single precision
    labels = np.zeros((5, 3) if kind is ProblemType.MULTI_LABEL else 5, dtype=np.int64)
    back = from_weights(stored(kept(outputs, examples(labels), kind)))
    assert back.problem_type is kind
    assert np.array_equal(back.predictions, predictions_of(outputs, kind))
    assert back.right.shape == (5,)


def test_outputs_take_half_the_space_where_no_answer_needs_more():
    outputs = np.array([[0.1, 0.9], [0.8, 0.2]])
    assert kept(outputs, examples([1, 0]), ProblemType.CLASSIFICATION).outputs.dtype == np.float16
    near = np.array([[1.0, 1.0 + 1e-6], [1.0, 0.0]])
    assert kept(near, examples([1, 0]), ProblemType.CLASSIFICATION).outputs.dtype == np.float32
    assert kept(outputs[:, :1], examples([0.3, 0.1]), ProblemType.REGRESSION).outputs.dtype == np.float32


def test_labels_and_groups_are_kept_and_tell_the_rows_apart():
    labels, groups = [0, 300, 1], np.array([0, 0, 1])
    outputs = np.eye(301)[[0, 300, 300]]
    one = from_weights(stored(kept(outputs, examples(labels, groups), ProblemType.CLASSIFICATION)))
    assert one.labels.tolist() == labels
    assert one.groups.tolist() == [0, 0, 1]
    assert one.right.tolist() == [True, True, False]
    other = kept(outputs, examples([0, 300, 2], groups), ProblemType.CLASSIFICATION)
    assert one.same_rows(one)
    assert not one.same_rows(other)
    assert not one.same_rows(kept(outputs, examples(labels), ProblemType.CLASSIFICATION))


def test_what_groups_have_of_a_metric_of_texts_is_kept_and_is_what_the_run_scored():
    said = [("Rome", ("Rome",)), ("Bonn", ("Rome",)), ("the Los Angeles Lakers", ("Los Angeles",))]
    extras = [{"entity": entity, "answers": list(answers)} for entity, answers in said]
    rows = examples([1, 0, 0], np.array([4, 4, 2]), extras)
    outputs = np.array([[0.0, 2.0], [0.0, 1.0], [0.0, -1.0]])
    one = from_weights(stored(kept(outputs, rows, ProblemType.CLASSIFICATION)))
    scored = score(["entity_f1", "entity_em", "group_accuracy"], outputs, rows, ProblemType.CLASSIFICATION)
    for name, value in scored.items():
        assert one.group_values(name).mean() == pytest.approx(value)
    assert one.group_values("entity_f1").tolist() == pytest.approx([1.0, 0.8])
    assert one.first_rows.tolist() == [0, 2]
    assert one.group_values("accuracy") is None, "it is of rows"
    plain = kept(outputs, examples([1, 0, 0], np.array([4, 4, 2])), ProblemType.CLASSIFICATION)
    assert plain.group_values("entity_f1") is None, "no texts, as of runs of before"
    diverged = kept(outputs * np.nan, rows, ProblemType.CLASSIFICATION)
    assert diverged.of_groups == {}


def test_they_are_no_weights_and_older_runs_have_none():
    answered = kept(np.array([[0.1, 0.9]]), examples([1]), ProblemType.CLASSIFICATION)
    assert set(weights.from_bytes(stored(answered))) == {"omega", "head.weight"}
    assert from_weights(stored(None)) is None


def test_what_is_not_whole_is_said():
    with pytest.raises(CorruptBlobError):
        from_weights(b"\xff" * 20)
    lone = weights.to_bytes({"test_predictions.outputs": torch.ones(2, 2)})
    with pytest.raises(CorruptBlobError, match="not whole"):
        from_weights(lone)
