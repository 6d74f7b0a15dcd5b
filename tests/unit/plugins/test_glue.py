"""The papers' tasks: columns, labels, leading metrics; every real file at hand is read."""

from __future__ import annotations

import json

import pytest

from adapterlab.data.metrics import METRICS
from adapterlab.data.read import read_file
from adapterlab.records import ProblemType
from adapterlab.registry.entry_points import task_definition, task_suite
from adapterlab_glue.plugin import ADAPTERFUSION, GLUE, SUPERGLUE

SUITES = (GLUE, SUPERGLUE, ADAPTERFUSION)
EVERY = [(suite.name, task) for suite in SUITES for task in suite.definitions()]


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_a_suite_is_found_by_its_entry_point(suite):
    assert task_suite(suite.name) is suite
    assert not suite.generates()
    with pytest.raises(NotImplementedError):
        suite.rows("rte", "train")


def test_glue_has_the_papers_eight_tasks_and_wnli():
    assert set(GLUE.definitions()) == {"cola", "sst2", "mrpc", "qqp", "stsb", "mnli", "qnli", "rte", "wnli"}


@pytest.mark.parametrize(("benchmark", "task"), EVERY)
def test_a_definition_is_whole(benchmark, task):
    definition = task_definition(f"{benchmark}/{task}")
    assert definition.name == task
    assert len(definition.text) in (1, 2)
    assert set(definition.metrics) <= set(METRICS)
    assert bool(definition.labels) == (definition.problem_type is ProblemType.CLASSIFICATION)
    assert definition.stratify or task in ("stsb", "cb")
    assert definition.description
    assert definition.citation
    assert definition.licence


# Source: ScaLearn, arXiv 2310.01217, the headline metric of each task.
HEADLINES = {
    "glue/cola": "matthews",
    "glue/stsb": "pearson",
    "glue/mrpc": "accuracy",
    "glue/qqp": "accuracy",
    "glue/mnli": "accuracy",
    "superglue/cb": "accuracy",
}


@pytest.mark.parametrize(("task", "metric"), HEADLINES.items())
def test_the_papers_headline_leads(task, metric):
    assert task_definition(task).metrics[0] == metric


@pytest.mark.parametrize(
    ("task", "unstratified"), [("glue/stsb", True), ("superglue/cb", True), ("glue/rte", False)]
)
def test_regression_and_cb_are_split_without_classes(task, unstratified):
    assert task_definition(task).stratify is not unstratified


@pytest.mark.parametrize(("benchmark", "task"), EVERY)
def test_real_files_fit_their_definition(real_data, benchmark, task):
    folder = real_data / benchmark / task
    files = [path for path in (folder / "train.jsonl", folder / "validation.jsonl") if path.is_file()]
    if not files:
        pytest.skip(f"no {benchmark}/{task} at hand")
    for path in files:
        rows = read_file(path, task_definition(f"{benchmark}/{task}"))
        with path.open() as lines:
            assert len(rows) == sum(1 for _ in lines)


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
