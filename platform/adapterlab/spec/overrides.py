"""``--set a.b=c``: single keys of a spec, given on the command line."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from adapterlab.spec.complaints import Complaint, dotted, show
from adapterlab.spec.positions import Path, oversized


@dataclass(frozen=True)
class Override:
    """One ``--set``."""

    text: str
    """As given: ``search.lr=3e-3``."""
    path: Path
    """Keys from the root; empty when the text cannot be read."""
    value: Any
    fault: Complaint | None = None
    """Why the text cannot be read."""


def parse_override(text: str) -> Override:
    """Read ``KEY=VALUE``: a dotted key and a TOML value; a bare word counts as text."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        return _unreadable(text, "expected KEY=VALUE", "for example --set search.trials=4")
    if (heavy := oversized(f"{key} = {value}")) is not None:
        return _unreadable(text, heavy[1], None)
    try:
        if "\n" in key:
            raise ValueError("a key is one line")
        path = _single_path(tomllib.loads(f"{key.strip()} = 0"))
    except (ValueError, RecursionError):
        return _unreadable(text, f"{show(key)} is not a dotted key", "for example --set search.trials=4")
    try:
        return Override(text, path, _value(value.strip()))
    except (ValueError, RecursionError) as error:
        return _unreadable(
            text, f"{show(value)} is not a TOML value: {error}", "mind the shell's quoting: --set 'KEY=VALUE'"
        )


def apply(document: dict[str, Any], overrides: Sequence[Override]) -> list[tuple[Override, Complaint]]:
    """Put the overrides into a document, in order; return those that cannot be.

    Whether a key exists is not asked here: the spec's model refuses unknown ones.
    """
    refused: list[tuple[Override, Complaint]] = []
    for override in overrides:
        if override.fault is not None:
            refused.append((override, override.fault))
            continue
        table: Any = document
        for depth, part in enumerate(override.path[:-1]):
            if not isinstance(table.setdefault(part, {}), dict):
                here = override.path[: depth + 1]
                message = (
                    f"{dotted(here)}is {show(table[part])}, not a table that could hold {override.path[-1]!r}"
                )
                refused.append(
                    (override, Complaint(override.path, "key", message, "set the whole value instead"))
                )
                break
            table = table[part]
        else:
            table[override.path[-1]] = override.value
    return refused


def _value(text: str) -> Any:
    try:
        document = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        if text[:1] in ("[", "{", '"', "'"):
            raise
        return text
    return document["value"] if len(document) == 1 else text


def _single_path(document: dict[str, Any]) -> Path:
    path: Path = ()
    here: Any = document
    while isinstance(here, dict):
        if len(here) != 1:
            raise ValueError("more than one key")
        name, here = next(iter(here.items()))
        path = (*path, name)
    return path


def _unreadable(text: str, message: str, hint: str | None) -> Override:
    return Override(text, (), None, Complaint((), "value", message, hint))
