"""Metrics over groups of rows, against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterlab.data.grouped_metrics import normalised, token_f1
from adapterlab.data.metrics import compute, score
from adapterlab.records import Examples, ProblemType

untimed = settings(deadline=None)


@untimed
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=30))
def test_a_question_is_right_when_all_its_answers_are(rows):
    groups, predictions, labels = zip(*rows, strict=True)
    value = compute(["group_accuracy"], predictions=predictions, labels=labels, groups=np.array(groups))[
        "group_accuracy"
    ]
    wrong = {group for group, said, true in rows if said != true}
    assert value == pytest.approx(1 - len(wrong) / len(set(groups)))


def test_without_groups_each_row_is_its_own():
    values = compute(["group_accuracy", "accuracy"], predictions=[1, 0, 1], labels=[1, 1, 1])
    assert values["group_accuracy"] == values["accuracy"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("text", "plain"),
    [("The  U.S. Army!", "us army"), ("a\tcat, an owl", "cat owl"), ("Theatre", "theatre"), ("the", "")],
)
def test_answers_are_normalised_as_for_squad(text, plain):
    assert normalised(text) == plain


@pytest.mark.parametrize(
    ("answer", "gold", "value"),
    [
        ("the Los Angeles Lakers", "Los Angeles", 0.8),  # 2 of 3 words, 2 of 2
        ("Paris", "London", 0.0),
        ("the", "an", 0.0),
        ("New New York", "New York", 0.8),  # a word counts as often as both have it
        ("U.S.", "us", 1.0),
    ],
)
def test_token_f1_counts_shared_words(answer, gold, value):
    assert token_f1(answer, gold) == pytest.approx(value)


def candidates(*rows):
    """Return logits, labels, groups and extras of (group, logit, entity, answers)."""
    outputs = np.array([[0.0, logit] for _, logit, _, _ in rows], dtype=np.float32)
    labels = np.array([int(entity in answers) for _, _, entity, answers in rows])
    groups = np.array([group for group, *_ in rows])
    extras = [{"entity": entity, "answers": list(answers)} for _, _, entity, answers in rows]
    return outputs, labels, groups, extras


def entity_scores(*rows):
    outputs, labels, groups, extras = candidates(*rows)
    examples = Examples(
        np.zeros(len(rows), np.int32), np.zeros(len(rows), np.int32), np.arange(len(rows) + 1), labels,
        groups=groups, extras=extras,
    )  # fmt: skip
    return score(["entity_f1", "entity_em"], outputs, examples, ProblemType.CLASSIFICATION)


def test_a_query_is_answered_by_its_likeliest_entity():
    gold = ("Los Angeles", "L.A. city")
    values = entity_scores(
        (7, 0.2, "Paris", gold),
        (7, 0.9, "the Los Angeles Lakers", gold),
        (3, -2.0, "Rome", ("Rome",)),
        (3, -3.0, "Bonn", ("Rome",)),
        (5, 1.0, "Oslo", ()),
    )
    assert values["entity_f1"] == pytest.approx((0.8 + 1.0 + 0.0) / 3)
    assert values["entity_em"] == pytest.approx(1 / 3)


def test_it_is_the_logit_that_decides_not_the_predicted_class():
    """Both rows are predicted class 1; the greater logit of class 1 wins."""
    assert entity_scores((0, 3.0, "B", ("A",)), (0, 4.0, "A", ("A",)))["entity_em"] == 1.0


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_equal_scores_go_to_the_greater_string(order):
    rows = [(0, 1.0, "Aachen", ("Zürich",)), (0, 1.0, "Zürich", ("Zürich",))]
    assert entity_scores(*(rows[i] for i in order))["entity_em"] == 1.0


def test_entities_are_needed_and_divergence_is_told():
    with pytest.raises(ValueError, match="need outputs"):
        compute(["entity_f1"], predictions=[1], labels=[1])
    assert math.isnan(entity_scores((0, math.nan, "A", ("A",)))["entity_f1"])
