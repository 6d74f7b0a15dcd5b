"""Ray in a process of its own: whatever befalls it, the process that submits goes on.

Ray's compiled code ends its process when its head is out of reach for a minute, waits without end for a raylet that
is gone, and may crash when a signal arrives while it starts. So the driver never loads Ray. It starts this module
as a child that opens the session and runs workers in it, tells it what to do, and is told how each order ended:

    driver → child   open, run, stop                              one JSON object a line, over a socket
    child → driver   starting, opened, workers, outcome, ended, lost, raised

The child leads a session of its own, so that signals to the driver's process group reach neither it nor Ray. It ends
with the driver: the socket's end is its end, and Ray's processes go with it (see :mod:`~adapterlab.cluster.session`).
"""

from __future__ import annotations

import importlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from adapterlab.cluster import keeper
from adapterlab.cluster.outcomes import Payload, Trainable, WorkerOutcome, never_ended, packed, unpacked_error
from adapterlab.cluster.placement import Node, WorkerNeeds, WorkersNow
from adapterlab.cluster.session import RaySession, ray_session
from adapterlab.cluster.tune import GRACE_S, run_workers
from adapterlab.errors import AdapterlabError, TrainingError, UnavailableError
from adapterlab.records import State

_START_S = (60.0, 180.0)
"""How long Ray may take to start, at the first try and at the second.

A cluster's raylet tells a process that it may begin once the workers it starts beforehand are there; where one of
them dies meanwhile, it never does. The second try may take longer, for a machine that is merely slow.
"""
_POLL_S = 0.25
_WATCH_S = 0.5
_END_S = 20.0
"""How long the child may take to end Ray in order."""
_SPARE_S = 5.0
"""How much longer than the workers' grace period the child may take to stop a run."""


class RayLostError(UnavailableError):
    """Ray, or the head of a cluster, is gone; what it ran has ended or is out of reach."""


@contextmanager
def open_ray(
    address: str | None = None,
    *,
    cpus: int | None = None,
    log_folder: Path | None = None,
    runtime_env: Mapping[str, Any] | None = None,
) -> Iterator[RayProcess]:
    """Have a private Ray started, or a cluster joined, by a process of its own.

    Args:
        address: ``"auto"`` or ``host:port`` of a running cluster; ``None`` starts a private Ray.
        cpus: Cores of the private Ray; ``None``: the machine's.
        log_folder: Where the workers' output is kept after a private session.
        runtime_env: What a cluster prepares for the workers, as Ray takes it.

    Raises:
        UnavailableError: The cluster does not answer, refuses us, or Ray cannot start here.
        UsageError: The address or the runtime environment is malformed.
    """
    opened = RayProcess(address, cpus, log_folder, runtime_env)
    try:
        opened.open()
        yield opened
    finally:
        opened.close()


class RayProcess:
    """The driver's side: a running Ray, and the workers it is asked to run. Made by :func:`open_ray`."""

    def __init__(
        self,
        address: str | None,
        cpus: int | None,
        log_folder: Path | None,
        runtime_env: Mapping[str, Any] | None = None,
    ) -> None:
        self._address = address
        self._asked = {
            "address": address,
            "cpus": cpus,
            "log_folder": None if log_folder is None else str(log_folder),
            "runtime_env": None if runtime_env is None else dict(runtime_env),
        }
        self._child: _Child | None = None
        self._session: RaySession | None = None

    @property
    def session(self) -> RaySession:
        """The session as the child opened it."""
        if self._session is None:
            raise RuntimeError("Ray is not open")
        return self._session

    def open(self) -> None:
        """Start the child and wait until its Ray runs; where it is lost meanwhile, once more.

        Raises:
            UnavailableError: The cluster does not answer, refuses us, or Ray cannot start here.
            UsageError: The address is malformed.
        """
        first_s, second_s = _START_S
        try:
            self._open_once(first_s)
        except RayLostError:
            self.kill()
            self._open_once(second_s)

    def _open_once(self, within_s: float) -> None:
        self._child = _Child()
        self._child.tell(open=self._asked)
        until: float | None = None
        while (said := self._child.hear(_POLL_S)) is None or "starting" in said:
            if said is not None:
                until = time.monotonic() + within_s if said["starting"] else None
            elif until is not None and time.monotonic() > until:
                said = {"lost": f"it did not start within {within_s:.0f} s"}
                break
        if "raised" in said:
            raise unpacked_error(said["raised"])
        if "opened" not in said:
            raise _lost(said, self._address, "while it started")
        nodes = tuple(Node(**node) for node in said["opened"].pop("nodes"))
        self._session = RaySession(nodes=nodes, **said["opened"])

    def close(self) -> None:
        """End Ray in order; at once where it has not started yet or does not answer."""
        self._end(_END_S if self._session is not None else 0.0)

    def kill(self) -> None:
        """End Ray at once, and wait until nothing of it works any more."""
        self._end(0.0)

    def _end(self, patience_s: float) -> None:
        session, self._session = self._session, None
        if self._child is not None:
            self._child.end(patience_s)
            self._child = None
        if session is not None and session.folder is not None and Path(session.folder).exists():
            # Its child was killed. Nothing of it may still work when the next one starts.
            keeper.end_processes(Path(session.folder), grace_s=0)
            shutil.rmtree(session.folder, ignore_errors=True)

    def run(
        self,
        payloads: Sequence[Payload],
        trainable: Trainable,
        needs: WorkerNeeds,
        *,
        storage: Path,
        name: str,
        on_outcome: Callable[[WorkerOutcome], None] | None = None,
        should_stop: Callable[[], float | None] | None = None,
        on_workers: Callable[[WorkersNow], None] | None = None,
    ) -> list[WorkerOutcome]:
        """Run every payload in a worker of its own; see :func:`~adapterlab.cluster.tune.run_workers`.

        A private Ray that is lost is started again, as often as a worker is, for what had not ended.

        Args:
            payloads: JSON-able mappings; started in this order.
            trainable: What each worker runs, found by its module and name.
            needs: What each worker is given.
            storage: Folder for Tune's scratch files; they are removed at the end.
            name: Name of the run in Ray.
            on_outcome: Called here as each worker ends, in the order in which they end.
            should_stop: Polled here; returns ``None`` to go on, else how many seconds workers may take to stop
                from now on, 0 to kill them.
            on_workers: Told here of every change: how many run, and what they wait for while none can start.

        Returns:
            One outcome per payload, in their order.

        Raises:
            RayLostError: Ray was lost: a cluster's, or a private one too often.
            UsageError: A worker needs more than the private Ray has.
        """
        work = _Run(list(payloads), on_outcome, should_stop, on_workers)
        for left in range(needs.max_retries, -1, -1):
            if not work.open_indices():
                break
            try:
                self._run_once(work, trainable, needs, storage, name)
                break
            except RayLostError:
                work.tell_workers(WorkersNow(0))
                self.kill()
                if self._address is not None or not left or work.stop_by is not None:
                    raise
                self.open()
        return [work.outcomes.get(index) or never_ended(index) for index in range(len(payloads))]

    def _run_once(
        self, work: _Run, trainable: Trainable, needs: WorkerNeeds, storage: Path, name: str
    ) -> None:
        child, indices = self._child, work.open_indices()
        if child is None:
            raise RuntimeError("the Ray process is closed")
        child.tell(
            run={
                "payloads": [work.payloads[index] for index in indices],
                "trainable": [trainable.__module__, trainable.__qualname__],
                "needs": asdict(needs),
                "storage": str(storage),
                "name": name,
            }
        )
        told_s: float | None = None
        ended = False
        while not ended:
            said = child.hear(_POLL_S)
            grace_s = work.grace_s()
            if grace_s is not None and grace_s != told_s:
                told_s = grace_s
                child.tell(stop=grace_s)
            ended = work.is_late() if said is None else self._heed(said, work, indices)
        if work.is_late():
            child.kill()
        if work.failure is not None:
            raise work.failure

    def _heed(self, said: dict[str, Any], work: _Run, indices: Sequence[int]) -> bool:
        """Take note of what the child says; return whether it was the last thing of a run."""
        if "outcome" in said:
            work.note(_outcome_from(said["outcome"], indices))
            return False
        if "workers" in said:
            work.tell_workers(WorkersNow(**said["workers"]))
            return False
        if "raised" in said:
            raise unpacked_error(said["raised"])
        if "ended" not in said and work.stop_by is None:  # else it goes down with whatever asked us to stop
            raise _lost(said, self._address, "while workers trained")
        return True


class _Run:
    """One run, over as many lives of Ray as it takes."""

    def __init__(
        self,
        payloads: list[Payload],
        on_outcome: Callable[[WorkerOutcome], None] | None,
        should_stop: Callable[[], float | None] | None,
        on_workers: Callable[[WorkersNow], None] | None,
    ) -> None:
        self.payloads = payloads
        self.outcomes: dict[int, WorkerOutcome] = {}
        self.failure: Exception | None = None
        self.stop_by: float | None = None
        """When the child must have stopped, on the monotonic clock; ``None`` while it shall not."""
        self._grace_s: float | None = None
        self._on_outcome = on_outcome
        self._should_stop = should_stop
        self._on_workers = on_workers

    def tell_workers(self, now: WorkersNow) -> None:
        if self._on_workers is not None:
            self._on_workers(now)

    def open_indices(self) -> list[int]:
        return [index for index in range(len(self.payloads)) if index not in self.outcomes]

    def note(self, outcome: WorkerOutcome) -> None:
        self.outcomes[outcome.index] = outcome
        if self._on_outcome is not None and self.failure is None:
            try:
                self._on_outcome(outcome)
            except Exception as error:  # noqa: BLE001  (raised again once the run has ended)
                self.failure = error

    def is_late(self) -> bool:
        """Return whether the child should have stopped by now."""
        return self.stop_by is not None and time.monotonic() > self.stop_by

    def grace_s(self) -> float | None:
        """Return how long workers may take to stop, ``None`` while they shall not; never more than before."""
        asked = GRACE_S if self.failure is not None else None
        if asked is None and self._should_stop is not None:
            try:
                asked = self._should_stop()
            except Exception as error:  # noqa: BLE001  (raised again once the run has ended)
                self.failure, asked = error, GRACE_S
        if asked is not None and (self._grace_s is None or asked < self._grace_s):
            self._grace_s = asked
            self.stop_by = time.monotonic() + asked + (_SPARE_S if asked else 0.0)
        return self._grace_s


def _outcome_from(told: dict[str, Any], indices: Sequence[int]) -> WorkerOutcome:
    error = None if told["error"] is None else unpacked_error(told["error"])
    state = State(told["state"])
    return WorkerOutcome(indices[told["index"]], state, told["result"], error, told["attempts"])


def _lost(said: dict[str, Any], address: str | None, when: str) -> RayLostError:
    reason = said.get("lost") or "its process ended"
    if address is None:
        return RayLostError(
            f"this machine's Ray was lost {when}: {reason}",
            remedy="What was complete is kept; submit again to continue. If it happens again, look for a lack of memory.",
        )
    return RayLostError(
        f"the Ray cluster at {address} was lost {when}: {reason}",
        remedy="What was complete is kept; submit again once the cluster's head runs.",
    )


class _Child:
    """The child process as its driver sees it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the child)
        program = "import json, sys; sys.path[:] = json.loads(sys.argv[1])\n"
        program += f"from {__name__} import serve; serve(int(sys.argv[2]))"
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", program, json.dumps(sys.path), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # out of reach of signals to our group
            )
        self._socket = ours
        self._heard = b""

    def tell(self, **message: Any) -> None:
        """Say one thing; a child that is gone is noticed when it is heard."""
        with suppress(OSError):
            self._socket.sendall(json.dumps(message, allow_nan=False).encode() + b"\n")

    def hear(self, timeout_s: float) -> dict[str, Any] | None:
        """Return the next thing it says, ``None`` if it says nothing in time; its end is ``{"lost": …}``."""
        while b"\n" not in self._heard:
            if not select.select([self._socket], [], [], timeout_s)[0]:
                return None
            try:
                read = self._socket.recv(1 << 20)
            except OSError:
                read = b""
            if not read:
                return {"lost": self._last_words()}
            self._heard += read
        line, _, self._heard = self._heard.partition(b"\n")
        said: dict[str, Any] = json.loads(line)
        return said

    def end(self, patience_s: float) -> None:
        """Have it end Ray in order; kill it if it does not in time."""
        try:
            self.tell(end=True)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(patience_s)
        finally:
            self.kill()
            self._socket.close()
            self._output.close()

    def kill(self) -> None:
        """End it at once. What it started follows: see ``session`` and ``keeper``."""
        self._process.kill()
        self._process.wait()

    def _last_words(self) -> str | None:
        with suppress(OSError, subprocess.TimeoutExpired):
            self._process.wait(1)
        self._output.seek(0)
        lines = self._output.read().decode(errors="replace").splitlines()
        said = [line.strip() for line in lines if line.strip()]
        return said[-1][:300] if said else None


# -- the child ------------------------------------------------------------------------------------


def serve(descriptor: int) -> None:
    """Be the child: open a session, run what is asked for, and end with the driver.

    Args:
        descriptor: Of the socket.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _ignore)  # the driver hears them; what we start shall not inherit this
    driver = _Driver(socket.socket(fileno=descriptor))
    try:
        asked = driver.next("open")
        log_folder = None if asked["log_folder"] is None else Path(asked["log_folder"])
        with ray_session(
            asked["address"],
            cpus=asked["cpus"],
            log_folder=log_folder,
            runtime_env=asked["runtime_env"],
            starting=_told_that_it_starts(driver),
        ) as session:
            driver.say(opened=asdict(session))
            threading.Thread(target=_watch, args=(session, driver), daemon=True).start()
            while (work := driver.next("run")) is not None:
                _run(work, driver)
    except AdapterlabError as error:
        driver.say(raised=packed(error))
    sys.stdout.flush()
    os._exit(0)  # Ray's own farewell at exit is done; its threads need not be waited for


def _ignore(_number: int, _frame: Any) -> None:
    return None


@dataclass
class _Stop:
    grace_s: float | None = None


class _Driver:
    """The driver as the child sees it."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._lock = threading.Lock()
        self._waiting: list[dict[str, Any]] = []
        self._news = threading.Condition()
        self.stop = _Stop()
        threading.Thread(target=self._listen, daemon=True).start()

    def say(self, **message: Any) -> None:
        """Tell the driver one thing."""
        with self._lock, suppress(OSError):
            self._socket.sendall(json.dumps(message, default=str).encode() + b"\n")

    def next(self, what: str) -> Any:
        """Wait for the next thing of a kind that the driver asks for; ``None``: it wants the end."""
        with self._news:
            self._news.wait_for(lambda: self._waiting)
            asked = self._waiting.pop(0)
        return asked.get(what)

    def _listen(self) -> None:
        with self._socket.makefile("rb") as lines:
            for line in lines:
                asked = json.loads(line)
                if "stop" in asked:
                    self.stop.grace_s = asked["stop"]
                    continue
                with self._news:
                    self._waiting.append(asked)
                    self._news.notify()
                if "end" in asked:
                    return
        os._exit(1)  # the driver is gone without a word; the keeper cleans up


def _run(asked: dict[str, Any], driver: _Driver) -> None:
    module, name = asked["trainable"]
    stop = driver.stop = _Stop()
    try:
        run_workers(
            asked["payloads"],
            getattr(importlib.import_module(module), name),
            WorkerNeeds(**asked["needs"]),
            storage=Path(asked["storage"]),
            name=asked["name"],
            on_outcome=lambda outcome: driver.say(outcome=_told(outcome)),
            should_stop=lambda: stop.grace_s,
            on_workers=lambda now: driver.say(workers=asdict(now)),
        )
    except Exception as error:  # noqa: BLE001  (the door of the process)
        driver.say(raised=packed(error if isinstance(error, AdapterlabError) else _unexpected(error)))
    else:
        driver.say(ended=True)


def _unexpected(error: Exception) -> TrainingError:
    lines = str(error).strip().splitlines() or [""]
    return TrainingError(f"Ray broke off: {type(error).__name__}: {lines[0][:300]}")


def _told(outcome: WorkerOutcome) -> dict[str, Any]:
    return {
        "index": outcome.index,
        "state": str(outcome.state),
        "result": outcome.result,
        "error": None if outcome.error is None else packed(outcome.error),
        "attempts": outcome.attempts,
    }


@contextmanager
def _told_that_it_starts(driver: _Driver) -> Iterator[None]:
    """Tell the driver that Ray is being started, for as long as it is.

    Ray keeps every other thread of this process waiting meanwhile, so only the driver can tell that it takes too long.
    """
    driver.say(starting=True)
    yield
    driver.say(starting=False)


def _watch(session: RaySession, driver: _Driver) -> None:
    """Tell the driver when Ray is gone, long before Ray itself gives up."""
    while (reason := session.lost()) is None:
        time.sleep(_WATCH_S)
    driver.say(lost=reason)
