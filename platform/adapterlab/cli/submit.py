"""``platform submit``: run a spec; run it again to resume it or to reuse what is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from adapterlab.api import plan, report, submit
from adapterlab.cli.live import live_progress
from adapterlab.cli.options import JsonOption, SetOption, SpecArgument
from adapterlab.cli.output import emit, emit_json, note
from adapterlab.cli.plan import device_line, summary_line
from adapterlab.cli.program import next_steps
from adapterlab.cli.report import show
from adapterlab.cluster.stop_signals import StopSignals
from adapterlab.records import StepKind
from adapterlab.spec.load import LoadedSpec, load_spec

if TYPE_CHECKING:
    from adapterlab.driver.sweep import Outcome


def command(spec: SpecArgument, overrides: SetOption = None, json: JsonOption = False) -> None:
    """Run a spec to its end, and show its results.

    What is done already is not done again. Ctrl-C leaves a sweep that the same command continues.
    """
    signals = StopSignals()
    with signals.heard(), signals.interrupting():
        _submit(load_spec(spec, overrides or ()), json=json)


def _submit(loaded: LoadedSpec, *, json: bool) -> None:
    planned = plan(loaded)
    note(f"{loaded.spec.name}: {summary_line(planned)}")
    note(device_line(planned))
    for warning in loaded.warnings:
        note(f"warning: {warning}")
    with live_progress() as watch:
        outcome = submit(loaded, watch=watch)
    summary = report(outcome.sweep_key, stores=loaded.stores())
    if json:
        emit_json({"outcome": _to_json(outcome), "warnings": loaded.warnings, "report": summary.to_json()})
        return
    show(summary)
    note(_said(outcome))
    emit("")
    steps = (
        ("ui", "compare the runs in MLflow, in the browser"),
        (f"report {loaded.spec.name}", "this table again; --json for programs"),
        ("catalog list", "the adapters and transfers you now have"),
        ("catalog show KEY", "one of them: settings, metrics, coefficients"),
        ("export KEY --to DIR", "one of them as a plain adapter for AdapterHub"),
    )
    for line in next_steps(steps):
        emit(line)


def _said(outcome: Outcome) -> str:
    if outcome.repaired:
        note(f"stored weights were damaged and set aside: {', '.join(outcome.repaired)}")
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
        StepKind.SOURCE: ("source adapter", "source adapters"),
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
