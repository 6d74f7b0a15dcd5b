"""``platform submit``: run a spec; run it again to resume it or to reuse what is there."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapterlab.api import plan, report, submit
from adapterlab.catalog.records import SHORT_KEY
from adapterlab.cli import detached
from adapterlab.cli.live import live_progress, progress_lines, together
from adapterlab.cli.options import JsonOption, SetOption, SpecArgument
from adapterlab.cli.output import emit, emit_json, is_interactive, note
from adapterlab.cli.plan import device_line, summary_line
from adapterlab.cli.program import next_steps
from adapterlab.cli.report import show
from adapterlab.cli.sweep_log import SweepLog, log_path
from adapterlab.cluster.stop_signals import StopSignals
from adapterlab.errors import BudgetSpentError
from adapterlab.passwords import hide_passwords
from adapterlab.records import StepKind
from adapterlab.spec.load import LoadedSpec, load_spec

if TYPE_CHECKING:
    from adapterlab.driver.progress import SweepView
    from adapterlab.driver.sweep import Outcome


def command(
    spec: SpecArgument,
    overrides: SetOption = None,
    detach: Annotated[
        bool,
        typer.Option(
            "--detach", help="Go on in the background once it has begun, whatever becomes of the terminal."
        ),
    ] = False,
    json: JsonOption = False,
) -> int | None:
    """Run a spec to its end, and show its results.

    What is done already is not done again. Ctrl-C leaves a sweep that the same command continues. With --detach
    the command ends as soon as the sweep has passed its checks and begun; `watch`, `logs` and `cancel` take its key.
    """
    if detach:
        return _detach(spec, overrides or (), json=json)
    announcement = detached.Announcement.owed()
    signals = StopSignals()
    with signals.heard(), signals.interrupting():
        _submit(load_spec(spec, overrides or ()), announcement, json=json)
    return None


def _detach(spec: str, overrides: Sequence[str], *, json: bool) -> int:
    level = logging.getLogger("adapterlab").level
    flags = {logging.DEBUG: ["--verbose"], logging.ERROR: ["--quiet"]}.get(level, [])
    words = [
        "submit",
        *(word for one in overrides for word in ("--set", one)),
        *(["--json"] if json else []),
        *flags,
    ]
    stdin = sys.stdin.buffer.read() if spec == "-" else None
    code, begun = detached.start([*words, "--", spec], stdin)
    if begun is None:
        return code
    if json:
        emit_json(begun)
        return code
    key = begun["key"][:SHORT_KEY]
    goes_on = (
        "goes on in the background" if begun["owns"] else "waits for the process that does this sweep already"
    )
    emit(f"{begun['name']} {key} {goes_on} (process {begun['pid']}).")
    emit("")
    steps = [
        (f"watch {key}", "how far it is, until it ends"),
        (f"logs {key}", "what it says; --follow for what comes"),
        (f"cancel {key}", "stop it; the same submit continues it"),
    ]
    for line in next_steps(steps):
        emit(line)
    return code


def _submit(loaded: LoadedSpec, announcement: detached.Announcement | None, *, json: bool) -> None:
    log = SweepLog()
    try:
        outcome = _run(loaded, announcement, log)
    except BaseException as error:
        if not log.taken_over:  # else the command's own message goes there
            log.line(hide_passwords(str(error)) or type(error).__name__)
        if isinstance(error, BudgetSpentError) and not json:
            show(report(str(error.details["sweep_key"]), stores=loaded.stores()))
        raise
    else:
        if not log.taken_over:
            for line in _said(outcome):
                log.line(line)
    finally:
        log.close()
    summary = report(outcome.sweep_key, stores=loaded.stores())
    if json:
        emit_json({"outcome": _to_json(outcome), "warnings": loaded.warnings, "report": summary.to_json()})
        return
    show(summary)
    for line in _said(outcome):
        note(line)
    emit("")
    _say_what_is_next(loaded.spec.name, _comparison(outcome))


def _say_what_is_next(name: str, link: str | None) -> None:
    steps = [
        (f"report {name}", "this table again; --json for programs"),
        ("catalog list", "the adapters and transfers you now have"),
        ("catalog show KEY", "one of them: settings, metrics, coefficients"),
        ("export KEY --to DIR", "one of them as a plain adapter for AdapterHub"),
    ]
    if link is None:
        steps.insert(0, ("ui", "compare the methods in MLflow, in the browser"))
    else:
        emit(f"The methods compared, in MLflow: {link}")
    for line in next_steps(steps):
        emit(line)


def _comparison(outcome: Outcome) -> str | None:
    """Return the address at which a server compares the methods; ``None``: no server has them."""
    from adapterlab.tracking import server, store

    if outcome.tracking is None or outcome.experiment_id is None or not store.is_server(outcome.tracking):
        return None
    return server.comparison_address(outcome.tracking, outcome.experiment_id)


def _run(loaded: LoadedSpec, announcement: detached.Announcement | None, log: SweepLog) -> Outcome:
    name, home = loaded.spec.name, loaded.stores().home

    def tell(text: str) -> None:
        if not log.taken_over:
            note(text)
        log.line(text)

    def keep(view: SweepView) -> None:
        log.open(log_path(home, view.key))

    def began(key: str, owns: bool) -> None:
        log.open(log_path(home, key))
        if announcement is not None:
            announcement.make(log, name=name, key=key, owns=owns)

    planned = plan(loaded)
    tell(f"{name}: {summary_line(planned)}")
    tell(device_line(planned))
    for warning in loaded.warnings:
        tell(f"warning: {warning}")
    if announcement is not None or not is_interactive(sys.stderr):
        with progress_lines(tell) as lines:
            return submit(loaded, watch=together(keep, lines), began=began)
    with live_progress() as bars, progress_lines(log.line) as lines:
        return submit(loaded, watch=together(keep, lines, bars), began=began)


def _said(outcome: Outcome) -> list[str]:
    repaired = f"stored weights were damaged and set aside: {', '.join(outcome.repaired)}"
    return [*([repaired] if outcome.repaired else []), _done(outcome)]


def _done(outcome: Outcome) -> str:
    if outcome.nothing_to_do:
        return f"Nothing to train: every step was complete ({outcome.seconds:.1f} s)."
    parts = [
        f"{label} {_counted(counts)}"
        for label, counts in (
            ("trained", outcome.trained),
            ("reused", outcome.reused),
            ("done meanwhile by others:", outcome.followed),
        )
        if any(counts.values())
    ]
    return f"{'; '.join(parts)} ({outcome.seconds:.0f} s)."


def _counted(counts: Any) -> str:
    words = {
        StepKind.JOINT: ("joint run", "joint runs"),
        StepKind.SOURCE: ("source adapter", "source adapters"),
        StepKind.SELECTION: ("selection", "selections"),
        StepKind.STUDY: ("study", "studies"),
        StepKind.TRANSFER: ("final run", "final runs"),
    }
    said = [f"{count} {words[kind][count != 1]}" for kind, count in counts.items() if count]
    return ", ".join(said)


def _to_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "sweep": outcome.name,
        "key": outcome.sweep_key,
        "seconds": outcome.seconds,
        "nothing_to_do": outcome.nothing_to_do,
        "repaired": list(outcome.repaired),
        "trained": dict(outcome.trained),
        "reused": dict(outcome.reused),
        "followed": dict(outcome.followed),
    }
