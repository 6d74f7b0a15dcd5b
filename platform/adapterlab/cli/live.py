"""Progress of a sweep: live bars on a terminal, plain lines elsewhere; always on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from adapterlab.catalog.records import SHORT_KEY
from adapterlab.cli.output import is_interactive, note, stderr
from adapterlab.cli.quantities import clock_text, remaining_text
from adapterlab.driver.progress import StepView, SweepView
from adapterlab.records import State, StepKind

_PLAIN_EVERY_S = 5.0
_WHOLE_EVERY_S = 30.0
"""How often plain lines say how far the whole sweep is."""
_SHOWN_STEPS = 8


def live_progress() -> AbstractContextManager[Any]:
    """Return a watcher for ``submit``: call it with each :class:`SweepView`."""
    return _Bars() if is_interactive(sys.stderr) else progress_lines()


def progress_lines(say: Callable[[str], None] = note) -> AbstractContextManager[Any]:
    """Return a watcher that says what is new in plain lines, for logs and for what is no terminal."""
    return _Lines(say)


def together(*watchers: Callable[[SweepView], None]) -> Callable[[SweepView], None]:
    """Return a watcher that shows each of these what it is shown."""

    def watch(view: SweepView) -> None:
        for one in watchers:
            one(view)

    return watch


def time_text(view: SweepView) -> str:
    """Return how long a sweep has taken and may take yet: ``"2:07 elapsed, about 4 min left"``."""
    elapsed, left = clock_text(view.elapsed_s), remaining_text(view.remaining_s)
    return ", ".join(filter(None, (elapsed and f"{elapsed} elapsed", left and f"{left} left")))


class _Lines(AbstractContextManager["_Lines"]):
    """One line when a step changes its state, and now and then how far the running ones are."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._phase = self._waiting = ""
        self._events = 0
        self._whole_at = time.monotonic()
        self._states: dict[str, State] = {}
        self._details: dict[str, tuple[float, str]] = {}

    def __call__(self, view: SweepView) -> None:
        now = time.monotonic()
        if view.waiting != self._waiting:
            self._waiting = view.waiting
            self._say(f"{view.name}: {view.waiting or 'it answers again'}")
        for event in view.events[self._events :]:
            self._say(f"{view.name}: {event}")
        self._events = max(self._events, len(view.events))
        if view.phase != self._phase:
            self._phase = view.phase
            self._say(f"{view.name}: {view.phase}")
        for one in view.steps:
            key, state, detail = one.status.key, one.status.state, one.status.detail or ""
            news = state is not State.PENDING and self._states.get(key, State.PENDING) is not state
            if news:
                # What was so before this submit is in the plan's summary already.
                if state is State.RUNNING or key in self._states:
                    reason = f": {one.status.reason}" if one.status.reason else ""
                    self._say(f"{one.title}: {state}{reason}")
                self._details[key] = now, detail
            elif state is State.RUNNING and detail:
                said_at, said = self._details.get(key, (0.0, ""))
                if detail != said and now - said_at >= _PLAIN_EVERY_S:
                    self._say(f"{one.title}: {detail}")
                    self._details[key] = now, detail
            self._states[key] = state
        if now - self._whole_at >= _WHOLE_EVERY_S and (view.elapsed_s or 0.0) >= _WHOLE_EVERY_S:
            self._whole_at = now
            done = len(view.in_state(State.COMPLETE))
            self._say(f"{view.name}: {done} of {len(view.steps)} steps complete, {time_text(view)}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class _Bars(AbstractContextManager["_Bars"]):
    """A bar for each kind of step, and one for each step in work."""

    def __init__(self) -> None:
        from rich.live import Live

        self._live = Live(console=stderr(), refresh_per_second=4, transient=True)
        self._started = time.monotonic()
        self._events = 0

    def __enter__(self) -> _Bars:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def __call__(self, view: SweepView) -> None:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        for event in view.events[self._events :]:
            self._live.console.print(Text(f"{view.name}: {event}", style="yellow"))
        self._events = max(self._events, len(view.events))
        overall = Table.grid(padding=(0, 2))
        for kind, title in _TITLES.items():
            done, total = view.count(kind, State.COMPLETE), view.count(kind)
            overall.add_row(
                Text(title, style="bold"),
                ProgressBar(total=total, completed=done, width=30),
                f"{done}/{total}",
            )
        running = Table.grid(padding=(0, 2))
        for one in _at_work(view):
            status = one.status
            running.add_row(
                Text(f"  {one.title}"),
                ProgressBar(total=status.total or 1, completed=status.done, width=20),
                Text(status.detail or "", style="dim"),
            )
        times = time_text(view) or f"{clock_text(time.monotonic() - self._started)} elapsed"
        head = Text(f"{view.name} {view.key[:SHORT_KEY]}  {times}", style="bold cyan")
        if view.waiting:
            running.add_row(Text(f"  {view.waiting} …", style="yellow"))
        elif not running.rows and view.phase:
            running.add_row(Text(f"  {view.phase} …", style="dim"))
        self._live.update(Group(head, overall, running))


_TITLES = {
    StepKind.JOINT: "joint runs",
    StepKind.SOURCE: "source adapters",
    StepKind.SELECTION: "selections",
    StepKind.STUDY: "studies",
    StepKind.TRANSFER: "final runs",
}


def _at_work(view: SweepView) -> list[StepView]:
    running = [one for one in view.in_state(State.RUNNING) if one.status.detail]
    return running[:_SHOWN_STEPS]
