"""``platform doctor``: is this machine ready, and what to do where it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated

import typer

from adapterlab import home
from adapterlab.cli import checks, home_checks
from adapterlab.cli.checks import Check, Verdict
from adapterlab.cli.options import JsonOption
from adapterlab.cli.output import emit, emit_json, table

DeepOption = Annotated[
    bool,
    typer.Option(
        "--deep", help="Also import torch, ask the tracking server and read all weights; takes seconds."
    ),
]
RepairOption = Annotated[
    bool,
    typer.Option(
        "--repair",
        help="Mend what needs no guessing: mark results whose weights or rows are lost to be done again, write "
        "again what other rows repeat, let MLflow's artifacts follow a moved home, close the home to others.",
    ),
]


def command(deep: DeepOption = False, repair: RepairOption = False, json: JsonOption = False) -> int:
    """Check this machine: Python, packages, plug-ins, folders, databases, accelerators.

    Exit code 1 when something that every command needs is broken; what only some need is a warning.
    """
    found = list(_all(deep=deep, repair=repair))
    failed = sum(check.verdict is Verdict.FAIL for check in found)
    warned = sum(check.verdict is Verdict.WARN for check in found)
    if json:
        emit_json({"ok": not failed, "failed": failed, "warned": warned, "checks": found})
    else:
        _show(found, failed, warned)
    return 1 if failed else 0


def _all(*, deep: bool, repair: bool) -> Iterable[Check]:
    stores = home.stores()
    steps: list[Callable[[], Iterable[Check]]] = [
        checks.interpreter,
        checks.packages,
        checks.plugins,
        lambda: checks.home_folder(home.home_folder()),
        lambda: checks.catalog(stores.catalog, stores.home),
        lambda: home_checks.database_file("catalog", stores.catalog),
        lambda: home_checks.records(stores, repair=repair),
        lambda: checks.database("studies", stores.studies, stores.home),
        lambda: home_checks.database_file("studies", stores.studies),
        lambda: checks.blobs(stores.blobs),
        lambda: checks.weights(stores.catalog, stores.blobs, stores.home, deep=deep, repair=repair),
        lambda: checks.tracking(stores.tracking, stores.home, deep=deep),
        lambda: home_checks.database_file("tracking", stores.tracking),
        lambda: home_checks.artifacts(stores, repair=repair),
        lambda: home_checks.privacy(home.home_folder(), repair=repair),
        lambda: checks.processors(deep=deep),
    ]
    for step in steps:
        yield from step()


def _show(found: list[Check], failed: int, warned: int) -> None:
    table(["check", "", "found"], [(check.name, check.verdict, check.found) for check in found])
    remedies = [(check.name, check.remedy) for check in found if check.remedy]
    if remedies:
        emit("\nwhat to do")
        for name, remedy in remedies:
            emit(f"  {name}: {remedy}")
    emit(f"\n{failed} failed, {warned} to look at" if failed or warned else "\nall is well")
