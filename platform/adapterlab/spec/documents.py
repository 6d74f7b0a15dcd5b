"""One text becomes a document of plain values: TOML, JSON or YAML, with the place of everything in it."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import PurePath
from typing import Any

from adapterlab.errors import NotFoundError
from adapterlab.spec import positions
from adapterlab.spec.faults import Fault, spec_error
from adapterlab.spec.text import STDIN, SpecText

_SYNTAX_HINTS = {
    "Expected '=' after a key": "every line is KEY = VALUE, a [table] or a # comment",
    "Invalid statement": 'every line is KEY = VALUE, a [table] or a # comment; unusual keys need "quotes"',
    "Invalid value": 'text goes in "quotes"; true and false are written small',
    "Cannot": "it is there twice; keep one",
}
_TOML, _JSON, _YAML = "TOML", "JSON", "YAML"
_FORMATS = {".json": _JSON, ".yaml": _YAML, ".yml": _YAML}

# The core schema of YAML 1.2, where 1e-3 is a number and "no" and 2026-01-01 are text: (tag, pattern, first letters).
_SCALARS = (
    ("null", r"(?:~|null|Null|NULL|)", ("~", "n", "N", "")),
    ("bool", r"(?:true|True|TRUE|false|False|FALSE)", tuple("tTfF")),
    ("int", r"[-+]?[0-9]+", tuple("-+0123456789")),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", tuple("-+.0123456789")),
)
_TAG = "tag:yaml.org,2002:"


class _Broken(Exception):  # noqa: N818 - never leaves this module
    """A text is not of its format; says where, in characters from its start."""

    def __init__(self, message: str, offset: int = 0, hint: str | None = None) -> None:
        super().__init__(message)
        self.message, self.offset, self.hint = message, offset, hint


@dataclass(frozen=True)
class Document:
    """A text with the values in it."""

    source: SpecText
    table: dict[str, Any]

    @cached_property
    def positions(self) -> positions.Positions:
        """Where every path stands; of JSON nothing where there is no YAML parser to ask."""
        if format_of(self.source) == _TOML:
            return positions.locate(self.source.text)
        try:
            return _nodes(self.source.text)[1]
        except (_Broken, NotFoundError):  # JSON alone: YAML takes no tabs between its values
            return positions.Positions()


def format_of(source: SpecText) -> str:
    """Return ``"TOML"``, ``"JSON"`` or ``"YAML"``: as a file's name ends; standard input shows what it is."""
    if source.path == STDIN:
        return _JSON if source.text.lstrip()[:1] == "{" else _TOML
    return _FORMATS.get(PurePath(source.path).suffix.lower(), _TOML)


def read_document(source: SpecText) -> Document:
    """Return the values of a text.

    Raises:
        SpecError: It is not of its format, or too heavy to be a spec.
        NotFoundError: It is YAML, and no package that reads it is installed.
    """
    heavy = positions.oversized(source.text)
    if heavy is not None:
        raise spec_error([fault_at(source, heavy[0], f"too large to be a spec: {heavy[1]}")], source.name)
    named = format_of(source)
    if named == _TOML:
        try:
            return Document(source, tomllib.loads(source.text))
        except (ValueError, RecursionError) as error:
            raise spec_error([_syntax_fault(source, error)], source.name) from None
    try:
        value = _json(source.text) if named == _JSON else _nodes(source.text)[0]
        if not isinstance(value, dict):
            raise _Broken("a spec is a table of keys")
    except _Broken as broken:
        fault = fault_at(source, broken.offset, f"not valid {named}: {broken.message}")
        raise spec_error([replace(fault, hint=broken.hint)], source.name) from None
    return Document(source, _without_nothing(value))


def fault_at(source: SpecText, offset: int, message: str, *, end: int = 0, key: str = "") -> Fault:
    """Return a fault of one place of a text, with its line.

    Args:
        source: The text.
        offset: Where the fault begins, in characters.
        message: What is wrong.
        end: Where it ends.
        key: Dotted path of the key it is about.
    """
    line, column = positions.line_column(source.text, offset)
    start = offset - column + 1
    stop = source.text.find("\n", offset)
    text = source.text[start : stop if stop >= 0 else len(source.text)]
    width = max(1, min(end, start + len(text)) - offset)
    return Fault(source.name, line, column, key, message, source=text, width=width)


def _syntax_fault(source: SpecText, error: Exception) -> Fault:
    """Turn the TOML parser's message, which holds the position as text, into a fault."""
    message = str(error)
    found = re.search(r" \(at line (\d+), column (\d+)\)$", message)
    if found:
        lines = source.text.split("\n")
        offset = sum(len(text) + 1 for text in lines[: int(found[1]) - 1]) + int(found[2]) - 1
        message = message[: found.start()]
    elif message.endswith(" (at end of document)"):
        offset = len(source.text.rstrip())
        message = message.removesuffix(" (at end of document)")
    elif isinstance(error, RecursionError):
        offset, message = 0, "nested too deep"
    else:  # Python's own limit on the digits of a whole number
        number = re.search(r"\d[\d_]{4000,}", source.text)
        offset, message = number.start() if number else 0, "a whole number of thousands of digits"
    hint = next((hint for start, hint in _SYNTAX_HINTS.items() if message.startswith(start)), None)
    return replace(fault_at(source, offset, f"not valid TOML: {_small(message)}"), hint=hint)


def _json(text: str) -> Any:
    def table(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise _Broken(f"the key {json.dumps(twice, ensure_ascii=False)} is there twice; keep one")
        return found

    def refuse(constant: str) -> Any:
        raise _Broken(f"{constant} is no number of JSON")

    try:
        return json.loads(text, object_pairs_hook=table, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise _Broken(_small(error.msg), min(error.pos, len(text))) from None
    except RecursionError:
        raise _Broken("nested too deep") from None
    except ValueError:  # Python's own limit on the digits of a whole number
        raise _Broken("a whole number of thousands of digits") from None


def _nodes(text: str) -> tuple[Any, positions.Positions]:
    """Return the values of a YAML text and where they stand; a JSON text is one."""
    try:
        import yaml
    except ModuleNotFoundError:
        raise NotFoundError(
            "reading YAML needs the package 'pyyaml', which is not installed",
            remedy="pip install pyyaml, or write the spec as TOML or JSON",
        ) from None
    resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    for tag, pattern, letters in _SCALARS:
        for letter in letters:
            resolvers.setdefault(letter, []).append((_TAG + tag, re.compile(rf"^{pattern}$")))
    core_schema = type("_CoreSchema", (yaml.SafeLoader,), {"yaml_implicit_resolvers": resolvers})
    try:
        loader = core_schema(text)
        node = loader.get_single_node()
        if node is None:
            raise _Broken("there is nothing in it")
        return _Walk(yaml).start(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _Broken(
            _small(error.problem or error.context or "cannot be read"), mark.index if mark else 0
        ) from None
    except yaml.YAMLError as error:  # a character that no YAML holds
        raise _Broken("a character that YAML does not allow", getattr(error, "position", 0)) from None
    except RecursionError:
        raise _Broken("nested too deep") from None


class _Walk:
    """From the nodes of a YAML text to plain values, every path's place noted."""

    def __init__(self, yaml: Any) -> None:
        self._yaml = yaml
        self._seen: set[int] = set()
        self._places = positions.Positions()

    def start(self, node: Any) -> tuple[Any, positions.Positions]:
        return self._value(node, ()), self._places

    def _value(self, node: Any, path: positions.Path) -> Any:
        self._places.values[path] = positions.Span(node.start_mark.index, node.end_mark.index)
        if isinstance(node, self._yaml.ScalarNode):
            return _scalar(node)
        if id(node) in self._seen:  # of a few lines they can make more values than any memory holds
            raise _Broken(
                "an alias of a table or a list", node.start_mark.index, "write it out, or extend a base spec"
            )
        self._seen.add(id(node))
        if node.tag not in (f"{_TAG}seq", f"{_TAG}map"):
            raise _Broken(f"the tag {node.tag} is not read", node.start_mark.index)
        if isinstance(node, self._yaml.SequenceNode):
            return [self._value(one, (*path, number)) for number, one in enumerate(node.value)]
        table: dict[str, Any] = {}
        for key, value in node.value:
            span = positions.Span(key.start_mark.index, key.end_mark.index)
            if not isinstance(key, self._yaml.ScalarNode) or key.tag != f"{_TAG}str":
                raise _Broken("a key must be text", span.start, 'write it in "quotes"')
            if key.value in table:
                raise _Broken(f'the key "{key.value}" is there twice; keep one', span.start)
            self._places.keys[*path, key.value] = span
            table[key.value] = self._value(value, (*path, key.value))
        return table


def _scalar(node: Any) -> Any:
    text, tag = node.value, node.tag.removeprefix(_TAG)
    try:
        if tag == "int":
            return int(text)
        if tag == "float":
            return float(text)
    except ValueError:
        raise _Broken("a whole number of thousands of digits", node.start_mark.index) from None
    if tag in ("bool", "null"):
        return None if tag == "null" else text.lower() == "true"
    if tag != "str":
        raise _Broken(f"the tag {node.tag} is not read", node.start_mark.index)
    return text


def _without_nothing(value: Any) -> Any:
    """Leave out keys whose value is null, which TOML cannot say: they are as if not written."""
    if isinstance(value, Mapping):
        return {name: _without_nothing(item) for name, item in value.items() if item is not None}
    return [_without_nothing(item) for item in value] if isinstance(value, list) else value


def _small(message: str) -> str:
    return f"{message[:1].lower()}{message[1:]}"
