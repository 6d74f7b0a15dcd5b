"""The starter spec of ``platform init``: the keys one chooses first, and all others as comments."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from adapterlab.spec.key_tables import Knob, Table, tables
from adapterlab.spec.toml_text import toml

_WIDTH = 100


def starter(
    name: str, chosen: Mapping[str, Mapping[str, Any]], tasks: Sequence[Mapping[str, Any]] = ()
) -> str:
    """Return a commented spec.

    Args:
        name: Name of the sweep.
        chosen: Values to write out, by table and key; ``""`` is the table above all headers. Every
            key that is not chosen stands as a comment with its default.
        tasks: Keys of each ``[[task]]``.
    """
    lines = [
        f"# {name}: a sweep of adapterlab. Lines that start with '# ' and a key show that key's default.",
        "#",
        "#   platform validate THIS_FILE     check it",
        "#   platform plan THIS_FILE         see what it would train, and what is there already",
        "#   platform submit THIS_FILE       run it; run it again to resume, or to reuse",
        "#",
        "# Completion in your editor: `platform schema --out adapterlab.schema.json`, then make",
        "# `#:schema ./adapterlab.schema.json` the first line.",
        "",
    ]
    for table in tables():
        values = {"name": name, **chosen.get("", {})} if not table.path else chosen.get(table.path, {})
        if table.path == "task":
            lines += _written(table, tasks)
        else:
            lines += _table(table, values)
    return "\n".join(lines).rstrip() + "\n"


def _table(table: Table, values: Mapping[str, Any]) -> Iterator[str]:
    if table.many or (not values and (table.means_something or any(knob.required for knob in table.knobs))):
        yield from _sample(table)
        return
    # A header stays active, so that a key whose comment sign is taken away lands in its own table.
    if table.path:
        yield from _comment(table.doc)
        yield table.header
    for knob in table.knobs:
        yield from _comment(knob.doc, indent="  ")
        yield _line(knob, values)
    yield ""


def _written(table: Table, several: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Write out a table there may be any number of; without one, what one would look like."""
    if not several:
        yield from _sample(table)
        return
    yield from _comment(table.doc)
    for one in several:
        yield table.header
        yield from (_assignment(name, value) for name, value in one.items())
        yield ""


def _sample(table: Table) -> Iterator[str]:
    """Show a table that a spec need not have, and whose header alone would be wrong or say something: a comment."""
    yield from _comment(table.doc)
    yield f"# {table.header}"
    for knob in table.knobs:
        yield from _comment(knob.doc, indent="    ")
        yield f"#   {knob.name} = {knob.default or '(not set)'}"
    yield ""


def _line(knob: Knob, values: Mapping[str, Any]) -> str:
    if knob.name in values:
        return _assignment(knob.name, values[knob.name])
    return f"# {knob.name} = {knob.default or '(not set)'}"


def _assignment(name: str, value: Any) -> str:
    line = f"{name} = {toml(value)}"
    if len(line) <= _WIDTH or not isinstance(value, list):
        return line
    items = "".join(f"  {toml(item)},\n" for item in value)
    return f"{name} = [\n{items}]"


def _comment(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=f"# {indent}", subsequent_indent=f"# {indent}")
