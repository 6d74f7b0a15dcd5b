"""Plain values written as TOML: what a merged spec, or one that came as JSON, is kept as."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any


def toml(value: Any) -> str:
    """Return a JSON-able value as TOML, on one line; ``None`` inside a table is left out."""
    if isinstance(value, Mapping):
        inside = ", ".join(
            f"{key_text(str(name))} = {toml(item)}" for name, item in value.items() if item is not None
        )
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml(item) for item in value)}]"
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, PurePath):
        value = str(value)
    if not isinstance(value, str | int):
        raise TypeError(f"{type(value).__name__} is nothing that TOML can hold")
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def key_text(name: str) -> str:
    """Return a key as TOML writes it, in quotes where it must be."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else toml(name)


def toml_document(document: Mapping[str, Any]) -> str:
    """Return a whole document as TOML, one table after another.

    Args:
        document: JSON-able; a key whose value is ``None`` is left out, and so is a table of nothing else.

    Raises:
        TypeError: A value is nothing that TOML can hold.
    """
    return "\n".join(_table(document, "")).strip("\n") + "\n"


def _table(table: Mapping[str, Any], path: str) -> Iterator[str]:
    tables = {name: value for name, value in table.items() if _is_table(value) or _is_tables(value)}
    for name, value in table.items():
        if name not in tables and value is not None:
            yield f"{key_text(name)} = {toml(value)}"
    for name, value in tables.items():
        if isinstance(value, Mapping) and value and all(item is None for item in value.values()):
            continue
        place = f"{path}.{key_text(name)}".lstrip(".")
        several = _is_tables(value)
        for one in value if several else (value,):
            yield ""
            yield f"[[{place}]]" if several else f"[{place}]"
            yield from _table(one, place)


def _is_table(value: Any) -> bool:
    """Whether a value has a header of its own: a table, but for the small ones that are read as one value."""
    small = isinstance(value, Mapping) and not any(
        isinstance(item, Mapping) or _is_tables(item) for item in value.values()
    )
    return isinstance(value, Mapping) and not (small and set(value) <= {"low", "high", "log", "choices"})


def _is_tables(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(one, Mapping) for one in value)


def _float(value: float) -> str:
    """Write small numbers the way people write learning rates: 0.0003 as 3e-4."""
    if not math.isfinite(value) or value == 0 or abs(value) >= 0.01:
        return repr(value)
    mantissa, exponent = f"{value:.15e}".split("e")
    text = f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return text if float(text) == value else repr(value)
