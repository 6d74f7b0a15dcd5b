"""A driver process for the tests of Ray: opens a session, runs jobs, tells what happens line by line.

Arguments: what to do, a scratch folder, and the seconds workers may take to stop.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from adapterlab.cluster.session import ray_session
from adapterlab.cluster.tune import run_workers, stop_requested
from adapterlab.errors import CancelledError, DataError


def tell(line: str) -> None:
    """Write one line for the test to read."""
    sys.__stdout__.write(f"{line}\n")
    sys.__stdout__.flush()


def work(job: dict[str, Any]) -> dict[str, Any]:
    """Do what a job says."""
    begun = Path(job["folder"]) / f"begun-{job['name']}"
    attempt = len(begun.read_text()) if begun.exists() else 0
    begun.write_text("x" * (attempt + 1))
    if attempt < job.get("kills", 0):
        os.kill(os.getpid(), 9)
    if attempt < job.get("starves", 0):
        eaten = bytearray(b"x") * 5_000_000_000
        time.sleep(60)
        del eaten
    if job.get("raises") == "ours":
        raise DataError("train.jsonl:3: no label", remedy="Add one.", line=3)
    if job.get("raises") == "theirs":
        return {"value": 1 / 0}
    if job.get("raises") == "exit":
        sys.exit(7)
    if job.get("raises") == "nothing JSON can say":
        return {"value": {1, 2}}
    until = time.monotonic() + job.get("seconds", 0)
    while time.monotonic() < until:
        if not job.get("stubborn") and stop_requested():
            raise CancelledError("stopped at the end of an epoch")
        time.sleep(0.05)
    return {"name": job["name"], "attempt": attempt, "threads": os.environ["OMP_NUM_THREADS"]}


def main() -> None:
    """Open a session and do what the first argument says."""
    what, folder, grace_s = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
    if what == "starving":  # Ray kills a worker where this machine's memory is used up to here
        memory = psutil.virtual_memory()
        used = memory.total - memory.available + 3_000_000_000
        os.environ["RAY_memory_usage_threshold"] = f"{used / memory.total:.4f}"  # noqa: SIM112 (its name)
    with ray_session() as session:
        tell(f"session {session.address}")
        if what == "empty":
            return
        jobs = [
            {"name": str(index), "folder": str(folder), "seconds": 120, "stubborn": what == "stubborn"}
            for index in range(2)
        ]
        if what == "starving":
            jobs = [{"name": "0", "folder": str(folder), "starves": 1}]
        if what == "quick":
            jobs = [{"name": "0", "folder": str(folder)}]
        try:
            outcomes = run_workers(
                jobs,
                work,
                cpus=1,
                concurrency=1,
                storage=folder,
                name="test",
                grace_s=grace_s,
                on_result=lambda outcome: tell(f"ended {outcome.index} {outcome.state}"),
            )
        except CancelledError as error:
            tell(f"cancelled {error.details['signal']}")
            sys.exit(error.exit_code)
        tell(f"outcomes {[str(outcome.state) for outcome in outcomes]}")


if __name__ == "__main__":
    main()
