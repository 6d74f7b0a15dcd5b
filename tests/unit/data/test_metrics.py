"""Metrics against their definitions."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from adapterlab.data.metrics import (
    METRICS,
    compute,
    direction,
    metrics_for,
    normalise,
    predictions_of,
    score,
    token_f1,
)
from adapterlab.errors import NotFoundError
from adapterlab.records import Examples, ProblemType
from adapterlab.spec import tasks as spec_tasks

untimed = settings(deadline=None)  # the first example imports scikit-learn
classes = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=40)
binary = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=40)
# grid values: differences and sums are exact, so the definitions can be compared closely
grid = st.integers(-80, 80).map(lambda value: value / 8)
numbers = st.lists(st.tuples(grid, grid), min_size=2, max_size=40)


def _one(name: str, pairs: list[tuple[float, float]]) -> float:
    predictions, labels = zip(*pairs, strict=True)
    return compute([name], predictions=predictions, labels=labels)[name]


@untimed
@given(classes)
def test_accuracy_is_the_share_of_right_rows(pairs):
    assert _one("accuracy", pairs) == pytest.approx(sum(p == y for p, y in pairs) / len(pairs))


def _f1_of(pairs: list[tuple[int, int]], kind: int) -> float:
    hit = sum(p == y == kind for p, y in pairs)
    either = sum(p == kind for p, _ in pairs) + sum(y == kind for _, y in pairs)
    return 2 * hit / either if either else 0.0


@untimed
@given(binary)
def test_f1_is_of_class_one(pairs):
    assert _one("f1", pairs) == pytest.approx(_f1_of(pairs, 1))


@untimed
@given(classes)
def test_f1_macro_is_the_mean_over_the_classes_that_occur(pairs):
    kinds = {kind for pair in pairs for kind in pair}
    assert _one("f1_macro", pairs) == pytest.approx(sum(_f1_of(pairs, kind) for kind in kinds) / len(kinds))


@untimed
@given(binary)
def test_matthews_is_its_definition(pairs):
    tp, tn = (sum(p == y == kind for p, y in pairs) for kind in (1, 0))
    fp, fn = (sum((p, y) == case for p, y in pairs) for case in ((1, 0), (0, 1)))
    below = math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    assert _one("matthews", pairs) == pytest.approx((tp * tn - fp * fn) / below if below else 0.0, abs=1e-9)


@untimed
@given(numbers)
def test_pearson_is_its_definition(pairs):
    x, y = np.array(pairs).T
    assume(np.ptp(x) > 0 and np.ptp(y) > 0)
    x, y = x - x.mean(), y - y.mean()
    expected = float(x @ y / math.sqrt(float(x @ x) * float(y @ y)))
    assert _one("pearson", pairs) == pytest.approx(expected, abs=1e-9)


@untimed
@given(numbers)
def test_spearman_is_pearson_of_the_ranks(pairs):
    def ranks(values: list[float]) -> list[float]:
        return [
            sum(v < value for v in values) + (1 + sum(v == value for v in values)) / 2 for value in values
        ]

    x, y = (ranks(list(values)) for values in zip(*pairs, strict=True))
    assert _one("spearman", pairs) == pytest.approx(_one("pearson", list(zip(x, y, strict=True))), abs=1e-9)


@untimed
@given(st.floats(-1e30, 1e30), st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20))
def test_a_constant_prediction_correlates_with_nothing_and_warns_of_nothing(constant, labels):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = compute(["pearson", "spearman"], predictions=[constant] * len(labels), labels=labels)
    assert values == {"pearson": 0.0, "spearman": 0.0}


@pytest.mark.parametrize("labels", [[0, 0, 0], [1, 1, 1], [0, 1, 1]])
@pytest.mark.parametrize("predictions", [[0, 0, 0], [1, 1, 1]])
def test_constant_classes_warn_of_nothing(predictions, labels):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = compute(["accuracy", "f1", "f1_macro", "matthews"], predictions=predictions, labels=labels)
    assert all(math.isfinite(value) for value in values.values())


def test_a_value_that_is_not_finite_makes_every_metric_nan():
    assert all(math.isnan(v) for v in compute(METRICS, predictions=[1.0, math.nan], labels=[0, 1]).values())


def test_a_diverged_head_has_no_classes():
    logits = np.array([[0.1, 0.9], [np.nan, 0.0]], dtype=np.float32)
    predictions = predictions_of(logits, ProblemType.CLASSIFICATION)
    assert np.isnan(predictions).all()
    assert math.isnan(compute(["accuracy"], predictions=predictions, labels=[1, 0])["accuracy"])


def test_logits_become_classes_or_numbers():
    classes_ = predictions_of([[0.1, 0.9, 0.0], [2.0, 1.0, 0.0]], ProblemType.CLASSIFICATION)
    assert classes_.tolist() == [1, 0]
    assert predictions_of([[1.5], [-2.0]], ProblemType.REGRESSION).tolist() == [1.5, -2.0]


def test_metrics_keep_their_order_and_all_are_better_when_greater():
    assert list(compute(["f1", "accuracy"], predictions=[1, 0], labels=[1, 1])) == ["f1", "accuracy"]
    assert {direction(name) for name in METRICS} == {"maximize"}


def test_an_unknown_metric_names_the_known():
    for ask in (lambda: compute(["accurracy"], predictions=[1], labels=[1]), lambda: direction("accurracy")):
        with pytest.raises(NotFoundError) as caught:
            ask()
        assert "accuracy" in caught.value.remedy


@pytest.mark.parametrize(("predictions", "labels"), [([1], [1, 0]), ([], []), ([[[1]]], [[[1]]])])
def test_lengths_must_agree(predictions, labels):
    with pytest.raises(ValueError, match="expected the same"):
        compute(["accuracy"], predictions=predictions, labels=labels)


def _label_sets(width=3):
    row = st.lists(st.integers(0, 1), min_size=width, max_size=width)
    return st.lists(st.tuples(row, row), min_size=1, max_size=30)


@untimed
@given(_label_sets())
def test_multi_label_metrics_are_their_definitions(pairs):
    predictions, labels = (np.array(side) for side in zip(*pairs, strict=True))
    names = metrics_for(ProblemType.MULTI_LABEL)
    values = compute(names, predictions=predictions, labels=labels)
    hits, said, true = (
        part.sum(axis=0) for part in (predictions & labels, predictions, labels)
    )  # (N, C) -> (C,)

    def share(above, below):
        return float(np.mean([a / b if b else 0.0 for a, b in zip(above, below, strict=True)]))

    assert values["precision_macro"] == pytest.approx(share(hits, said))
    assert values["recall_macro"] == pytest.approx(share(hits, true))
    assert values["f1_macro"] == pytest.approx(share(2 * hits, said + true))
    below = said.sum() + true.sum()
    assert values["f1_micro"] == pytest.approx(2 * hits.sum() / below if below else 0.0)
    assert values["subset_accuracy"] == pytest.approx(np.mean((predictions == labels).all(axis=1)))


def test_a_label_is_predicted_where_its_sigmoid_is_above_a_half():
    logits = np.array([[0.0, 1e-6, -1e-6], [5.0, -5.0, 0.1]])
    assert predictions_of(logits, ProblemType.MULTI_LABEL).tolist() == [[0, 1, 0], [1, 0, 1]]
    diverged = predictions_of([[np.inf, 0.0]], ProblemType.MULTI_LABEL)
    assert diverged.shape == (1, 2)
    assert math.isnan(compute(["f1_macro"], predictions=diverged, labels=[[1.0, 0.0]])["f1_macro"])


def test_a_metric_of_classes_refuses_label_sets():
    with pytest.raises(ValueError, match="'matthews' is not defined for multi-label"):
        compute(["f1_macro", "matthews"], predictions=[[1, 0]], labels=[[1, 0]])


@pytest.mark.parametrize("kind", ProblemType)
def test_every_problem_type_has_metrics_and_a_spec_may_name_them(kind):
    assert metrics_for(kind)
    assert set(spec_tasks.METRICS[kind]) == set(metrics_for(kind))


# -- over groups of rows ----------------------------------------------------------------------------


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
    assert normalise(text) == plain


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
