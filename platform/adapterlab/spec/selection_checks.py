"""Check what a document says of the selection of sources: sizes to select for, and what each rule measures by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from adapterlab.spec.complaints import Complaint
from adapterlab.spec.positions import Path
from adapterlab.spec.ranges import is_space
from adapterlab.spec.selection import (
    ADAPTER_SIMILARITY,
    FORWARD_SELECTION,
    TEXT_SIMILARITY,
    SelectionSpec,
)

_RULE_OF = {"max_rows": TEXT_SIMILARITY, "max_epochs": FORWARD_SELECTION}
"""The rule that each key of ``[pool.selection]`` is for."""


def selection_complaints(document: Mapping[str, Any]) -> Iterator[Complaint]:
    """Yield what is wrong with how a document selects sources; sizes are checked with the pools.

    Args:
        document: A spec as it is written.
    """
    pool = document.get("pool")
    if not isinstance(pool, Mapping) or ("rule" not in pool and "selection" not in pool):
        return
    rules = dict(_rules(pool))
    written = pool.get("selection")
    for key, value in written.items() if isinstance(written, Mapping) else ():
        rule = _RULE_OF.get(key)
        if (
            rule is not None
            and rule not in rules.values()
            and value != SelectionSpec.model_fields[key].default
        ):
            yield Complaint(
                ("pool", "selection", key),
                "key",
                f'pool.selection.{key} is for rule = "{rule}", and no rule here is that',
                f'set pool.rule = "{rule}", or leave it out',
            )
    if pool.get("size") is None:
        for path, rule in rules.items():
            if rule != "order" or len(rules) > 1:
                yield Complaint(
                    path,
                    "value",
                    f'pool.rule = "{rule}" selects some of the sources, and no pool.size says how many',
                    "add size = 4, or size = [2, 4, 8]",
                )
                break
    for path, rule in rules.items():
        if rule == ADAPTER_SIMILARITY:
            yield from _comparable(path, pool, document)


def _rules(pool: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Yield where each rule stands, and its name."""
    written = pool.get("rule", "order")
    if isinstance(written, str):
        yield ("pool", "rule"), written
    elif isinstance(written, list):
        yield from (
            (("pool", "rule", number), one) for number, one in enumerate(written) if isinstance(one, str)
        )


def _comparable(path: Path, pool: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[Complaint]:
    """Check that every target has an adapter to compare with the others, of the same size."""
    tasks, targets = pool.get("tasks", []), document.get("targets")
    listed = targets.get("tasks") if isinstance(targets, Mapping) else None
    included = pool.get("target", "include") == "include"
    # What exists already is known once it is read; the plan checks it.
    if isinstance(tasks, list) and isinstance(listed, list) and not {"adapter", "query"} & set(pool):
        without = [task for task in listed if not included or task not in tasks]
        if without:
            yield Complaint(
                path,
                "value",
                f"{ADAPTER_SIMILARITY} compares with the target's own adapter, and the pool of {without[0]} has none",
                f'add it to pool.tasks, and keep pool.target = "include"; {TEXT_SIMILARITY} needs none',
            )
    adapter = document.get("adapter")
    settings = adapter.get("settings") if isinstance(adapter, Mapping) else None
    searched = (
        [name for name, value in settings.items() if is_space(value)] if isinstance(settings, Mapping) else []
    )
    if searched:
        yield Complaint(
            path,
            "value",
            f"{ADAPTER_SIMILARITY} compares weights one by one, and adapters whose {searched[0]} is searched may differ "
            "in size",
            f"fix adapter.settings.{searched[0]}, or select by {TEXT_SIMILARITY} or {FORWARD_SELECTION}",
        )
