"""Views and notes of an experiment, kept where MLflow's own UI finds them: in the experiment's tags.

A *saved view* is a tag ``mlflow.sharedViewState.<id>`` that holds a name and the state of the runs page: filter,
order, columns, charts. MLflow lists it under "Views", and opens it by the query ``viewStateShareKey=<id>``, on any
server. ``platform ui`` opens it where the browser knows no state of its own, see ``app``.

The *note* is ``mlflow.note.content``: Markdown above the runs, of which MLflow shows the first line unfolded.

Source: mlflow/mlflow:mlflow/server/js@v3.17.2, ``savedViewEnvelope.ts``, ``ExperimentPageUIState.tsx``,
``ExperimentViewDescriptionNotes.tsx``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from adapterlab.tracking import vocabulary
from adapterlab.tracking.entities import ROOT_TAG

VIEW_PREFIX = "mlflow.sharedViewState."
ROWS_VIEW = "adapterlab"
"""Every target × method of the experiment, best first."""
LATEST_VIEW = "adapterlab-latest"
"""Those of the sweep that ended last."""
TREE_VIEW = "adapterlab-tree"
"""All runs as a tree."""

_MOST_CHARACTERS = 4800  # MLflow's SQL store takes 5000 in an experiment's tag
_NAME_COLUMN, _CREATED_COLUMN, _DURATION_COLUMN = "attributes.`Run Name`", "runDateAndNestInfo", "duration"
_CHARTED_RUNS = 20
_LEAST_NAMES, _WIDEST_NAMES = 280, 560
"""Pixels of the column of names."""
_BESIDE_NAME, _CHARACTER = 60, 6
"""Pixels of what stands before a name in its cell, and of one of its characters."""
_SECTION = re.compile(r"(?s)(?P<text>.*?)<!-- /adapterlab (?P<sweep>\S+) -->\s*")


def view_tags(
    sweep: str, sources: Sequence[str], *, created_ms: int, longest_name: int = 0
) -> dict[str, str]:
    """Return the tags of an experiment's views.

    Args:
        sweep: Key of the sweep that ended last.
        sources: Names of the sources of its pools, whose coefficients and contributions are columns.
        created_ms: When, in milliseconds since 1970.
        longest_name: Characters of the longest name of a row, which its column shows whole where that leaves room
            for the scores.
    """
    width = min(_WIDEST_NAMES, max(_LEAST_NAMES, _BESIDE_NAME + _CHARACTER * longest_name))
    rows = f"tags.`{vocabulary.ROW_TAG}` = 'true'"
    latest = f"{rows} AND tags.`{ROOT_TAG}` = '{sweep}'"
    return {
        VIEW_PREFIX + ROWS_VIEW: _fitting("Targets × methods", rows, sources, created_ms, width),
        VIEW_PREFIX + LATEST_VIEW: _fitting(
            "Targets × methods, latest sweep", latest, sources, created_ms, width
        ),
        VIEW_PREFIX + TREE_VIEW: _envelope("Tree of runs", _tree_state(), created_ms),
    }


def view_query(view: str) -> str:
    """Return the query of a runs page that opens a view in the model-training half."""
    return urlencode({"workflowType": "machine_learning", "viewStateShareKey": view})


def _fitting(name: str, query: str, sources: Sequence[str], created_ms: int, width: int) -> str:
    """Return a view of rows, with as many sources as a tag has room for."""
    for count in range(len(sources), -1, -1):
        text = _envelope(name, _rows_state(query, sources[:count], width), created_ms)
        if len(text) <= _MOST_CHARACTERS:
            break
    return text


def _envelope(name: str, state: Mapping[str, Any], created_ms: int) -> str:
    compact = json.dumps(state, ensure_ascii=False, separators=(",", ":"))
    return json.dumps({"name": name, "createdAt": created_ms, "state": compact}, ensure_ascii=False)


def _rows_state(query: str, sources: Sequence[str], width: int) -> dict[str, Any]:
    coefficients = [vocabulary.coefficient(source) for source in sources]
    contributions = [vocabulary.contribution(source) for source in sources]
    metrics = [
        vocabulary.TEST_SCORE,
        vocabulary.TEST_SCORE_STD,
        *coefficients,
        *contributions,
        vocabulary.VALIDATION_SCORE,
        vocabulary.SEEDS,
        vocabulary.PARAMETERS,
        vocabulary.SECONDS,
    ]
    columns = [f"metrics.`{metric}`" for metric in metrics]
    sections = [_section("score", "Test score"), _section("sources", "What the sources contribute")]
    charts: list[dict[str, Any]] = [
        _bars("score", "score", vocabulary.TEST_SCORE),
        *(_bars(f"contribution-{place}", "sources", one) for place, one in enumerate(contributions[:6])),
    ]
    if coefficients:
        charts.append(
            {
                **_chart("coefficients", "sources", "PARALLEL"),
                "selectedParams": [],
                "selectedMetrics": [*coefficients, vocabulary.TEST_SCORE],
                "showAllRuns": False,
            }
        )
    return {
        **_state(query, f"metrics.`{vocabulary.TEST_SCORE}`"),
        "selectedColumns": columns,
        "columnOrder": [_NAME_COLUMN, *columns, _CREATED_COLUMN, _DURATION_COLUMN],
        "columnWidths": {_NAME_COLUMN: width, _CREATED_COLUMN: 130},
        "compareRunSections": sections,
        "compareRunCharts": charts,
    }


def _tree_state() -> dict[str, Any]:
    columns = [
        f"metrics.`{one}`"
        for one in (vocabulary.TEST_SCORE, vocabulary.TEST_SCORE_STD, vocabulary.VALIDATION_SCORE)
    ]
    return {
        **_state("", "attributes.start_time"),
        "selectedColumns": columns,
        "columnOrder": [_NAME_COLUMN, *columns, _CREATED_COLUMN, _DURATION_COLUMN],
        "columnWidths": {_NAME_COLUMN: 440},
    }


def _state(query: str, order: str) -> dict[str, Any]:
    """Return what every view says: the filter, the order, and MLflow's own first choices for the rest."""
    return {
        "searchFilter": query,
        "orderByKey": order,
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "runsExpanded": {},
        "runsPinned": [],
        "runsHidden": [],
        "runsVisibilityMap": {},
        "runsHiddenMode": "FIRST_20_RUNS",
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": True,
        "useGroupedValuesInCharts": False,
        "hideEmptyCharts": True,
        "groupBy": None,
        "groupsExpanded": {},
        "autoRefreshEnabled": True,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    }


def _section(identity: str, name: str) -> dict[str, Any]:
    own = {"uuid": identity, "name": name}
    return {**own, "display": True, "isReordered": True, "deleted": False, "isGenerated": False}


def _bars(identity: str, section: str, metric: str) -> dict[str, Any]:
    return {**_chart(identity, section, "BAR"), "metricKey": metric}


def _chart(identity: str, section: str, kind: str) -> dict[str, Any]:
    own = {"uuid": identity, "metricSectionId": section, "type": kind}
    return {**own, "runsCountToCompare": _CHARTED_RUNS, "deleted": False, "isGenerated": False}


# -- the note -----------------------------------------------------------------------------------------


def note_with(note: str, sweep: str, text: str) -> str:
    """Return an experiment's note with a sweep's text first, the others' below it, and a person's own at the end.

    What a sweep said before is replaced; the oldest sweeps leave when there is no more room.

    Args:
        note: The note so far; empty where there is none.
        sweep: The sweep's key.
        text: Markdown; its first line is what people see unfolded.
    """
    own = _SECTION.sub("", note).strip()
    others = [
        f"{match['text'].strip()}\n<!-- /adapterlab {match['sweep']} -->"
        for match in _SECTION.finditer(note)
        if match["sweep"] != sweep
    ]
    mark = f"\n<!-- /adapterlab {sweep} -->"
    sections = [text.strip()[: _MOST_CHARACTERS - len(mark) - len(own) - 4] + mark, *others]
    while len(sections) > 1 and len("\n\n".join([*sections, own])) > _MOST_CHARACTERS:
        sections.pop()
    return "\n\n".join(part for part in [*sections, own] if part)
