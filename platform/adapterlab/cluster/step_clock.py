"""How long workers have been at what they do, by the driver's own clock: a worker that hangs cannot be asked."""

from __future__ import annotations

from adapterlab.cluster.board import Note
from adapterlab.errors import TrainingError
from adapterlab.records import RunInWork


class StepClock:
    """Times what workers have in work, from the moment in which the driver first sees it.

    Args:
        limit_s: Seconds that one of them may take.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._since: dict[int, dict[tuple[str, int, str], float]] = {}

    def overdue(self, index: int, note: Note, now: float) -> tuple[RunInWork, ...]:
        """Take note of what a worker has in work, and return what of it has taken longer than allowed.

        Args:
            index: The order's. Another process of the same order begins anew.
            note: What its worker said last.
            now: Seconds on a clock that never goes back.
        """
        begun = self._since.get(index, {})
        # By process: a worker that is started again has the same runs in work, from their beginning.
        runs = {(note.node, note.pid, name): run for name, run in note.runs.items()}
        self._since[index] = {one: begun.get(one, now) for one in runs}
        return tuple(run for one, run in runs.items() if now - self._since[index][one] > self.limit_s)


def timed_out(runs: tuple[RunInWork, ...], limit_s: float, attempts: int) -> TrainingError:
    """Return the error of an order whose worker was killed for the last time it was allowed to.

    Args:
        runs: What took too long.
        limit_s: How long each might take.
        attempts: Workers that were started for the order.
    """
    titles = ", ".join(sorted({run.title for run in runs}))
    workers = "its worker was killed" if attempts == 1 else f"{attempts} workers died on this order"
    return TrainingError(
        f"{titles}: not done after {limit_s:g} s, which is cluster.step_timeout_s; {workers}",
        remedy="If it needs longer, raise cluster.step_timeout_s. If it hangs, the worker's log, and the files and "
        "servers it uses, say more.",
        reason="StepTimeout",
        steps=sorted({run.key for run in runs if run.key}),
    )
