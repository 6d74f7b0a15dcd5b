"""Evaluation: the same answers as predictions give, compared with the right ones."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

import adapterlab
from adapterlab.data import metrics
from adapterlab.errors import DataError, UsageError
from adapterlab.registry.entry_points import task_definition
from tiny_trained import write_trained

NAMES = ("entailment", "not_entailment")
ROWS = [
    {"sentence1": f"a {one} sees", "sentence2": f"the {other} hears", "label": (place + more) % 2}
    for place, one in enumerate(("cat", "dog", "bird", "fish", "small bird"))
    for more, other in enumerate(("dog", "cat", "big fish"))
]


def test_scores_and_the_confusion_are_those_of_the_predictions(world):
    key = world.transfers["scalearn"]
    found = adapterlab.evaluate(key, ROWS)
    answers = [one.label for one in adapterlab.predict(key, ROWS)]
    said, right = [NAMES.index(one) for one in answers], [row["label"] for row in ROWS]
    assert found.rows == len(ROWS)
    assert list(found.scores) == ["accuracy", "f1_macro", "matthews"]
    wanted = metrics.compute(list(found.scores), predictions=np.array(said), labels=np.array(right))
    assert {name: one.value for name, one in found.scores.items()} == wanted
    np.testing.assert_array_equal(found.confusion, confusion_matrix(right, said, labels=[0, 1]))
    assert len(found.wrong) == sum(one != two for one, two in zip(said, right, strict=True))
    sure = [one.confidence for one in found.wrong]
    assert sure == sorted(sure, reverse=True)
    assert all(one.right != one.prediction.label for one in found.wrong)
    for one in found.scores.values():
        assert one.low <= one.value <= one.high


def test_labels_are_read_by_name_or_id_in_any_column(world):
    key = world.transfers["scalearn"]
    named = [{**row, "gold": NAMES[row["label"]]} for row in ROWS]
    for row in named:
        del row["label"]
    assert adapterlab.evaluate(key, named, label="gold") == adapterlab.evaluate(key, ROWS)
    cells = [{**row, "label": str(row["label"])} for row in ROWS]
    assert adapterlab.evaluate(key, cells) == adapterlab.evaluate(key, ROWS)


def test_a_folder_scores_as_the_catalog_does(world, tmp_path):
    adapterlab.export(world.transfers["scalearn"], tmp_path / "out")
    read = adapterlab.evaluate(tmp_path / "out", ROWS, backbone=str(world.backbone))
    told = adapterlab.evaluate(world.transfers["scalearn"], ROWS)
    assert (read.scores, read.confusion, read.task) == (told.scores, told.confusion, told.task)


def test_an_interval_narrows_with_the_rows(world):
    """Sixteen times the rows, a quarter of the width."""
    key = world.transfers["scalearn"]
    few = adapterlab.evaluate(key, ROWS * 2, metrics=["accuracy"]).scores["accuracy"]
    many = adapterlab.evaluate(key, ROWS * 32, metrics=["accuracy"]).scores["accuracy"]
    assert few.value == pytest.approx(many.value)
    assert (many.high - many.low) / (few.high - few.low) == pytest.approx(0.25, abs=0.1)


def test_numbers_are_scored_by_correlation_and_the_furthest_off_come_first(world):
    rows = [{"text": f"a cat sees {n}", "text_pair": "the dog", "label": n / 3} for n in range(12)]
    found = adapterlab.evaluate(world.transfers["stsb"], rows)
    assert sorted(found.scores) == ["pearson", "spearman"]
    assert found.confusion == ()
    assert len(found.wrong) == 12
    off = [abs(one.prediction.value - one.right) for one in found.wrong]
    assert off == sorted(off, reverse=True)


@pytest.fixture
def typed(tmp_path, monkeypatch):
    made = write_trained(tmp_path / "typed", tasks=("glue/mrpc", "superglue/copa", "synthetic/mentions"))
    monkeypatch.setenv("ADAPTERLAB_HOME", str(made.home))
    return made


def test_choices_and_label_sets_are_evaluated_too(typed):
    choices = [
        {"premise": f"the cat {n}", "question": "effect", "choice1": "it sleeps", "choice2": "it hears"}
        | {"label": n % 2}
        for n in range(6)
    ]
    found = adapterlab.evaluate(typed.sources[1], choices)
    assert np.sum(found.confusion) == 6
    assert found.scores["accuracy"].value == pytest.approx(1 - len(found.wrong) / 6)

    names = list(adapterlab.predict(typed.sources[2], [{"report": "a cat"}])[0].probabilities)
    label = task_definition("synthetic/mentions").label
    sets = [{"report": f"a cat sees {n}", label: names[: 1 + n % 2]} for n in range(6)]
    found = adapterlab.evaluate(typed.sources[2], sets)
    assert np.shape(found.confusion) == (len(names), 3)
    assert {"f1_macro", "f1_micro", "subset_accuracy"} <= set(found.scores)
    joined = [{**row, label: "; ".join(row[label])} for row in sets]
    assert adapterlab.evaluate(typed.sources[2], joined, delimiter=";") == found


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ({"sentence1": "a", "sentence2": "b"}, "row 2: no column 'label', which holds the right answer"),
        ({"sentence1": "a", "sentence2": "b", "label": "maybe"}, "row 2: unknown label 'maybe'"),
        ({"sentence1": "a", "label": 0}, "row 2: expected sentence1, sentence2"),
    ],
)
def test_rows_without_a_right_answer_are_told(world, row, complaint):
    with pytest.raises(DataError, match=complaint):
        adapterlab.evaluate(world.transfers["scalearn"], [ROWS[0], row])


def test_no_rows_and_metrics_of_another_kind_are_refused(world):
    with pytest.raises(DataError, match="no rows"):
        adapterlab.evaluate(world.transfers["scalearn"], [])
    with pytest.raises(UsageError, match="pearson is no metric of a classification task"):
        adapterlab.evaluate(world.transfers["scalearn"], ROWS, metrics=["pearson"])
