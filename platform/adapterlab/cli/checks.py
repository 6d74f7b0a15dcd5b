"""The single checks of ``platform doctor``; each yields what it found and what to do about it.

Nothing heavy is imported unless a check is told to go deep, and nothing is created: a doctor looks.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from adapterlab.cluster.gpus import find_gpus
from adapterlab.errors import AdapterlabError
from adapterlab.home import sqlite_file
from adapterlab.passwords import hide_passwords
from adapterlab.registry import entry_points

_DISTRIBUTION = "adapterlab"
_LOW_DISK_GIB, _NO_DISK_GIB = 5.0, 0.5
_DISTRIBUTION_OF = {"sklearn": "scikit-learn"}
"""Where a module's name is not its package's."""
_MADE_LATER = " (made at first use)"
_FOLDERS_OF_A_HOME = ("artifacts", "blobs", "cache", "locks", "logs", "ray", "spool")
_NEEDED_BY = {
    "data": "submit",
    "train": "submit",
    "search": "submit",
    "cluster": "submit",
    "tracking": "submit and ui",
    "postgres": "stores on PostgreSQL",
    "quickstart": "specs/quickstart.toml",
}


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Check:
    """One line of the doctor's table."""

    name: str
    verdict: Verdict
    found: str
    remedy: str | None = None


def interpreter() -> Iterator[Check]:
    """Check Python's version and our own."""
    running = sys.version.split()[0]
    if sys.version_info < (3, 11):  # noqa: UP036  the doctor also sees broken installations
        yield Check(
            "python", Verdict.FAIL, f"{running} at {sys.executable}", "adapterlab needs Python >= 3.11"
        )
    else:
        yield Check("python", Verdict.OK, f"{running} at {sys.executable}")
    yield Check("adapterlab", Verdict.OK, f"{version(_DISTRIBUTION)} at {Path(__file__).parents[1]}")


def packages() -> Iterator[Check]:
    """Check that every dependency is installed in a version we accept, extra by extra."""
    for extra, needed in _requirements().items():
        problems, present = [], []
        for requirement in needed:
            name, accepted = _split(requirement)
            try:
                installed = version(name)
            except PackageNotFoundError:
                problems.append(f"{name} is missing")
                continue
            present.append(f"{name} {installed}")
            if not _accepts(accepted, installed):
                problems.append(f"{name} {installed}, not {accepted}")
        label = f"packages: {extra}" if extra else "packages"
        if not problems:
            yield Check(label, Verdict.OK, ", ".join(present))
            continue
        target = f"{_DISTRIBUTION}[{extra}]" if extra else _DISTRIBUTION
        use = f"; needed by {_NEEDED_BY[extra]}" if extra in _NEEDED_BY else ""
        verdict = Verdict.WARN if extra else Verdict.FAIL
        yield Check(label, verdict, ", ".join(problems), f"pip install '{target}'{use}")


def plugins() -> Iterator[Check]:
    """Check that every installed plug-in can be imported."""
    groups = {
        "joint methods": (entry_points.JOINT_METHODS, entry_points.joint_method),
        "adapter methods": (entry_points.ADAPTER_METHODS, entry_points.adapter_method),
        "combiners": (entry_points.COMBINERS, entry_points.combiner),
        "task suites": (entry_points.TASK_SUITES, entry_points.task_suite),
    }
    for label, (group, get) in groups.items():
        names, broken = entry_points.names(group), []
        for name in names:
            try:
                get(name)
            except Exception as error:  # noqa: BLE001  a plug-in is somebody else's code
                broken.append(f"{name} ({type(error).__name__}: {error})")
        if broken:
            yield Check(
                label, Verdict.FAIL, f"cannot be loaded: {', '.join(broken)}", "update or reinstall them"
            )
        elif names:
            yield Check(label, Verdict.OK, ", ".join(names))
        else:
            yield Check(
                label, Verdict.FAIL, "none installed", f"pip install --force-reinstall {_DISTRIBUTION}"
            )


def home_folder(folder: Path) -> Iterator[Check]:
    """Check that the home folder can be written, is laid out as it should be, and has room."""
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    remedy = "make it writable, or name another folder in ADAPTERLAB_HOME"
    if not there.is_dir():
        yield Check("home folder", Verdict.FAIL, f"{there} is not a folder", remedy)
        return
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        yield Check("home folder", Verdict.FAIL, f"{there} cannot be written: {error.strerror}", remedy)
        return
    if others := [
        one for one in _FOLDERS_OF_A_HOME if (folder / one).exists() and not (folder / one).is_dir()
    ]:
        found = f"no folder, where the home needs one: {', '.join(str(folder / one) for one in others)}"
        yield Check("home folder", Verdict.FAIL, found, "move it away; the next submit makes the folder")
        return
    note = "" if folder.exists() else _MADE_LATER
    yield Check("home folder", Verdict.OK, f"{folder}{note}")
    yield _disk(there)


def database(name: str, url: str, home: str) -> Iterator[Check]:
    """Check that a database answers; a SQLite file that does not exist yet is fine."""
    from sqlalchemy.exc import SQLAlchemyError

    shown = hide_passwords(url) if "://" in url else f"…{url.rpartition('@')[2]}"
    try:
        yield Check(name, Verdict.OK, _ask(url, home))
    except (SQLAlchemyError, ImportError, OSError, ValueError) as error:
        reason = hide_passwords(str(getattr(error, "orig", None) or error).strip().split("\n")[0])
        remedy = "start it, or check the URL and the password"
        if (file := sqlite_file(url)) is not None:
            remedy = f"see that {file} may be read; if it is damaged, restore a copy of it or move it away"
        yield Check(name, Verdict.FAIL, f"{shown}: {reason}", remedy)


def catalog(url: str, home: str) -> Iterator[Check]:
    """Check that the catalog's database answers, and that its schema is one this version can use."""
    for check in database("catalog", url, home):
        yield check
        if check.verdict is not Verdict.OK or check.found.endswith(_MADE_LATER):
            return
    from adapterlab.catalog.database import Database
    from adapterlab.catalog.migrate import NEWER_REMEDY, schema_status

    status = schema_status(Database(url))
    if status.newer:
        yield Check("catalog schema", Verdict.FAIL, status.comparison, NEWER_REMEDY)
    elif status.current is None:
        yield Check("catalog schema", Verdict.OK, f"none yet{_MADE_LATER}")
    elif status.at_head:
        yield Check("catalog schema", Verdict.OK, status.head)
    else:
        yield Check(
            "catalog schema",
            Verdict.WARN,
            f"{status.current}, older than {status.head}",
            "platform db upgrade",
        )


def weights(catalog_url: str, place: str, home: str, *, deep: bool, repair: bool) -> Iterator[Check]:
    """Check that every result's weights are stored, and with ``deep`` that they are intact.

    With ``repair``, damaged and missing weights are set aside and their steps count as not done.
    """
    from adapterlab.catalog.store import open_existing

    try:
        catalog = open_existing(catalog_url, place, locks=Path(home) / "locks")
    except AdapterlabError:
        return  # the catalog's own check says why
    if catalog is None:
        return
    with catalog:
        report = catalog.verify(deep=deep or repair)
        found = f"{report.checked} stored, {len(report.missing)} missing, {len(report.damaged)} damaged"
        if report.healthy:
            yield Check("weights", Verdict.OK, found)
        elif repair:
            again = catalog.repair(report)
            yield Check("weights", Verdict.WARN, f"{found}; {len(again)} steps will be trained again")
        else:
            remedy = "correct ADAPTERLAB_BLOBS if it is another store; else platform doctor --repair"
            yield Check("weights", Verdict.WARN, found, remedy)


def blobs(place: str) -> Iterator[Check]:
    """Check the folder of weights; of a remote one only that fsspec knows its protocol."""
    if "://" not in place:
        folder = Path(place)
        writable = os.access(folder, os.W_OK) if folder.exists() else True
        note = "" if folder.exists() else _MADE_LATER
        remedy = None if writable else "make it writable, or set ADAPTERLAB_BLOBS"
        yield Check("blobs", Verdict.OK if writable else Verdict.FAIL, f"{place}{note}", remedy)
        return
    import fsspec

    try:
        fsspec.get_filesystem_class(place.split("://", 1)[0])
    except (ImportError, ValueError) as error:
        yield Check(
            "blobs", Verdict.FAIL, f"{hide_passwords(place)}: {error}", "pip install the package it names"
        )
    else:
        yield Check("blobs", Verdict.OK, hide_passwords(place))


def tracking(uri: str, home: str, *, deep: bool) -> Iterator[Check]:
    """Check the tracking store: a database like the others, a server only when going deep."""
    if not uri.startswith(("http://", "https://")):
        yield from database("tracking", uri, home)
        return
    if not deep:
        yield Check("tracking", Verdict.OK, f"{hide_passwords(uri)} (not asked; --deep does)")
        return
    try:
        with urllib.request.urlopen(_health_request(uri), timeout=10) as reply:  # noqa: S310  checked above
            yield Check(
                "tracking", Verdict.OK, f"{hide_passwords(uri)}: {reply.read(100).decode('utf-8', 'replace')}"
            )
    except (urllib.error.URLError, OSError, ValueError) as error:
        reason = hide_passwords(str(getattr(error, "reason", error)))
        yield Check(
            "tracking", Verdict.FAIL, f"{hide_passwords(uri)}: {reason}", "start the server, or check the URI"
        )


def _health_request(uri: str) -> urllib.request.Request:
    """Return the question whether a tracking server is up; ``urllib`` takes a login in an address for its host."""
    parts = urlsplit(uri)
    login, _, host = parts.netloc.rpartition("@")
    address = urlunsplit(parts._replace(netloc=host, path=f"{parts.path.rstrip('/')}/health"))
    request = urllib.request.Request(address)  # noqa: S310  http, as its caller has seen
    if login:
        credentials = base64.b64encode(unquote(login).encode()).decode()
        request.add_header("Authorization", f"Basic {credentials}")
    return request


def processors(*, deep: bool) -> Iterator[Check]:
    """Report cores, memory and GPUs; what torch makes of them only when going deep."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    yield Check("processor", Verdict.OK, f"{cores} cores, {memory_gib:.1f} GiB of memory")
    found = find_gpus()
    names = ", ".join(map(str, found.cards))
    if found.obstacle:
        remedy = "training runs on the processor; cluster.gpus_per_worker = 1 insists on a GPU"
        yield Check("gpu", Verdict.WARN, found.obstacle, remedy)
    else:
        yield Check("gpu", Verdict.OK, names or "none; training runs on the processor")
    if deep:
        yield _torch(expect_gpu=bool(found.usable))


def extra_with(module: str) -> str | None:
    """Return the extra of ours that brings a module, ``"cluster"`` for ``"ray"``; ``None`` if none does."""
    package = _DISTRIBUTION_OF.get(module, module).replace("_", "-").lower()
    for extra, needed in _requirements().items():
        if extra and package in (_split(requirement)[0].replace("_", "-").lower() for requirement in needed):
            return extra
    return None


def _requirements() -> dict[str, list[str]]:
    """Return our own declared dependencies by extra; ``""`` holds what is always needed."""
    found: dict[str, list[str]] = {"": []}
    for line in requires(_DISTRIBUTION) or ():
        requirement, _, marker = line.partition(";")
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", marker)
        name = extra[1] if extra else ""
        if name not in ("all", "dev", "docs"):  # they gather the others, or are for builders only
            found.setdefault(name, []).append(requirement.strip())
    return found


def _split(requirement: str) -> tuple[str, str]:
    """Split ``"ray[tune]>=2.55,<3"`` into name and accepted versions."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    rest = re.sub(r"^[A-Za-z0-9._-]+\s*(\[[^\]]*\])?\s*", "", requirement)
    return (name[0] if name else requirement), rest.strip("() ")


def _accepts(accepted: str, installed: str) -> bool:
    """Compare versions where ``packaging`` is at hand, as it is in nearly every environment."""
    try:
        from packaging.specifiers import SpecifierSet
    except ImportError:
        return True
    return SpecifierSet(accepted).contains(installed, prereleases=True)


def _disk(folder: Path) -> Check:
    free_gib = shutil.disk_usage(folder).free / 2**30
    verdict = (
        Verdict.FAIL if free_gib < _NO_DISK_GIB else Verdict.WARN if free_gib < _LOW_DISK_GIB else Verdict.OK
    )
    remedy = None if verdict is Verdict.OK else "free some space, or move ADAPTERLAB_HOME"
    return Check("disk", verdict, f"{free_gib:.1f} GiB free", remedy)


def _ask(url: str, home: str) -> str:
    """Connect once and return what is there; raise what the driver raises."""
    from sqlalchemy import create_engine, make_url, text
    from sqlalchemy.pool import NullPool

    from adapterlab.catalog.database import sqlite_options

    parsed = make_url(url)
    shown = hide_passwords(url)
    if parsed.get_backend_name() == "sqlite":
        file = Path(parsed.database or ":memory:")
        if parsed.database and not file.exists():
            parent = file.parent
            if not parent.is_dir() and str(parent) != home:
                raise OSError(f"the folder {parent} does not exist")
            return f"{shown}{_MADE_LATER}"
        # Naming no table, SQLite would not even look into the file.
        question, options = "SELECT count(*) FROM sqlite_master", sqlite_options(file, 5)
    else:
        question, options = "SELECT 1", {"connect_args": {"connect_timeout": 10}}
    engine = create_engine(parsed, poolclass=NullPool, **options)
    with engine.connect() as connection:
        connection.execute(text(question))
    return shown


def _torch(*, expect_gpu: bool) -> Check:
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a shared library that cannot be loaded
        return Check("torch", Verdict.FAIL, f"cannot be imported: {error}", "pip install 'adapterlab[train]'")
    found = f"{torch.__version__}, {torch.get_num_threads()} threads"
    if not expect_gpu:
        return Check("torch", Verdict.OK, found)
    if not torch.cuda.is_available():
        remedy = "install a build of torch for this driver: https://pytorch.org/get-started"
        return Check("torch", Verdict.WARN, f"{found}, but it cannot use the GPU", remedy)
    return Check("torch", Verdict.OK, f"{found}, CUDA {torch.version.cuda}")
