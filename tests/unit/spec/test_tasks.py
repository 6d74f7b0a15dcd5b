"""``[[task]]``: what a person may declare, and every mistake told where it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapterlab.data.metrics import metrics_for
from adapterlab.errors import SpecError
from adapterlab.records import ProblemType, Splits
from adapterlab.spec.load import LoadedSpec, load_spec
from adapterlab.spec.tasks import METRICS, TaskSpec, definition_from

HEAD = """\
name = "own"
[backbone]
source = "package:x"
[pool]
tasks = ["mine/reviews", "glue/rte"]
[targets]
tasks = ["mine/reviews"]
"""


def load(folder: Path, body: str, *overrides: str) -> LoadedSpec:
    path = folder / "spec.toml"
    path.write_text(HEAD + body)
    return load_spec(path, overrides)


def task(**keys: object) -> TaskSpec:
    return TaskSpec.model_validate({"name": "mine/x", "train": "a.csv", "text": ["text"], **keys})


GOOD = """
[[task]]
name = "mine/reviews"
train = "reviews.csv"
text = ["text"]
"""


def test_four_lines_make_a_task(tmp_path):
    spec = load(tmp_path, GOOD).spec
    definition = definition_from(spec.task[0])
    assert definition.name == "reviews"
    assert definition.problem_type is ProblemType.CLASSIFICATION
    assert (definition.label, definition.labels, definition.metrics) == ("label", (), ("accuracy",))
    assert definition.stratify
    assert definition.splits is Splits.CUT


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('train = "reviews.xlsx"', "train must end in .jsonl, .csv, .tsv, .parquet"),
        ('train = ""', "is empty"),
        ('folder = "x"', "folder and train exclude each other"),
        ('text = ["a", "b", "c"]', "text needs one or two columns"),
        ('text = ["{a b}"]', "is no column's name"),
        ('choices = ["a", "b"]', 'choices are for type = "multiple_choice"'),
        ('type = "multiple_choice"', "choices needs a column that holds lists, or two"),
        ('type = "regresion"', 'did you mean "regression"'),
        ('type = "regression"\nlabels = ["a", "b"]', "labels are for classes"),
        ('labels = ["a", "a"]', "labels lists a name twice"),
        ('labels = ["a"]', "two classes at least"),
        ('metrics = ["f1"]\nlabels = ["a", "b", "c"]', "f1 is the second of two classes', labels names 3"),
        ('metrics = ["pearson"]', '"pearson" is no metric of a classification task'),
        ('label = ["a", "b"]', 'label names 2 columns, which is for type = "multi_label"'),
        ('type = "multi_label"\nlabel = ["a", "a"]', "label lists a column twice"),
        ('type = "multi_label"\nlabel = ["a", "b"]\ndelimiter = ";"', "label names several"),
        ('type = "multi_label"\nlabel = ["a", "b"]\nlabels = ["x", "y", "z"]', "must name the 2 columns"),
        ("first_choice = 1", 'first_choice is for type = "multiple_choice"'),
        ('delimiter = ";"', 'delimiter is for type = "multi_label"'),
        ('hub = "a/b"', 'needs revision = "<commit>"'),
        ('revision = "0123456789012345678901234567890123456789"', "revision is for tasks from the hub"),
        ('splits = "own"', 'splits = "own" goes with 3 files, got 1'),
        ('lable = "stars"', 'did you mean "label"'),
        ('name = "Mine/Reviews"', "is not allowed here"),
        ('name = "glue/mine"', '"glue" is an installed benchmark'),
        ("max_length = 4", "must be at least 8"),
    ],
)
def test_each_mistake_is_told_at_its_line(tmp_path, line, says):
    key = line.partition(" ")[0]
    kept = [one for one in GOOD.strip().splitlines() if not one.startswith(f"{key} ")]
    body = "\n".join([*kept, line]) + "\n"
    with pytest.raises(SpecError) as caught:
        load(tmp_path, body)
    faults = [f for f in caught.value.details["faults"] if says in f"{f['message']} {f['hint']}"]
    assert faults, str(caught.value)
    first, last = HEAD.count("\n") + 1, (HEAD + body).count("\n")
    assert first <= faults[0]["line"] <= last


def test_a_name_that_is_not_declared_is_told_with_the_one_that_is(tmp_path):
    with pytest.raises(SpecError, match='did you mean "mine/reviews"'):
        load(tmp_path, GOOD, 'targets.tasks=["mine/reviwes"]')


def test_a_name_stands_for_one_task(tmp_path):
    with pytest.raises(SpecError, match="listed twice: mine/reviews"):
        load(tmp_path, GOOD + GOOD)


def test_paths_start_from_the_spec_or_where_the_override_was_given(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert load(tmp_path, GOOD).task_folder == tmp_path
    given = load(tmp_path, "", 'task=[{name="mine/reviews",train="a.csv",text=["t"]}]')
    assert given.task_folder == tmp_path / "here"
    assert given.spec.task[0].train == "a.csv"


@pytest.mark.parametrize(
    ("keys", "splits"),
    [
        ({}, Splits.CUT),
        ({"test": "b.csv"}, Splits.HOLDOUT),
        ({"validation": "b.csv"}, Splits.HOLDOUT),
        ({"validation": "b.csv", "test": "c.csv"}, Splits.OWN),
        ({"validation": "b.csv", "splits": "shared"}, Splits.SHARED),
        ({"train": None, "folder": "f"}, Splits.HOLDOUT),
        ({"train": None, "folder": "f", "splits": "own"}, Splits.OWN),
    ],
)
def test_the_files_say_how_it_is_split(keys, splits):
    assert definition_from(task(**keys)).splits is splits


def test_a_task_from_the_hub_names_its_splits_there():
    own = task(train="training", test="final", hub="me/data", config="en", revision="0" * 40)
    location = definition_from(own).hub
    assert location is not None
    assert (location.repo, location.config, location.revision) == ("me/data", "en", "0" * 40)
    assert (location.train, location.validation) == ("training", "final")


def test_choices_are_numbered_where_they_have_no_names():
    own = task(type="multiple_choice", choices=["a", "b", "{c}!"])
    assert definition_from(own).labels == ("0", "1", "2")
    assert definition_from(own).metrics == ("accuracy",)


@pytest.mark.parametrize("kind", ProblemType)
def test_every_metric_that_may_be_named_can_be_computed(kind):
    """The spec's list is a copy, because the spec is checked without the libraries that compute."""
    assert set(METRICS[kind]) <= set(metrics_for(kind))
