"""Stored test outputs are enough to compute every metric again, with scikit-learn alone."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, precision_score

from adapterlab.data.metrics import score
from adapterlab.worker.run_tree import label_scores, outputs_document
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
