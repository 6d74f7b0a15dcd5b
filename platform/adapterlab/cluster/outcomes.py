"""One order at a worker: how it is done, how it ended, and how its error crosses from there to us.

Nothing here needs Ray: a worker in the driver's own process ends in the same way.
"""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from adapterlab import errors
from adapterlab.errors import AdapterlabError, CancelledError, TrainingError
from adapterlab.fingerprint import Json
from adapterlab.records import RunInWork, State

_SAYS_NOTHING = "The actor died unexpectedly before finishing this task."
"""How Ray begins each such page."""

Payload: TypeAlias = Mapping[str, Json]
"""What a worker is told to do, JSON-able."""

Stop: TypeAlias = Callable[[], bool]
"""Whether a worker shall stop at its next chance; cheap enough to ask often."""

InWork: TypeAlias = Callable[[Mapping[str, RunInWork]], None]
"""Told what a worker has in work, by name, whenever that changes."""

Trainable: TypeAlias = Callable[[Any, Stop, InWork], Mapping[str, Json]]
"""What a worker runs: a payload, read back from JSON, whether to stop, and whom to tell what is in work; a JSON-able
result comes out. Must be importable on the workers."""


@dataclass(frozen=True)
class WorkerOutcome:
    """How one order ended."""

    index: int
    """Its place in the sequence given to :func:`~adapterlab.cluster.tune.run_workers`."""
    state: State
    """Complete, failed, or killed (stopped before its end, or never started)."""
    result: Mapping[str, Any] | None
    """What came out; ``None`` unless complete."""
    error: AdapterlabError | None
    """Why it failed or was killed; ``None`` when complete."""
    attempts: int
    """Workers started for it: 1, plus one for each that died; 0 when it never started."""


def tell_nobody(_runs: Mapping[str, RunInWork]) -> None:
    """Take what is in work for granted: nobody watches this worker."""


def attempt(text: str, trainable: Trainable, stop: Stop, in_work: InWork = tell_nobody) -> str:
    """Run one order and return how it ended as JSON; nothing that is raised in it leaves here.

    Args:
        text: The payload as JSON.
        trainable: What to run.
        stop: Whether to stop.
        in_work: Told what is in work.
    """
    try:
        if stop():
            raise CancelledError("stopped before it began")
        return json.dumps({"result": dict(trainable(json.loads(text), stop, in_work))}, allow_nan=False)
    except (Exception, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001  (the door of the process)
        described = {"error": packed(error), "traceback": traceback.format_exc()}
        return json.dumps(described, default=str)


def packed(error: BaseException) -> dict[str, Any]:
    """Return an error as a JSON-able mapping: ours whole, others by class, message and line."""
    if isinstance(error, AdapterlabError):
        return {
            "kind": type(error).__name__,
            "message": error.message,
            "remedy": error.remedy,
            "details": error.details,
        }
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return {
        "kind": "TrainingError",
        "message": f"{type(error).__name__}: {error}{place}",
        "remedy": None,
        "details": {"reason": type(error).__name__},
    }


def unpacked_error(packed: Mapping[str, Any]) -> AdapterlabError:
    """Return the error that :func:`packed` described."""
    kind = getattr(errors, packed["kind"], TrainingError)
    if not (isinstance(kind, type) and issubclass(kind, AdapterlabError)):
        kind = TrainingError
    return kind(packed["message"], remedy=packed["remedy"], **packed["details"])


def outcome_of(index: int, text: str, attempts: int) -> WorkerOutcome:
    """Return the outcome that :func:`attempt` told."""
    told = json.loads(text)
    if "result" in told:
        return WorkerOutcome(index, State.COMPLETE, told["result"], None, attempts)
    error = unpacked_error(told["error"])
    state = State.KILLED if isinstance(error, CancelledError) else State.FAILED
    return WorkerOutcome(index, state, None, error, attempts)


def death_of(trial: Any, attempts: int) -> TrainingError:
    """Return why a Tune trial's worker is gone, in one line instead of Ray's page."""
    text = ""
    with suppress(OSError, TypeError):
        text = Path(trial.error_file).read_text(encoding="utf-8", errors="replace")
    memory = "OutOfMemory" in text or "running low on memory" in text
    times = "once" if attempts == 1 else f"{attempts} times"
    return TrainingError(
        f"the worker died {times}: {_essence(text)}",
        remedy="Memory ran out: give workers fewer lanes, or run fewer side by side."
        if memory
        else "It was killed or crashed, often for lack of memory; the worker's log tells more.",
        reason="OutOfMemory" if memory else "WorkerDied",
    )


def _essence(text: str) -> str:
    """Return the one line of Ray's page that says why a worker is gone: of its last death, whose page comes last."""
    page = re.split(r"^Failure # .*$", text, flags=re.MULTILINE)[-1]
    lines = [line.strip() for line in page.splitlines() if line.strip() and line.strip() != _SAYS_NOTHING]
    for words in ("exit detail", "Worker exit", "node has died", "killed", "died"):
        for line in lines:
            if words.lower() in line.lower():
                return line[:300]
    return lines[0][:300] if lines else "it left no word"


def never_ended(index: int) -> WorkerOutcome:
    """Return the outcome of an order that was stopped before it could say anything."""
    error = CancelledError("stopped before its end", remedy="Submit again to continue.")
    return WorkerOutcome(index, State.KILLED, None, error, 0)
