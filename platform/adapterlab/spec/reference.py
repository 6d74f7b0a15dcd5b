"""The reference page of the spec, generated: ``python -m adapterlab.spec.reference docs/reference/spec.md``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from adapterlab.given_files import write_page
from adapterlab.registry import entry_points
from adapterlab.registry.plugins import Combiner
from adapterlab.spec.key_tables import Table, dimension_tables, table_of, tables, tables_of
from adapterlab.spec.model import DIMENSIONS, PerKindSpec
from adapterlab.spec.search_space import OF_EVERY_COMBINER
from adapterlab.spec.toml_text import toml
from adapterlab.spec.training import PerSourceSpec, PerTaskSpec

_HEAD = """\
# The spec

Every key, what it takes and what it means. This page is generated from the models in
`platform/adapterlab/spec/model.py` by `python -m adapterlab.spec.reference docs/reference/spec.md`;
edit those. `platform init` writes all of it as a commented starter, `platform schema` prints it as
JSON Schema for editors.

A spec is TOML; JSON and YAML with the same keys do as well ([Writing specs](../guide/specs.md)). Relative paths start from the spec's folder. `--set KEY=VALUE` overrides a key on the
command line, as in `--set search.lr='{ low = 1e-4, high = 1e-2, log = true }'`; the value is TOML, a
bare word is text, and relative paths there start from the current folder. Unknown keys are errors.
"""


def page() -> str:
    """Return the page as Markdown."""
    return "\n".join([_HEAD, *_core(), *_own_parts(), *_dimensions(), *_plugins()])


def _core() -> Iterator[str]:
    for table in tables():
        yield f"## {_title(table)}\n"
        if table.path:
            yield f"{table.doc}{'' if table.required else ' May be left out.'}\n"
        yield _rows(table)


def _own_parts() -> Iterator[str]:
    for model, path in (
        (PerKindSpec, "combiner.per_kind.<kind>"),
        (PerSourceSpec, 'per_source."<task>"'),
        (PerTaskSpec, 'per_task."<task>"'),
    ):
        for table in tables_of(model, path):
            yield f"{'##' if table.path == path else '###'} `[{table.path}]`\n"
            yield f"{table.doc}\n"
            yield _rows(table)


def _dimensions() -> Iterator[str]:
    yield "## Search dimensions\n"
    yield f"{_and(f'`search.{name}`' for name in DIMENSIONS)} take a number (fixed), a range or choices.\n"
    yield (
        "So do the keys above that say it, and the numbers of `[adapter.settings]` and of a baseline's `settings`: a "
        "range has whole numbers where the key has, or where both its ends are written as such.\n"
    )
    for table in dimension_tables():
        yield f"### A {table.path}\n" if table.path == "range" else "### Choices\n"
        yield f"{table.doc}\n"
        yield _rows(table)


def _plugins() -> Iterator[str]:
    yield "## Settings of the adapter methods, joint methods and combiners\n"
    yield "Those of the plug-ins that come with adapterlab; others bring their own.\n"
    for group, table_name, get in (
        (entry_points.ADAPTER_METHODS, "adapter", entry_points.adapter_method),
        (entry_points.JOINT_METHODS, "joint.run", entry_points.joint_method),
        (entry_points.COMBINERS, "combiner", entry_points.combiner),
    ):
        for name in entry_points.names(group):
            table = table_of(get(name).settings, f"{table_name}.settings")
            key = "kind" if table_name == "combiner" else "method"
            yield f'### `[{table_name}.settings]` for `{key} = "{name}"`\n'
            yield _rows(table) if table.knobs else "It has none.\n"
            if isinstance(plugin := get(name), Combiner):
                yield f"Searched unless the spec says otherwise: {_searched(plugin)}.\n"
                optional = _and(f"`{name}`" for name in (*OF_EVERY_COMBINER, *plugin.optional))
                yield f"Where the spec writes them: {optional}.\n"


def _searched(plugin: Combiner) -> str:
    return ", ".join(f"`{name} = {toml(space)}`" for name, space in plugin.dimensions.items())


def _and(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}"


def _title(table: Table) -> str:
    return f"`{table.header}`" if table.path else "Above all tables"


def _rows(table: Table) -> str:
    rows = ["| key | takes | default | meaning |", "|---|---|---|---|"]
    for knob in table.knobs:
        default = "**required**" if knob.required else f"`{knob.default}`" if knob.default else "absent"
        rows.append(f"| `{knob.name}` | {_cell(knob.kind)} | {_cell(default)} | {_cell(knob.doc)} |")
    return "\n".join(rows) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    write_page(page, "adapterlab.spec.reference")
