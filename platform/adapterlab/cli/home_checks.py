"""The checks of ``platform doctor`` that look into the home folder's own files.

Are the databases whole and ours, does every record have its rows, do artifacts lie where MLflow looks for them,
and is all of it its owner's only? What can be mended without guessing, ``--repair`` mends.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from adapterlab.cli.checks import Check, Verdict
from adapterlab.errors import AdapterlabError
from adapterlab.home import Stores, sqlite_file
from adapterlab.private_files import PRIVATE

_TABLES = {
    "catalog": ("the catalog", {"adapters", "claims", "sweeps"}),
    "studies": ("Optuna", {"studies", "trials", "version_info"}),
    "tracking": ("MLflow", {"experiments", "runs", "alembic_version"}),
}
_MOST_FILES = 200_000
"""Looked at for their modes; beyond, the first ones say enough."""


def database_file(name: str, url: str) -> Iterator[Check]:
    """Check that a SQLite file is whole, and that its tables are those of what it is used for.

    Args:
        name: ``"catalog"``, ``"studies"`` or ``"tracking"``.
        url: Where it is; nothing is checked of other databases, and of a file that does not exist.
    """
    file = sqlite_file(url)
    if file is None or not file.is_file() or file.stat().st_size == 0:
        return
    label, (owner, expected) = f"{name} file", _TABLES[name]
    aside = f"restore a copy of {file}, or move it away to begin anew"
    try:
        with closing(_looking_at(file.absolute())) as connection:
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
            faults = [row[0] for row in connection.execute("PRAGMA quick_check(3)")]
    except sqlite3.OperationalError:
        return  # it cannot be opened: the database's own check has said so
    except sqlite3.Error as error:
        yield Check(label, Verdict.FAIL, f"{file} is damaged: {error}", aside)
        return
    if faults != ["ok"]:
        first = str(faults[0]).strip().splitlines()
        yield Check(label, Verdict.FAIL, f"{file} is damaged: {first[-1] if first else 'unreadable'}", aside)
    elif tables and not expected <= tables:
        remedy = f"move it away; {owner} makes a file of its own"
        yield Check(label, Verdict.FAIL, f"{file} is not {owner}'s: it lacks the tables it needs", remedy)


def _looking_at(file: Path) -> sqlite3.Connection:
    from adapterlab.catalog.database import connect_read_only, is_read_only

    if is_read_only(file):
        return connect_read_only(file)
    return sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=30)


def records(stores: Stores, *, repair: bool) -> Iterator[Check]:
    """Check that every record of the catalog has the rows that belong to it, and every sweep its steps."""
    from adapterlab.catalog import derived_rows
    from adapterlab.catalog.store import open_existing

    try:
        catalog = open_existing(stores.catalog, stores.blobs, locks=stores.locks)
        if catalog is None:
            return
        with catalog:
            lost = catalog.lost_rows()
            derived = derived_rows.missing(catalog.database)
            if lost and repair:
                catalog.do_again(lost)
            if derived.restorable and repair:
                derived_rows.restore(catalog.database, derived)
    except AdapterlabError:
        return  # the catalog's own check says why
    if lost:
        some = "; ".join(f"{key[:12]}: {what}" for key, what in list(lost.items())[:3])
        found = f"{len(lost)} records have lost rows ({some})"
        if repair:
            yield Check("records", Verdict.WARN, f"{found}; they will be done again by the next submit")
        else:
            yield Check(
                "records", Verdict.FAIL, found, "platform doctor --repair, then submit the specs again"
            )
    if derived.restorable:
        found = f"rows are lost that others repeat ({derived})"
        if repair:
            yield Check("derived rows", Verdict.OK, f"{found}; they are there again")
        else:
            yield Check("derived rows", Verdict.FAIL, found, "platform doctor --repair writes them again")
    if derived.sweeps:
        some = ", ".join(sorted(set(derived.sweeps.values()))[:3])
        found = f"{len(derived.sweeps)} sweeps have lost steps ({some})"
        yield Check("sweeps", Verdict.WARN, found, "submit their specs again; what is trained stays")


def artifacts(stores: Stores, *, repair: bool) -> Iterator[Check]:
    """Check that MLflow looks for artifacts in this home, and not where it was before it was moved or copied."""
    from adapterlab.tracking import schema, spool

    with suppress(sqlite3.Error, AdapterlabError):
        if roots := schema.old_roots(stores.tracking, stores.artifacts):
            found = f"MLflow looks for them in {', '.join(roots)}, where this home was before"
            if repair:
                schema.follow_home(stores.tracking, stores.artifacts, stores.locks)
                yield Check("artifacts", Verdict.OK, f"{found}; it looks in {stores.artifacts} now")
            else:
                yield Check(
                    "artifacts", Verdict.WARN, found, "platform doctor --repair; submit does it as well"
                )
    if waiting := spool.refused(stores.spool):
        yield Check(
            "waiting for mlflow",
            Verdict.WARN,
            f"{waiting} entries that MLflow refused are kept in {stores.spool}",
            "mend what the log of the submit names, then submit again: they are written first",
        )


def privacy(home: Path, *, repair: bool) -> Iterator[Check]:
    """Check that nobody else can read or write what is in the home folder.

    A wide home is told and not changed by itself: a team may share one on purpose.
    """
    if not home.is_dir():
        return
    wide = list(_wide(home))
    if not wide:
        return
    if repair:
        for path in wide:
            with suppress(OSError):
                path.chmod(stat.S_IMODE(path.lstat().st_mode) & ~PRIVATE)
        yield Check(
            "privacy", Verdict.OK, f"{len(wide)} files and folders of {home} are their owner's only now"
        )
        return
    others = " and change" if any(path.lstat().st_mode & 0o022 for path in wide) else ""
    yield Check(
        "privacy",
        Verdict.WARN,
        f"others can read{others} {len(wide)} files and folders of the home, for example {wide[0]}",
        "platform doctor --repair makes them yours only; leave it if the home is shared on purpose",
    )


def _wide(home: Path) -> Iterator[Path]:
    if home.stat().st_mode & PRIVATE:
        yield home
    else:
        return  # nobody else comes past the folder itself
    seen = 0
    for folder, folders, files in os.walk(home):
        for name in (*folders, *files):
            path = Path(folder, name)
            with suppress(OSError):
                mode = path.lstat().st_mode
                if not stat.S_ISLNK(mode) and mode & PRIVATE:
                    yield path
            if (seen := seen + 1) > _MOST_FILES:
                return
