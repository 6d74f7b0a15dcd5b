"""How HumSet's tasks are read and scored: five ways to label the same excerpts, any number of labels each.

Labels are in the order of the hub's card, which is alphabetical: the papers' code took the order of a
Python set, another one in each process. Rows without a label of a task are rows of it, as there. The
splits are HumSet's own.

Source: ScaLearn (arXiv 2310.01217) for metrics; nlp-thedeep/humset on the hub for labels.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from adapterlab.plugin import FolderLocation, HubLocation, ProblemType, Row, Splits, TaskDefinition

_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")

SECTORS = (
    *("Agriculture", "Cross", "Education", "Food Security", "Health", "Livelihoods", "Logistics"),
    *("Nutrition", "Protection", "Shelter", "WASH"),
)
_PARTS_1D = {
    "Casualties": ("Dead", "Injured", "Missing"),
    "Context": (
        *("Demography", "Economy", "Environment", "Legal & Policy", "Politics", "Security & Stability"),
        "Socio Cultural",
    ),
    "Covid-19": (
        *("Cases", "Contact Tracing", "Deaths", "Hospitalization & Care", "Restriction Measures"),
        *("Testing", "Vaccination"),
    ),
    "Displacement": (
        *("Intentions", "Local Integration", "Pull Factors", "Push Factors", "Type/Numbers/Movements"),
    ),
    "Humanitarian Access": (
        "Number Of People Facing Humanitarian Access Constraints/Humanitarian Access Gaps",
        *("Physical Constraints", "Population To Relief", "Relief To Population"),
    ),
    "Information And Communication": (
        *("Communication Means And Preferences", "Information Challenges And Barriers"),
        *("Knowledge And Info Gaps (Hum)", "Knowledge And Info Gaps (Pop)"),
    ),
    "Shock/Event": ("Hazard & Threats", "Type And Characteristics", "Underlying/Aggravating Factors"),
}
_PARTS_2D = {
    "At Risk": ("Number Of People At Risk", "Risk And Vulnerabilities"),
    "Capacities & Response": (
        *("International Response", "Local Response", "National Response"),
        "Number Of People Reached/Response Gaps",
    ),
    "Humanitarian Conditions": (
        *("Coping Mechanisms", "Living Standards", "Number Of People In Need"),
        "Physical And Mental Well Being",
    ),
    "Impact": (
        *("Driver/Aggravating Factors", "Impact On People"),
        *("Impact On Systems, Services And Networks", "Number Of People Affected"),
    ),
    "Priority Interventions": ("Expressed By Humanitarian Staff", "Expressed By Population"),
    "Priority Needs": ("Expressed By Humanitarian Staff", "Expressed By Population"),
}


def _joined(parts: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(f"{pillar}->{name}" for pillar, names in parts.items() for name in names)


def _listed(column: str) -> Callable[[Row], Iterator[dict[str, Any]]]:
    """Return what reads a list of labels that was written as text, as in HumSet's CSV files."""

    def prepare(row: Row) -> Iterator[dict[str, Any]]:
        value = row.get(column)
        if isinstance(value, str):
            value = [one or other for one, other in _QUOTED.findall(value)]
        yield {**row, column: value}

    return prepare


def _task(name: str, labels: tuple[str, ...], description: str) -> TaskDefinition:
    return TaskDefinition(
        name=name,
        text=("excerpt",),
        label=name,
        problem_type=ProblemType.MULTI_LABEL,
        labels=labels,
        metrics=("f1_macro", "precision_macro", "recall_macro", "subset_accuracy"),
        stratify=False,
        splits=Splits.OWN,
        prepare=_listed(name),
        description=description,
        citation="Fekih et al. 2022, HumSet",
        licence="Apache-2.0",
        hub=HubLocation("nlp-thedeep/humset"),
        place=FolderLocation("humset"),
        published_rows=(117_435, 16_039, 15_147),
    )


_WHERE = "The five tasks label the same excerpts."
HUMSET = (
    _task("sectors", SECTORS, f"Which sectors of relief does the excerpt concern? {_WHERE}"),
    _task("pillars_1d", tuple(_PARTS_1D), f"Which pillars of the situation does it inform of? {_WHERE}"),
    _task("subpillars_1d", _joined(_PARTS_1D), f"Which parts of these pillars? {_WHERE}"),
    _task("pillars_2d", tuple(_PARTS_2D), f"Which pillars of needs and response? {_WHERE}"),
    _task("subpillars_2d", _joined(_PARTS_2D), f"Which parts of these pillars? {_WHERE}"),
)
