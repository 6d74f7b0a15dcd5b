"""Every key of a spec as data: name, kind, default, meaning. Pages and templates are made of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from adapterlab.spec.model import Spec
from adapterlab.spec.schema import json_schema, plain
from adapterlab.spec.toml_text import toml


@dataclass(frozen=True)
class Knob:
    """One key."""

    name: str
    kind: str
    """What it takes, in words: ``"whole number, at least 1"``."""
    required: bool
    default: str | None
    """As TOML; ``None`` where the key is absent by default."""
    doc: str


@dataclass(frozen=True)
class Table:
    """One table of keys."""

    path: str
    """As in its header, ``"search"``; ``""`` for the keys above all headers."""
    doc: str
    required: bool
    knobs: tuple[Knob, ...]
    many: bool = False
    """Whether there may be any number of it, ``[[path]]``."""
    means_something: bool = False
    """Whether its bare header says something: without it a spec is another one, as with ``[pool.query]``."""

    @property
    def header(self) -> str:
        """The line that opens it."""
        return f"[[{self.path}]]" if self.many else f"[{self.path}]"


def tables() -> tuple[Table, ...]:
    """Return the tables of a spec in the order of the model."""
    schema = json_schema(plugins=False)
    found = _tables(schema, schema, "", required=True)
    return tuple(replace(one, means_something=_is_absent_by_default(one.path)) for one in found)


def _is_absent_by_default(path: str) -> bool:
    """Return whether a spec without a table has none, rather than one of defaults."""
    model: Any = Spec
    for name in path.split(".") if path else ():
        field = model.model_fields[name]
        if field.is_required():
            model = field.annotation
            continue
        default = field.get_default(call_default_factory=True)
        if default is None:
            return True
        model = type(default)
        if not hasattr(model, "model_fields"):  # a list of tables
            return False
    return False


def table_of(model: type[BaseModel], path: str) -> Table:
    """Return one model's keys as a table, for example those of a plug-in's settings."""
    schema = plain(model.model_json_schema())
    return next(iter(_tables(schema, schema, path, required=False)))


def tables_of(model: type[BaseModel], path: str) -> tuple[Table, ...]:
    """Return a model's keys as tables, its inner tables after it."""
    schema = plain(model.model_json_schema())
    return tuple(_tables(schema, schema, path, required=False))


def dimension_tables() -> tuple[Table, ...]:
    """Return what a search dimension may be besides a number."""
    definitions = json_schema(plugins=False)["$defs"]
    return tuple(
        next(iter(_tables(definitions[name], {"$defs": definitions}, title, required=False)))
        for name, title in (("FloatRange", "range"), ("Choices", "choices"))
    )


def _tables(
    node: dict[str, Any], schema: dict[str, Any], path: str, *, required: bool, many: bool = False
) -> Iterator[Table]:
    inner: list[Table] = []
    knobs: list[Knob] = []
    needed = node.get("required", ())
    for name, body in node.get("properties", {}).items():
        listed = body.get("items", {})
        reference = body.get("$ref") or (listed.get("$ref") if isinstance(listed, dict) else None)
        target = schema.get("$defs", {}).get(reference.rsplit("/", 1)[-1]) if reference else None
        if target is None:
            knobs.append(_knob(name, body, required=name in needed))
        else:
            doc = body.get("description") or target.get("description", "")
            child = {**target, "description": doc}
            place = f"{path}.{name}".lstrip(".")
            inner += _tables(child, schema, place, required=name in needed, many="$ref" not in body)
    yield Table(path, _text(node.get("description", "")), required, tuple(knobs), many)
    yield from inner


def _knob(name: str, body: dict[str, Any], *, required: bool) -> Knob:
    kind = _kind(body)
    default = toml(body["default"]) if "default" in body else "{}" if kind == "table" else None
    return Knob(name, kind, required, default, _text(body.get("description", "")))


def _kind(body: dict[str, Any], *, many: bool = False) -> str:
    if "const" in body:
        return toml(body["const"])
    if "enum" in body:
        return " or ".join(toml(item) for item in body["enum"])
    if "oneOf" in body:
        fixed = next((_kind(branch) for branch in body["oneOf"] if "$ref" not in branch), "number")
        return f"{fixed}, or a range or choices" if "," in fixed else f"{fixed}, range or choices"
    if "anyOf" in body:
        return " or ".join(_kind(branch) for branch in body["anyOf"])
    if body.get("type") == "array":
        return f"list of {_kind(body['items'], many=True)}"
    one = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}
    name = one.get(body.get("type", ""), "table")
    return f"{name}{'s' * many}{_bounds(body)}"


def _bounds(body: dict[str, Any]) -> str:
    words = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    found = [f"{sign} {float(body[name]):.10g}" for name, sign in words.items() if name in body]
    return f", {', '.join(found)}" if found else ""


def _text(doc: str) -> str:
    return " ".join(doc.replace("``", "`").split())
