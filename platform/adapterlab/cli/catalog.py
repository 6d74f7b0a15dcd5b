"""``platform catalog``: what is already known, found by task, backbone, method and metric."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from enum import StrEnum
from typing import Annotated, Any, TypeVar

import typer

from adapterlab.catalog.queries import StepRecord
from adapterlab.catalog.reading import ReadableCatalog
from adapterlab.catalog.records import (
    AdapterRecord,
    Annotation,
    JointRecord,
    LineageNode,
    SelectionRecord,
    StudyRecord,
    TransferRecord,
)
from adapterlab.catalog.store import open_existing
from adapterlab.cli import catalog_import, catalog_records, export, garbage
from adapterlab.cli.options import JsonOption, KeyArgument
from adapterlab.cli.output import emit, emit_json, note, table
from adapterlab.errors import NotFoundError, UsageError
from adapterlab.home import stores

app = typer.Typer(
    help="List and inspect adapters and transfers, and where they come from.", no_args_is_help=True
)

_Record = TypeVar("_Record", AdapterRecord, JointRecord, SelectionRecord, StudyRecord, TransferRecord)

KEY_DIGITS = 12
"""Digits of a key in tables; ``show`` and ``lineage`` take them."""

_NOTHING_YET = "The catalog is empty. `platform submit SPEC` fills it."


class Kind(StrEnum):
    """What to list."""

    ALL = "all"
    ADAPTER = "adapter"
    JOINT = "joint"
    SELECTION = "selection"
    STUDY = "study"
    TRANSFER = "transfer"


@app.command("list")
def list_records(
    task: Annotated[
        str | None, typer.Option(help="Task: full name (glue/rte) or without its benchmark (rte).")
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="Backbone: a part of its name, or first digits of its digest.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            "--method", "--combiner", help="Adapter method, joint method, rule of a selection or combiner."
        ),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="Compare by this metric instead of each record's leading one.")
    ] = None,
    metric_min: Annotated[
        float | None, typer.Option("--metric-min", "--min", help="Least value of the metric, best first.")
    ] = None,
    reported: Annotated[
        bool,
        typer.Option(
            "--reported", help="Compare imported adapters by what their cards report: needs --metric."
        ),
    ] = False,
    name: Annotated[
        str | None, typer.Option(help="Name given by `catalog rename`; * and ? stand for any characters.")
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(help="Tag given by `catalog tag`, or a pattern as of --name; all of them."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of training.")] = None,
    kind: Annotated[Kind, typer.Option(help="What to list; all: adapters and transfers.")] = Kind.ALL,
    limit: Annotated[int, typer.Option(min=1, help="Most records of a kind.")] = 50,
    offset: Annotated[int, typer.Option(min=0, help="Records of a kind to leave out at the start.")] = 0,
    json: JsonOption = False,
) -> None:
    """List adapters and transfers, newest first, or best first where a metric is asked for.

    Adapters show their validation metric, transfers their test metric; with --reported adapters show what their card
    says, on rows that only the card knows. Names and tags are shown where there are any.
    """
    _check_asked(
        kind,
        of_task=task is not None,
        of_metric=metric is not None or metric_min is not None,
        seed=seed,
        reported=reported,
    )
    adapters: list[AdapterRecord] = []
    joint: list[JointRecord] = []
    selections: list[SelectionRecord] = []
    studies: list[StudyRecord] = []
    transfers: list[TransferRecord] = []
    common: dict[str, Any] = {
        "task": task,
        "backbone": backbone,
        "metric": metric,
        "metric_min": metric_min,
        "name": name,
        "tags": tuple(tag or ()),
        "limit": limit,
        "offset": offset,
    }
    with _catalog_if_any() as catalog:
        if catalog is not None and kind in (Kind.ALL, Kind.ADAPTER):
            adapters = catalog.adapters(**common, method=method, seed=seed, reported=reported)
        if catalog is not None and kind is Kind.JOINT:
            joint = catalog.joint_runs(
                backbone=backbone, method=method, seed=seed, name=name, tags=tuple(tag or ()),
                limit=limit, offset=offset,
            )  # fmt: skip
        if catalog is not None and kind is Kind.SELECTION:
            selections = catalog.selections(
                task=task, backbone=backbone, rule=method, name=name, tags=tuple(tag or ()), limit=limit,
                offset=offset,
            )  # fmt: skip
        if catalog is not None and kind is Kind.STUDY:
            studies = catalog.studies(**common, combiner=method)
        if catalog is not None and kind in (Kind.ALL, Kind.TRANSFER) and not reported:
            transfers = catalog.transfers(**common, combiner=method, seed=seed)
        found: list[StepRecord] = [*adapters, *joint, *selections, *studies, *transfers]
        remarks = {} if catalog is None else catalog.annotations(one.key for one in found)
    if json:
        listed: dict[Kind, Sequence[StepRecord]] = {
            Kind.ADAPTER: adapters, Kind.JOINT: joint, Kind.SELECTION: selections, Kind.STUDY: studies,
            Kind.TRANSFER: transfers,
        }  # fmt: skip
        emit_json(_document(kind, listed, remarks))
        return
    _print_adapters(adapters, metric, remarks, reported=reported)
    _print_joint(joint, remarks)
    _print_selections(selections, remarks)
    _print_studies(studies, remarks)
    _print_transfers(transfers, metric, remarks, gap=bool(adapters))
    if not found:
        note(_NOTHING_YET if catalog is None else "Nothing matches.")
    elif limit in (len(adapters), len(joint), len(selections), len(studies), len(transfers)):
        note(f"First {limit} of a kind; --limit and --offset show more.")


@app.command()
def show(key: KeyArgument, json: JsonOption = False) -> None:
    """Show everything known of one adapter, joint run, selection of sources, study or transfer."""
    with _catalog_if_any() as catalog:
        record = _existing(catalog, key).get(key)
        coefficients = (
            catalog.coefficients(record.key) if catalog and isinstance(record, TransferRecord) else []
        )
        noted = catalog.annotations([record.key]).get(record.key) if catalog else None
    remarks = {} if noted is None else _remarks(noted)
    if json:
        document = {"kind": _kind(record), **record.to_json(), "annotation": remarks or None}
        if isinstance(record, TransferRecord):
            document["coefficients"] = [one.to_json() for one in coefficients]
        emit_json(document)
        return
    _print_fields(record, {name: one for name, one in remarks.items() if one})
    if coefficients:
        emit("")
        table(
            ("layer", "source", "mean", "std", "min", "max"),
            [
                (one.layer, one.source_task, *map(_number, (one.mean, one.std, one.minimum, one.maximum)))
                for one in coefficients
            ],
            title="coefficients",
            right=("layer", "mean", "std", "min", "max"),
        )


@app.command()
def lineage(key: KeyArgument, json: JsonOption = False) -> None:
    """Show what a record was made from, down to backbone and task, and what was made from it."""
    with _catalog_if_any() as catalog:
        node = _existing(catalog, key).lineage(key)
    if json:
        emit_json(node.to_json())
        return
    emit(_line(node))
    if node.parents:
        emit("made from")
        _print_branches(node, "parents", "")
    if node.children:
        emit("used by")
        _print_branches(node, "children", "")


app.command("import")(catalog_import.command)
app.command("export")(export.command)
app.command("publish")(catalog_records.publish)
app.command("copy")(catalog_records.copy)
app.command("tag")(catalog_records.tag)
app.command("note")(catalog_records.write_note)
app.command("rename")(catalog_records.rename)
app.command("remove")(catalog_records.remove)
app.command("gc")(garbage.collect)


@contextmanager
def _catalog_if_any() -> Iterator[ReadableCatalog | None]:
    """Give the catalog, or ``None`` where there is none yet: looking creates nothing."""
    where = stores()
    catalog = open_existing(where.catalog, where.blobs, locks=where.locks)
    with catalog or nullcontext():
        yield catalog


def _existing(catalog: ReadableCatalog | None, key: str) -> ReadableCatalog:
    if catalog is None:
        raise NotFoundError(f"no record with key {key[:80]!r}", remedy=_NOTHING_YET)
    return catalog


def _kind(record: StepRecord) -> str:
    kinds = {
        AdapterRecord: "adapter", JointRecord: "joint", SelectionRecord: "selection", StudyRecord: "study",
        TransferRecord: "transfer",
    }  # fmt: skip
    return kinds[type(record)]


def _check_asked(kind: Kind, *, of_task: bool, of_metric: bool, seed: int | None, reported: bool) -> None:
    """Check that records of a kind have what they are asked for.

    Args:
        kind: What is listed.
        of_task: Whether a task is asked for.
        of_metric: Whether a metric is.
        seed: The seed asked for.
        reported: Whether what cards report is.

    Raises:
        UsageError: They have not.
    """
    if kind is Kind.JOINT and (of_task or of_metric):
        raise UsageError(
            "a joint run has several tasks, and no metric of its own",
            remedy="Leave --task, --metric and --min out, or list adapters: what each task has of it is one.",
        )
    if kind is Kind.SELECTION and of_metric:
        raise UsageError(
            "scores of selections by several rules cannot be compared",
            remedy="Leave --metric and --min out; `catalog show KEY` shows the scores of one.",
        )
    if kind in (Kind.SELECTION, Kind.STUDY) and seed is not None:
        raise UsageError(f"a {kind} has no seed", remedy="Leave --seed out, or list transfers.")
    if reported and kind not in (Kind.ALL, Kind.ADAPTER):
        raise UsageError(
            "only adapters that were imported have a card", remedy="Leave --kind or --reported out."
        )


def _document(
    kind: Kind, listed: Mapping[Kind, Sequence[StepRecord]], remarks: Mapping[str, Annotation]
) -> dict[str, object]:
    def told(one: StepRecord) -> dict[str, object]:
        noted = remarks.get(one.key)
        return {**one.to_json(), "annotation": None if noted is None else _remarks(noted)}

    titles = {Kind.JOINT: "joint_runs", Kind.STUDY: "studies"}
    shown = (Kind.ADAPTER, Kind.TRANSFER) if kind is Kind.ALL else (kind,)
    return {titles.get(one, f"{one.value}s"): [told(record) for record in listed[one]] for one in shown}


def _remarks(noted: Annotation) -> dict[str, object]:
    return {"name": noted.name, "note": noted.note, "tags": list(noted.tags)}


def _table(
    title: str,
    columns: Mapping[str, Callable[[_Record], object]],
    records: Sequence[_Record],
    remarks: Mapping[str, Annotation],
    *,
    right: Sequence[str],
) -> None:
    """Print records, with names and tags where one of them has any; nothing where there are none."""
    noted = [remarks.get(one.key) or Annotation(one.key) for one in records]
    shown: dict[str, list[object]] = {name: [cell(one) for one in records] for name, cell in columns.items()}
    if any(one.name for one in noted):
        shown["name"] = [one.name for one in noted]
    if any(one.tags for one in noted):
        shown["tags"] = [", ".join(one.tags) or None for one in noted]
    if records:
        table(tuple(shown), list(zip(*shown.values(), strict=True)), title=title, right=right)


def _print_adapters(
    adapters: list[AdapterRecord], metric: str | None, remarks: Mapping[str, Annotation], *, reported: bool
) -> None:
    def value(one: AdapterRecord) -> str | None:
        if reported:
            return _number(None if one.origin is None else one.origin.metrics.get(str(metric)))
        return _number(one.metrics.get(metric or one.metric))

    values = "reported" if reported else "validation"
    _table(
        "adapters",
        {
            "key": lambda one: one.key[:KEY_DIGITS],
            "task": lambda one: one.task,
            "method": lambda one: one.method,
            "seed": lambda one: one.seed if one.origin is None else None,
            "metric": lambda one: metric or one.metric,
            values: value,
            "backbone": lambda one: one.backbone_digest[:KEY_DIGITS],
            "created": _created,
        },
        adapters,
        remarks,
        right=("seed", values),
    )


def _print_joint(joint: list[JointRecord], remarks: Mapping[str, Annotation]) -> None:
    _table(
        "joint runs",
        {
            "key": lambda one: one.key[:KEY_DIGITS],
            "method": lambda one: one.method,
            "tasks": lambda one: one.task,
            "seed": lambda one: one.seed,
            "selected by": lambda one: f"mean {one.metric}",
            "validation": lambda one: _number(one.value),
            "parameters": lambda one: one.n_parameters,
            "created": _created,
        },
        joint,
        remarks,
        right=("seed", "validation", "parameters"),
    )


def _print_selections(selections: list[SelectionRecord], remarks: Mapping[str, Annotation]) -> None:
    _table(
        "selections of sources",
        {
            "key": lambda one: one.key[:KEY_DIGITS],
            "task": lambda one: one.task,
            "rule": lambda one: one.rule,
            "metric": lambda one: one.metric,
            "sources, best first": lambda one: ", ".join(
                f"{source.label} {_number(source.score)}" for source in one.sources
            ),
            "created": _created,
        },
        selections,
        remarks,
        right=(),
    )


def _print_studies(studies: list[StudyRecord], remarks: Mapping[str, Annotation]) -> None:
    _table(
        "studies",
        {
            "key": lambda one: one.key[:KEY_DIGITS],
            "task": lambda one: one.task or ", ".join(one.tasks),
            "combiner": lambda one: one.combiner,
            "sources": lambda one: len(one.pool),
            "metric": lambda one: one.metric,
            "best": lambda one: _number(one.best_value),
            "settings": lambda one: ", ".join(f"{name} {value}" for name, value in one.best_settings.items()),
            "created": _created,
        },
        studies,
        remarks,
        right=("sources", "best"),
    )


def _print_transfers(
    transfers: list[TransferRecord], metric: str | None, remarks: Mapping[str, Annotation], *, gap: bool
) -> None:
    if transfers and gap:
        emit("")
    _table(
        "transfers",
        {
            "key": lambda one: one.key[:KEY_DIGITS],
            "task": lambda one: one.task,
            "combiner": lambda one: one.combiner,
            "seed": lambda one: one.seed,
            "metric": lambda one: metric or one.metric,
            "test": lambda one: _number(one.test.get(metric or one.metric)),
            "validation": lambda one: _number(one.validation.get(metric or one.metric)),
            "parameters": lambda one: one.n_parameters,
            "created": _created,
        },
        transfers,
        remarks,
        right=("seed", "test", "validation", "parameters"),
    )


def _created(record: StepRecord) -> str:
    return f"{record.created_at:%Y-%m-%d %H:%M}"


def _print_fields(record: StepRecord, remarks: Mapping[str, object]) -> None:
    rows: list[tuple[str, object]] = [("kind", _kind(record))]
    rows += [(name, ", ".join(one) if isinstance(one, list) else one) for name, one in remarks.items()]
    for name, value in record.to_json().items():
        if name == "seed" and getattr(record, "origin", None) is not None:
            rows.append((name, "unknown: it was imported"))
        elif name == "origin" and value is None:
            continue
        elif name == "origin" and isinstance(value, dict):
            rows.extend((f"imported.{inner}", _cell(item)) for inner, item in value.items() if item)
        elif isinstance(value, dict):
            rows.extend((f"{name}.{inner}", _cell(item)) for inner, item in value.items())
        elif name == "provenance" and value is None:
            imported = getattr(record, "origin", None) is not None
            rows.append(
                (name, "not trained here: imported" if imported else "unknown: made before it was recorded")
            )
        elif name == "shares":
            rows.extend(
                (f"task.{place}", f"{item['task']}  {item['key']}") for place, item in enumerate(value)
            )
        elif name == "pool":
            rows.extend(
                (f"pool.{place}", f"{item['task']}  {item['key']}") for place, item in enumerate(value)
            )
        elif name == "sources":
            rows.extend(
                (
                    f"source.{place}",
                    f"{item.get('name', item['task'])}  {_number(item['score'])}  {item.get('key', '')}".rstrip(),
                )
                for place, item in enumerate(value)
            )
        else:
            rows.append((name, _cell(value)))
    table(("field", "value"), rows)


def _cell(value: object) -> object:
    return _number(value) if isinstance(value, float) else value


def _number(value: float | None) -> str | None:
    """Return a metric as people read it; nothing for one that is not a number."""
    return (
        None if value is None or math.isnan(value) else f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
    )


def _line(node: LineageNode) -> str:
    if node.kind == "task":
        return f"task {node.title}"
    value = "" if node.value is None else f" · {node.metric} {_number(node.value)}"
    state = "" if node.state in (None, "complete") else f" · {node.state}"
    kind = "adapter" if node.kind == "source" else node.kind
    return f"{kind} {node.title}{value}{state}  {node.key[:KEY_DIGITS]}"


def _print_branches(node: LineageNode, side: str, indent: str) -> None:
    branches: tuple[LineageNode, ...] = getattr(node, side)
    hidden = node.hidden_children if side == "children" else 0
    for place, branch in enumerate(branches):
        last = place == len(branches) - 1 and not hidden
        emit(f"{indent}{'└── ' if last else '├── '}{_line(branch)}")
        _print_branches(branch, side, indent + ("    " if last else "│   "))
    if hidden:
        emit(f"{indent}└── and {hidden} more")
