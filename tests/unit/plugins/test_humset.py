"""HumSet: labels in one order everywhere, any number of them a row."""

from __future__ import annotations

import json

import pytest

from adapterlab.errors import DataError
from adapterlab.records import Splits
from adapterlab.registry.entry_points import task_definition, task_suite
from rows import read_file

TASKS = tuple(task_suite("humset").definitions())


def written(tmp_path, task, *labels):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"excerpt": "Rain.", task: one}) + "\n" for one in labels))
    return read_file(path, task_definition(f"humset/{task}"))


# Source: Fekih et al. 2022, HumSet, table 1.
@pytest.mark.parametrize(
    ("task", "count"),
    [("sectors", 11), ("pillars_1d", 7), ("subpillars_1d", 33), ("pillars_2d", 6), ("subpillars_2d", 18)],
)
def test_there_are_as_many_labels_as_published_in_alphabetical_order(task, count):
    definition = task_definition(f"humset/{task}")
    assert len(definition.labels) == count
    assert list(definition.labels) == sorted(definition.labels)
    assert definition.splits is Splits.OWN


@pytest.mark.parametrize("axis", ["1d", "2d"])
def test_every_part_is_of_a_pillar(axis):
    parts = task_definition(f"humset/subpillars_{axis}").labels
    assert {part.split("->")[0] for part in parts} == set(task_definition(f"humset/pillars_{axis}").labels)


def test_labels_may_be_names_ids_or_a_list_written_as_text(tmp_path):
    names = ["WASH", "Food Security"]
    rows = written(tmp_path, "sectors", names, [10, 3], "['WASH', 'Food Security']", str(names), "[]", [])
    assert rows.labels == [(3, 10)] * 4 + [()] * 2


@pytest.mark.parametrize("wrong", [["Wash"], [11], "['Wash']", [True], 3])
def test_an_unknown_label_is_named(tmp_path, wrong):
    with pytest.raises(DataError, match=r"rows.jsonl:1: .*sectors"):
        written(tmp_path, "sectors", wrong)
