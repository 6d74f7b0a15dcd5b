"""What an experiment's tags hold: views that MLflow can open, and a note that keeps what a person wrote."""

from __future__ import annotations

import json
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterlab.tracking import vocabulary
from adapterlab.tracking.views import (
    LATEST_VIEW,
    ROWS_VIEW,
    TREE_VIEW,
    VIEW_PREFIX,
    note_with,
    view_query,
    view_tags,
)

_LIMIT = 5000
"""MLflow's SQL store refuses a longer experiment tag (SqlExperimentTag.value)."""
TEXTS = st.text(st.characters(exclude_characters="<>", exclude_categories=("Cs", "Cc")), max_size=400)


def states(sources):
    tags = view_tags("k" * 64, sources, created_ms=1)
    opened = {key.removeprefix(VIEW_PREFIX): json.loads(value) for key, value in tags.items()}
    assert all(isinstance(one["name"], str) and isinstance(one["createdAt"], int) for one in opened.values())
    return {key: json.loads(one["state"]) for key, one in opened.items()}


def test_rows_are_filtered_sorted_and_charted():
    found = states(["rte", "cb"])
    assert set(found) == {ROWS_VIEW, LATEST_VIEW, TREE_VIEW}
    rows = found[ROWS_VIEW]
    assert rows["searchFilter"] == "tags.`adapterlab.row` = 'true'"
    assert (rows["orderByKey"], rows["orderByAsc"]) == ("metrics.`test/score`", False)
    assert rows["selectedColumns"][:4] == [
        "metrics.`test/score`",
        "metrics.`test/score_std`",
        "metrics.`coefficient/rte`",
        "metrics.`coefficient/cb`",
    ]
    assert rows["compareRunCharts"][0]["metricKey"] == vocabulary.TEST_SCORE
    sections = {section["uuid"] for section in rows["compareRunSections"]}
    assert {chart["metricSectionId"] for chart in rows["compareRunCharts"]} <= sections
    assert f"'{'k' * 64}'" in found[LATEST_VIEW]["searchFilter"]
    assert found[TREE_VIEW]["searchFilter"] == ""


@pytest.mark.parametrize(("longest", "width"), [(0, 280), (16, 280), (60, 420), (300, 560)])
def test_the_column_of_names_is_as_wide_as_the_longest_where_that_leaves_room(longest, width):
    tags = view_tags("k" * 64, ["rte"], created_ms=1, longest_name=longest)
    state = json.loads(json.loads(tags[VIEW_PREFIX + ROWS_VIEW])["state"])
    assert state["columnWidths"]["attributes.`Run Name`"] == width


@given(st.lists(TEXTS, max_size=40))
def test_any_number_of_sources_fits_into_a_tag(sources):
    tags = view_tags("k" * 64, sources, created_ms=1)
    assert all(len(value) <= _LIMIT for value in tags.values())


def test_the_query_opens_a_view_in_the_model_training_half():
    assert parse_qs(view_query(ROWS_VIEW)) == {
        "workflowType": ["machine_learning"],
        "viewStateShareKey": ["adapterlab"],
    }


def test_the_latest_sweep_comes_first_and_replaces_what_it_said():
    note = note_with("", "a", "sweep A: 1")
    note = note_with(note, "b", "sweep B: 1\n\n| a | table |")
    assert note.startswith("sweep B: 1")
    assert "sweep A: 1" in note
    note = note_with(note, "a", "sweep A: 2")
    assert note.startswith("sweep A: 2")
    assert "sweep A: 1" not in note
    assert note.count("sweep B: 1") == 1


def test_what_a_person_wrote_stays():
    note = note_with("Our experiment on *transfer*.", "a", "sweep A")
    assert note.startswith("sweep A")
    assert note.rstrip().endswith("Our experiment on *transfer*.")
    assert note_with(note, "b", "sweep B").count("Our experiment on") == 1


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), TEXTS), min_size=1, max_size=30), TEXTS)
def test_a_note_of_many_sweeps_stays_small_and_has_the_latest(sweeps, own):
    note = own
    for key, text in sweeps:
        note = note_with(note, key, f"{key} says {text}")
        assert len(note) <= _LIMIT
        assert note.startswith(f"{key} says")


def test_names_of_metrics_are_what_mlflow_takes():
    from mlflow.utils.validation import _validate_metric_name

    for name in ("glue/rte", "a#b@c", "ü" * 300, "", "x\ny"):
        for metric in (vocabulary.coefficient, vocabulary.contribution, vocabulary.method_score):
            _validate_metric_name(metric(name))
            assert metric(name).count("/") == 1
