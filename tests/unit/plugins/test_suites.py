"""Every suite whose rows are read: definitions are whole, real files at hand fit them."""

from __future__ import annotations

import pytest

from adapterlab.data.metrics import METRICS
from adapterlab.records import ProblemType, Splits
from adapterlab.registry.entry_points import TASK_SUITES, names, task_definition, task_suite
from adapterlab.registry.plugins import FolderSuite
from rows import read_file

SUITES = [task_suite(name) for name in names(TASK_SUITES) if not task_suite(name).generates()]
EVERY = [f"{suite.name}/{task}" for suite in SUITES for task in suite.definitions()]


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_a_suite_is_found_by_its_entry_point_and_makes_no_rows(suite):
    assert isinstance(suite, FolderSuite)
    with pytest.raises(NotImplementedError):
        suite.rows(next(iter(suite.definitions())), "train")


@pytest.mark.parametrize("task", EVERY)
def test_a_definition_is_whole(task):
    definition = task_definition(task)
    assert definition.name == task.split("/")[1]
    assert definition.description
    assert definition.citation
    assert definition.licence
    for name in definition.metrics:
        assert definition.problem_type in METRICS[name].problem_types
        assert not METRICS[name].is_grouped or definition.groups is not None
    holdout = definition.splits is Splits.HOLDOUT
    assert definition.stratify or not holdout or task in ("glue/stsb", "superglue/cb")


def test_all_the_papers_tasks_are_there():
    """GLUE's 8 and SuperGLUE's 8, HumSet's 5, and the 16 of AdapterFusion."""
    fusion = {
        *(f"glue/{name}" for name in ("mnli", "qqp", "sst2", "mrpc", "rte")),
        *(f"superglue/{name}" for name in ("boolq", "cb")),
        *(f"adapterfusion/{name}" for name in ("winogrande", "imdb", "hellaswag", "social_iqa")),
        *(f"adapterfusion/{name}" for name in ("cosmos_qa", "scitail", "argument", "commonsense_qa", "sick")),
    }
    assert len(fusion) == 16
    assert fusion <= set(EVERY)
    assert {"boolq", "cb", "copa", "multirc", "record", "rte", "wic", "wsc"} == set(
        task_suite("superglue").definitions()
    )
    assert {"sectors", "pillars_1d", "subpillars_1d", "pillars_2d", "subpillars_2d"} == set(
        task_suite("humset").definitions()
    )


PUBLISHED = [task for task in EVERY if task_definition(task).published_rows]


def test_every_task_of_the_papers_has_published_counts():
    """So that no plan of theirs says that its time is unknown."""
    papers = ("glue/", "superglue/", "humset/", "adapterfusion/")
    assert [task for task in EVERY if task.startswith(papers) and task not in PUBLISHED] == []


@pytest.mark.parametrize("task", PUBLISHED)
def test_published_counts_are_those_of_the_real_files(real_data, task):
    folder = real_data / task
    train, other, *_ = task_definition(task).published_rows
    found = {
        name: sum(1 for _ in (folder / f"{name}.jsonl").open())
        for name in ("train", "validation")
        if (folder / f"{name}.jsonl").is_file()
    }
    if not found or task == "adapterfusion/winogrande":  # of which a smaller size is there
        pytest.skip("no whole file at hand")
    assert found.items() <= {"train": train, "validation": other}.items()


@pytest.mark.parametrize("task", EVERY)
def test_real_files_fit_their_definition(real_data, task):
    benchmark, _, name = task.partition("/")
    definition = task_definition(task)
    place = definition.place
    folder = real_data / benchmark / (place.folder if place else name)
    stems = (place.train, place.validation) if place else ("train", "validation")
    stems = (*stems, place.test if place else "test") if definition.splits is Splits.OWN else stems
    files = [folder / f"{stem}.jsonl" for stem in stems if (folder / f"{stem}.jsonl").is_file()]
    if not files:
        pytest.skip(f"no {task} at hand")
    for path in files:
        rows = read_file(path, definition)
        with path.open() as lines:
            assert len(rows) == sum(1 for _ in lines)
        assert rows.choices == max(1, len(definition.choices))
        assert len(rows.texts) == len(rows) * rows.choices
        assert {len(text) for text in rows.texts} == {len(definition.text) + bool(definition.choices)}
        if definition.problem_type is ProblemType.MULTIPLE_CHOICE:
            assert set(rows.labels) == set(range(rows.choices))
