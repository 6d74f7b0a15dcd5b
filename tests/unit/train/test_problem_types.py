"""Every problem type trains alone as in company, and is scored the same in any batching."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, log_softmax
from sklearn.metrics import accuracy_score, f1_score

from adapterlab.records import ProblemType, TrainSettings
from adapterlab.train import evaluate as evaluation
from adapterlab.train import predict
from adapterlab.train.adaptation import Seat
from adapterlab.train.lane import source_lane
from adapterlab.train.loop import train_lanes
from adapterlab_bottleneck.plugin import PFEIFFER, PfeifferSettings
from tiny_models import (
    random_choice_task,
    random_choices,
    random_encoder,
    random_label_sets,
    random_label_task,
    random_task,
)

ENCODER = random_encoder(layers=2, d=16, dropout=0.1)
METHOD = PFEIFFER.layer(PfeifferSettings(reduction_factor=4), ENCODER.shape)
MAKERS = {
    "classes": random_task,
    "choices": random_choice_task,
    "labels": random_label_task,
    "number": lambda **given: random_task(n_labels=1, **given),
}


def lane_of(kind, seed, rows, epochs=2, encoder=ENCODER, **training):
    chosen = TrainSettings(
        **{"lr": 5e-3, "max_epochs": epochs, "patience": epochs, "batch_size": 4, **training}
    )
    task = MAKERS[kind](rows=rows, seed=seed % 3, longest=4 + seed % 5)
    name = f"{kind} {seed} {rows} {epochs}"
    return source_lane(encoder, METHOD, task, chosen, seed=seed, name=name, sees_test=True)


def trained(lanes, capacity):
    waiting = list(lanes)
    results = train_lanes(
        ENCODER, lambda: waiting.pop(0) if waiting else None, capacity=capacity, on_epoch=lambda *_: True
    )
    return {result.name: result for result in results}


LANES = st.tuples(st.sampled_from(sorted(MAKERS)), st.integers(0, 30), st.integers(2, 9), st.integers(1, 2))


@settings(max_examples=10, deadline=None)
@given(st.lists(LANES, min_size=2, max_size=5, unique=True), st.integers(2, 4))
def test_a_lane_of_any_problem_type_equals_the_same_run_alone(recipes, capacity):
    together = trained([lane_of(*one) for one in recipes], capacity)
    for recipe in recipes:
        ((name, alone),) = trained([lane_of(*recipe)], 1).items()
        shared = together[name]
        assert shared.best_epoch == alone.best_epoch
        for part, tensor in alone.tensors.items():
            torch.testing.assert_close(shared.tensors[part], tensor, rtol=0, atol=1e-9)
        np.testing.assert_allclose(shared.test_outputs, alone.test_outputs, rtol=0, atol=1e-9)
        assert shared.test_metrics == pytest.approx(alone.test_metrics)


@settings(max_examples=10, deadline=None)
@given(st.sampled_from(["choices", "labels"]), st.integers(0, 20), st.integers(1, 400))
def test_an_evaluation_does_not_depend_on_its_batches(kind, seed, budget):
    lane = lane_of(kind, seed, 7)
    seat, facts = Seat(lane.adaptation, lane.tensors, lane.head), lane.task.facts

    def evaluated(tokens):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(evaluation, "MAX_TOKENS", tokens)
            return evaluation.evaluate(ENCODER, [seat], [lane.task.test], [facts])[0]

    whole, parts = evaluated(10**6), evaluated(budget)
    np.testing.assert_allclose(parts.outputs, whole.outputs, rtol=0, atol=1e-10)
    assert parts.loss == pytest.approx(whole.loss)
    assert parts.metrics == whole.metrics
    np.testing.assert_allclose(
        predict.outputs(ENCODER, seat, lane.task.test), whole.outputs, rtol=0, atol=1e-10
    )


def test_choices_are_scored_by_cross_entropy_over_them():
    lane = lane_of("choices", 3, 8)
    test = lane.task.test
    (found,) = evaluation.evaluate(
        ENCODER, [Seat(lane.adaptation, lane.tensors, lane.head)], [test], [lane.task.facts]
    )
    assert found.outputs.shape == (len(test), 3)
    chances = log_softmax(found.outputs, axis=1)
    assert found.loss == pytest.approx(-chances[np.arange(len(test)), test.labels].mean())
    assert found.metrics["accuracy"] == accuracy_score(test.labels, found.outputs.argmax(axis=1))


def test_label_sets_are_scored_by_binary_cross_entropy_over_all_entries():
    lane = lane_of("labels", 3, 8)
    test = lane.task.test
    (found,) = evaluation.evaluate(
        ENCODER, [Seat(lane.adaptation, lane.tensors, lane.head)], [test], [lane.task.facts]
    )
    chances, truth = expit(found.outputs), test.labels
    wanted = -(truth * np.log(chances) + (1 - truth) * np.log(1 - chances)).mean()
    assert found.loss == pytest.approx(wanted)
    said = chances > 0.5
    assert found.metrics["f1_macro"] == pytest.approx(f1_score(truth, said, average="macro", zero_division=0))
    assert found.metrics["subset_accuracy"] == pytest.approx((said == truth).all(axis=1).mean())


@pytest.mark.parametrize("kind", ["choices", "labels"])
def test_both_learn_more_than_frequencies(kind):
    lane = lane_of(kind, 0, 60, epochs=30, lr=1e-2, batch_size=10, backbone_dropout=False, head_dropout=0.0)
    if kind == "choices":
        constant = np.log(3)
    else:
        often = lane.task.train.labels.mean(axis=0, dtype=np.float64)
        constant = -(often * np.log(often) + (1 - often) * np.log(1 - often)).mean()
    (result,) = trained([lane], 1).values()
    assert result.epochs[-1].train_loss < 0.75 * constant


def test_the_first_examples_keep_their_choices_and_label_sets():
    choices = replace(random_choices(6, 3, seed=0), groups=np.arange(6), extras=[{"i": i} for i in range(6)])
    first = choices.first(2)
    assert (len(first), len(first.lengths), len(first.labels)) == (2, 6, 2)
    assert first.groups.tolist() == [0, 1]
    assert first.extras == [{"i": 0}, {"i": 1}]
    assert first.example_lengths.tolist() == [first.lengths[:3].max(), first.lengths[3:].max()]
    sets = random_label_sets(6, 4, seed=0).first(2)
    assert sets.labels.shape == (2, 4)


def test_probabilities_of_labels_are_each_their_own():
    logits = np.array([[0.0, 800.0, -800.0]])
    chances = predict.probabilities(logits, ProblemType.MULTI_LABEL)
    np.testing.assert_allclose(chances, expit(logits))
    choices = predict.probabilities(np.array([[1.0, 1.0]]), ProblemType.MULTIPLE_CHOICE)
    assert choices.tolist() == [[0.5, 0.5]]
