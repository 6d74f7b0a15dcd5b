"""A driver process for the tests of Ray: opens a session, runs jobs, tells what happens line by line.

Arguments: what to do, a scratch folder, and the seconds workers may take to stop.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import ray_driver  # as workers find it

from adapterlab.cluster.placement import WorkerNeeds
from adapterlab.cluster.ray_process import open_ray
from adapterlab.cluster.stop_signals import StopSignals
from adapterlab.errors import CancelledError, DataError
from adapterlab.records import RunInWork


def tell(line: str) -> None:
    """Write one line for the test to read."""
    sys.__stdout__.write(f"{line}\n")
    sys.__stdout__.flush()


def work(payload: dict[str, Any], stop: Callable[[], bool], in_work: Callable[[Any], None]) -> dict[str, Any]:
    """Do what a payload says."""
    begun = Path(payload["folder"]) / f"begun-{payload['name']}"
    attempt = len(begun.read_text()) if begun.exists() else 0
    begun.write_text("x" * (attempt + 1))
    begun.with_name(f"process-{payload['name']}-{attempt}").write_text(str(os.getpid()))
    if attempt < payload.get("kills", 0):
        os.kill(os.getpid(), 9)
    if attempt < payload.get("hung", 1):
        hang(payload.get("hangs"), in_work)
    if attempt < payload.get("starves", 0):
        eaten = bytearray(b"x") * 5_000_000_000
        time.sleep(60)
        del eaten
    if payload.get("raises") == "ours":
        raise DataError("train.jsonl:3: no label", remedy="Add one.", line=3)
    if payload.get("raises") == "theirs":
        return {"value": 1 / 0}
    if payload.get("raises") == "exit":
        sys.exit(7)
    if payload.get("raises") == "nothing JSON can say":
        return {"value": {1, 2}}
    waits = attempt < payload.get("patient", 1000)
    until = time.monotonic() + (payload.get("seconds", 0) if waits else 0)
    while time.monotonic() < until:
        if not payload.get("stubborn") and stop():
            raise CancelledError("stopped at the end of an epoch")
        time.sleep(0.05)
    found = {"variable": os.environ[payload["variable"]]} if "variable" in payload else {}
    return {"name": payload["name"], "attempt": attempt, "threads": os.environ["OMP_NUM_THREADS"], **found}


def hang(how: str | None, in_work: Callable[[Any], None]) -> None:
    """Never come back, in one of the ways in which that happens."""
    if how is not None:
        in_work({"one": RunInWork("", "done"), "two": RunInWork("k2", "source glue/rte")})
        in_work({"two": RunInWork("k2", "source glue/rte")})
    if how == "stopped":
        os.kill(os.getpid(), signal.SIGSTOP)
    if how == "C":
        ctypes.PyDLL(None).sleep(1000)  # and no other thread has its turn
    while how is not None:
        pass


def main() -> None:
    """Open a session and do what the first argument says."""
    what, folder, grace_s = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
    if what == "starving":  # Ray kills a worker where this machine's memory is used up to here
        memory = psutil.virtual_memory()
        used = memory.total - memory.available + 3_000_000_000
        os.environ["RAY_memory_usage_threshold"] = f"{used / memory.total:.4f}"  # noqa: SIM112 (its name)
    signals = StopSignals()
    with signals.heard(), open_ray() as ray:
        tell(f"session {ray.session.address}")
        if what == "empty":
            return
        payloads = [
            {"name": str(index), "folder": str(folder), "seconds": 120, "stubborn": what == "stubborn"}
            for index in range(2)
        ]
        if what == "starving":
            payloads = [{"name": "0", "folder": str(folder), "starves": 1}]
        if what == "quick":
            payloads = [{"name": "0", "folder": str(folder)}]
        outcomes = ray.run(
            payloads,
            ray_driver.work,
            WorkerNeeds(side_by_side=1),
            storage=folder,
            name="test",
            on_outcome=lambda outcome: tell(f"ended {outcome.index} {outcome.state}"),
            should_stop=lambda: None if not signals.count else 0 if signals.count > 1 else grace_s,
        )
        if signals.count:
            tell(f"cancelled {signals.first}")
            sys.exit(130)
        tell(f"outcomes {[str(outcome.state) for outcome in outcomes]}")


if __name__ == "__main__":
    main()
