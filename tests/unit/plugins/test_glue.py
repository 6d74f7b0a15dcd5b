"""GLUE: its tasks, leading metrics, label ids."""

from __future__ import annotations

import json

import pytest

from adapterlab.registry.entry_points import task_definition
from adapterlab_glue.plugin import GLUE


def test_glue_has_the_papers_eight_tasks_and_wnli():
    assert set(GLUE.definitions()) == {"cola", "sst2", "mrpc", "qqp", "stsb", "mnli", "qnli", "rte", "wnli"}


# Source: ScaLearn, arXiv 2310.01217, the headline metric of each task.
HEADLINES = {
    "glue/cola": "matthews",
    "glue/stsb": "pearson",
    "glue/mrpc": "accuracy",
    "glue/qqp": "accuracy",
    "glue/mnli": "accuracy",
    "superglue/cb": "accuracy",
    "superglue/copa": "accuracy",
    "superglue/multirc": "f1",
    "superglue/record": "entity_f1",
    "humset/sectors": "f1_macro",
}


@pytest.mark.parametrize(("task", "metric"), HEADLINES.items())
def test_the_papers_headline_leads(task, metric):
    assert task_definition(task).metrics[0] == metric


@pytest.mark.parametrize(
    ("task", "unstratified"), [("glue/stsb", True), ("superglue/cb", True), ("glue/rte", False)]
)
def test_regression_and_cb_are_split_without_classes(task, unstratified):
    assert task_definition(task).stratify is not unstratified


@pytest.mark.parametrize(
    ("task", "label", "says"),
    [
        ("superglue/cb", 1, "contradiction"),
        ("adapterfusion/sick", 1, "neutral"),
        ("glue/mrpc", 1, "equivalent"),
        ("glue/cola", 0, "unacceptable"),
        ("glue/rte", 0, "entailment"),
        ("glue/wnli", 1, "entailment"),
    ],
)
def test_label_ids_are_the_hubs(task, label, says):
    """CB, MNLI and SICK order their three classes differently; a mix-up would go unseen in training."""
    assert task_definition(task).labels[label] == says


def test_a_known_contradiction_of_cb_has_its_id(real_data):
    first = json.loads((real_data / "superglue/cb/train.jsonl").read_text().splitlines()[0])
    assert first["hypothesis"] == "the language was peeled down"
    assert task_definition("superglue/cb").labels[first["label"]] == "entailment"
