"""What a folder's README says of its adapter: the metadata at its beginning, as the hub has it.

Anybody may have written it, so it is read as plain values and nothing depends on it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapterlab.errors import AdapterlabError
from adapterlab.given_files import read_file

CARD = "README.md"
_LONGEST = 1 << 20
_LONGEST_TEXT = 200
_MOST_METRICS = 64
_FRONT_MATTER = re.compile(r"\A---\r?\n(?P<yaml>.*?)\r?\n---\s*(?:\n|\Z)", re.DOTALL)
_TASK_TAG = re.compile(r"adapterhub:(?P<task>[a-z0-9_]+/[a-z0-9_]+)")


@dataclass(frozen=True)
class Card:
    """The part of a card that is kept with an imported adapter."""

    licence: str | None = None
    base_model: str | None = None
    task: str | None = None
    """As AdapterHub tags it, ``"sentiment/sst_2"``."""
    metrics: Mapping[str, float] = field(default_factory=dict)


def read_card(folder: Path) -> Card:
    """Return what the card of a folder says; nothing where it has none, or one that cannot be read."""
    try:
        text = read_file(folder / CARD, limit=_LONGEST).decode("utf-8", errors="replace")
    except AdapterlabError:
        return Card()
    found = _front_matter(text)
    tags = found.get("tags")
    tagged = (
        (_TASK_TAG.fullmatch(one) for one in tags if isinstance(one, str)) if isinstance(tags, list) else ()
    )
    return Card(
        licence=_text(found.get("license")),
        base_model=_text(found.get("base_model")),
        task=next((match["task"] for match in tagged if match), None),
        metrics={**_listed_metrics(found.get("metrics")), **_metrics(found.get("model-index"))},
    )


def _front_matter(text: str) -> Mapping[str, Any]:
    match = _FRONT_MATTER.match(text)
    if match is None:
        return {}
    try:
        import yaml

        found = yaml.safe_load(match["yaml"])
    except ImportError:  # it comes with huggingface_hub; what it would say can be given by hand
        return {}
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, Mapping) else {}


def _metrics(index: Any) -> dict[str, float]:
    """Return the numbers of a ``model-index``, by type; of a type that is there twice the first."""
    found: dict[str, float] = {}
    for model in _mappings(index):
        for result in _mappings(model.get("results")):
            for metric in _mappings(result.get("metrics")):
                name, value = _text(metric.get("type") or metric.get("name")), metric.get("value")
                if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
                    continue
                if name and len(found) < _MOST_METRICS:
                    found.setdefault(name, float(value))
    return found


def _listed_metrics(told: Any) -> dict[str, float]:
    """Return the numbers of ``metrics``, where it has any: mostly it only names them."""
    pairs = list(told.items()) if isinstance(told, Mapping) else []
    for one in _mappings(told):
        pairs += [(one.get("type") or one.get("name"), one["value"])] if "value" in one else list(one.items())
    return {
        name: float(value)
        for name, value in pairs[:_MOST_METRICS]
        if isinstance(name, str) and 0 < len(name) <= _LONGEST_TEXT
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _text(value: Any) -> str | None:
    value = value[0] if isinstance(value, list) and value else value
    return value if isinstance(value, str) and 0 < len(value) <= _LONGEST_TEXT else None
