"""``platform catalog gc``: weights that nothing refers to, and what killed processes left, are removed."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from adapterlab.catalog.records import GarbageFile, GarbageReport
from adapterlab.catalog.store import Catalog, open_existing
from adapterlab.cli.options import JsonOption
from adapterlab.cli.output import emit, emit_json, is_interactive, note, stderr, table
from adapterlab.cli.quantities import age_text, seconds_of, size_text
from adapterlab.home import Stores, stores
from adapterlab.private_files import private_umask

_MOST_ROWS = 50
_PLAIN_EVERY_S = 5.0


@dataclass(frozen=True)
class _Left:
    """A leftover of a killed process, as it is shown."""

    what: str
    path: Path
    bytes: int


def collect(
    grace: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="Keep weights written within this time: 24h, 7d, 90min, 1d12h, or 0. Their age is the store's.",
        ),
    ] = "24h",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; show what would go.")] = False,
    quarantine: Annotated[
        bool,
        typer.Option("--quarantine", help="Also remove damaged weights that were set aside to be looked at."),
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Also where the store seems to hold another catalog's weights."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Remove weights that no record refers to, what clusters were given long ago, and what killed processes left.

    It may run at any time, beside running sweeps, and may be interrupted. Records and what they need are never
    touched. Where another catalog keeps weights in the same store, nothing is removed unless forced.
    """
    grace_s = seconds_of(grace, "--grace")
    where = stores()
    report: GarbageReport | None = None
    inputs: list[GarbageFile] = []
    with private_umask(), _progress(silent=json) as tell:
        catalog = open_existing(where.catalog, where.blobs, locks=where.locks)
        if catalog is not None:
            with catalog:
                report = catalog.collect_garbage(
                    grace_s=grace_s, dry_run=dry_run, quarantine=quarantine, force=force, tell=tell
                )
                inputs = _inputs(catalog, where, grace_s=grace_s, dry_run=dry_run)
        left = _leftovers(where, dry_run=dry_run)
    freed = (
        sum(one.bytes for one in left)
        + sum(one.bytes for one in inputs)
        + (0 if report is None else report.freed_bytes)
    )
    if json:
        weights = None if report is None else report.to_json()
        emit_json(
            {
                "dry_run": dry_run,
                "freed_bytes": freed,
                "weights": weights,
                "inputs": inputs,
                "leftovers": left,
            }
        )
        return
    did = "would remove" if dry_run else "removed"
    if report is not None:
        _show_weights(report, did)
    if inputs:
        size = size_text(sum(file.bytes for file in inputs))
        emit(
            f"{did} {_counted(len(inputs), 'input file')} of sweeps on a cluster, which the next one hands over again, {size}"
        )
    _show_leftovers(report, left, did)
    if not freed and not left and not inputs:
        emit("nothing to remove")
    elif dry_run:
        emit(f"{size_text(freed)} would be freed")
    else:
        emit(f"{size_text(freed)} freed")
    if report is not None:
        _show_kept(report, grace)


def _inputs(catalog: Catalog, where: Stores, *, grace_s: float, dry_run: bool) -> list[GarbageFile]:
    from adapterlab.worker.shipment import remove_unused

    removed = remove_unused(catalog, where.blobs, grace_s=grace_s, dry_run=dry_run)
    return [GarbageFile(file.name, file.bytes, None) for file in removed]


def _leftovers(where: Stores, *, dry_run: bool) -> list[_Left]:
    from adapterlab.driver.leftovers import found_by_searching

    found = []
    for one in found_by_searching(where):
        size = one.bytes() if one.is_abandoned() else None
        if size is not None and (dry_run or one.remove()):
            found.append(_Left(one.what, one.path, size))
    return found


def _show_weights(report: GarbageReport, did: str) -> None:
    for digest in report.restored:
        emit(f"put back {digest[:12]}, which a killed process had moved away")
    groups = [(report.removed, "weight file", "that nothing refers to")]
    if report.quarantine_removed:
        groups.append((report.quarantined, "damaged weight file", "that had been set aside"))
    for files, what, which in groups:
        if files:
            size = size_text(sum(file.bytes for file in files))
            emit(f"{did} {_counted(len(files), what)} {which}, {size}")
            _list(
                ("weights", "size", "written"),
                [(_short(file), size_text(file.bytes), f"{age_text(file.age_s)} ago") for file in files],
            )


def _show_leftovers(report: GarbageReport | None, left: Sequence[_Left], did: str) -> None:
    rows = [
        ("temporary file", file.name, file.bytes) for file in (() if report is None else report.temporary)
    ]
    rows += [(one.what, str(one.path), one.bytes) for one in left]
    if rows:
        size = size_text(sum(row[2] for row in rows))
        emit(f"{did} {_counted(len(rows), 'leftover')} of killed processes, {size}")
        _list(("what", "where", "size"), [(what, place, size_text(size)) for what, place, size in rows])


def _show_kept(report: GarbageReport, grace: str) -> None:
    kept = [f"{report.referenced} in use"]
    if report.young:
        kept.append(f"{report.young} written within {grace}")
    if report.ageless:
        kept.append(f"{report.ageless} whose age the store does not say")
    if report.quarantined and not report.quarantine_removed:
        size = size_text(sum(file.bytes for file in report.quarantined))
        kept.append(f"{len(report.quarantined)} damaged and set aside ({size}; --quarantine removes them)")
    emit(f"kept of {report.store}: {', '.join(kept)}")
    if report.doubt is not None and report.dry_run:
        note(f"{report.doubt}: without --force nothing would be removed")


def _list(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    table(columns, rows[:_MOST_ROWS], right=("size",))
    if len(rows) > _MOST_ROWS:
        emit(f"and {len(rows) - _MOST_ROWS} more; --json lists all")


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _short(file: GarbageFile) -> str:
    return file.name.rsplit("/", 1)[-1][:12]


@contextmanager
def _progress(*, silent: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Give what shows how many blobs were looked at: a line that changes, or a line now and then."""
    if silent:
        yield None
    elif is_interactive(sys.stderr):
        with stderr().status("looking for what nothing refers to") as status:
            yield lambda done, total: status.update(f"removing weights: {done:,} of {total:,}")
    else:
        told_at = time.monotonic()

        def tell(done: int, total: int) -> None:
            nonlocal told_at
            if time.monotonic() - told_at >= _PLAIN_EVERY_S:
                told_at = time.monotonic()
                note(f"removing weights: {done:,} of {total:,}")

        yield tell
