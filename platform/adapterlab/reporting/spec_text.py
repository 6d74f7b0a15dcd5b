"""A resolved spec, kept as JSON, as the TOML that `platform submit` takes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml_text(spec: Mapping[str, Any]) -> str:
    """Return a spec as TOML: plain values first, then a table for each part; what is ``None`` is left out.

    Args:
        spec: Of strings, numbers, booleans, lists and mappings.
    """
    plain = [f"{_key(name)} = {_value(value)}" for name, value in spec.items() if _is_plain(value)]
    tables = [
        "\n".join(
            [
                f"[{_key(name)}]",
                *(f"{_key(inner)} = {_value(item)}" for inner, item in part.items() if item is not None),
            ]
        )
        for name, part in spec.items()
        if isinstance(part, Mapping) and any(item is not None for item in part.values())
    ]
    return "\n\n".join(["\n".join(plain), *tables]).strip() + "\n"


def _is_plain(value: Any) -> bool:
    return value is not None and not isinstance(value, Mapping)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _string(name)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(
            f"{_key(name)} = {_value(item)}" for name, item in value.items() if item is not None
        )
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(item) for item in value if item is not None)}]"
    if isinstance(value, str):
        return _string(value)
    return json.dumps(value)


def _string(text: str) -> str:
    """Return a TOML basic string; JSON's escapes are TOML's, but for DEL and halves of surrogate pairs."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
