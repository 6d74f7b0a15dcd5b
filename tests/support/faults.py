"""Faults that a sweep must survive, each drawn from a seed: processes, servers, disks, clocks, and what was stored."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import psutil
from mlflow.tracking import MlflowClient
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

import warm_platform
from sweep_record import Places
from tiny_world import environment

LEASE_S = 5.0
_LOST_ROWS = ("metrics", "coefficients", "adapters", "studies")


class Server(Protocol):
    """A server that a fault may take away."""

    def stop(self, *, kill: bool = False) -> None:
        """End it."""

    def start(self) -> None:
        """Start it again."""


class Submit:
    """One ``platform submit`` in a process group of its own, whose output goes to a file."""

    def __init__(self, home: Path, arguments: list[str], log: Path) -> None:
        self.process = warm_platform.start(["submit", *arguments], environment(home), log)
        self.pid = int(self.process.pid or 0)

    def sleep(self, seconds: float) -> bool:
        """Wait; return whether it still runs."""
        self.process.join(seconds)
        return self.process.is_alive()

    def end(self, within_s: float) -> int:
        """Wait for its end and return its exit code; kill it and fail where it takes longer."""
        if self.sleep(within_s):
            self.kill_all()
            raise AssertionError(f"submit did not end within {within_s:.0f} s")
        return int(self.process.exitcode or 0)

    def others(self, *names: str) -> list[psutil.Process]:
        """Return the processes it started whose command line begins with or holds one of the names."""
        found = []
        with suppress(psutil.Error):
            for one in psutil.Process(self.pid).children(recursive=True):
                with suppress(psutil.Error):
                    line = " ".join(one.cmdline())
                    if not names or any(name in line for name in names):
                        found.append(one)
        return found

    def kill_all(self) -> None:
        """End it and whatever it started."""
        for one in [*self.others(), psutil.Process(self.pid)]:
            with suppress(psutil.Error):
                one.resume()
                one.kill()
        self.process.join()


@dataclass
class Round:
    """What faults work on."""

    draw: random.Random
    places: Places
    launcher: str
    length_s: float
    """How long an undisturbed submit takes."""
    start: Callable[[], Submit]
    """Starts another submit of the same sweep."""
    postgres: Server | None = None
    mlflow: Server | None = None
    tmpfs: bool = False
    """Whether the home is a file system of its own, so that it can be filled."""
    did: list[str] = field(default_factory=list)
    """The faults, in words, as they happened."""
    deleted_runs: set[str] = field(default_factory=set)
    """Nodes whose MLflow runs were deleted: their epochs are gone, by request."""
    threads: list[threading.Thread] = field(default_factory=list)

    def moment(self) -> float:
        """Draw a moment of a submit, in seconds after its start: none before it has begun to look around."""
        return self.draw.uniform(0.1, 0.75) * self.length_s

    def later(self, seconds: float, work: Callable[[], None]) -> None:
        """Do something in a while, beside what goes on."""
        timer = threading.Timer(seconds, work)
        timer.start()
        self.threads.append(timer)

    def settle(self) -> None:
        """Wait until whatever was to be done later is done."""
        for thread in self.threads:
            thread.join(60)
        self.threads.clear()


# -- while a submit runs --------------------------------------------------------------------------------


def kill_driver(round_: Round, submit: Submit) -> None:
    """``kill -9`` the process that submits."""
    submit.process.kill()


def _kill_one(round_: Round, submit: Submit, *names: str) -> None:
    victims = submit.others(*names)
    if victims:
        with suppress(psutil.Error):
            round_.draw.choice(victims).kill()


def kill_worker(round_: Round, submit: Submit) -> None:
    """``kill -9`` a process that trains."""
    _kill_one(round_, submit, "ray::ImplicitFunc", "ray::IDLE")


def kill_raylet(round_: Round, submit: Submit) -> None:
    """``kill -9`` Ray's raylet."""
    _kill_one(round_, submit, "/raylet/raylet ")


def kill_gcs(round_: Round, submit: Submit) -> None:
    """``kill -9`` Ray's head service."""
    _kill_one(round_, submit, "/gcs_server ")


def signal_group(round_: Round, submit: Submit) -> None:
    """Send a signal to the whole process group, as a terminal or ``timeout`` does."""
    number = round_.draw.choice([signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    round_.did.append(number.name)
    with suppress(ProcessLookupError):
        os.killpg(submit.pid, number)


def stop_clock(round_: Round, submit: Submit) -> None:
    """Stop the driver and its workers for longer than a lease, while a second driver takes over; then go on."""
    stopped = [psutil.Process(submit.pid), *submit.others("ray::ImplicitFunc")]
    for one in stopped:
        with suppress(psutil.Error):
            one.suspend()
    second = round_.start()
    second.sleep(LEASE_S + round_.draw.uniform(1.0, 5.0))
    for one in stopped:
        with suppress(psutil.Error):
            one.resume()
    second.end(200)


def fill_disk(round_: Round, submit: Submit) -> None:
    """Fill the home's file system for a while."""
    ballast = round_.places.home / "ballast"
    with suppress(OSError), ballast.open("wb") as file:
        while True:
            file.write(b"\0" * 65536)
            file.flush()
    submit.sleep(round_.draw.uniform(1.0, 4.0))
    ballast.unlink()


def _take_away(round_: Round, server: Server, *, kill: bool) -> None:
    server.stop(kill=kill)
    round_.later(round_.draw.uniform(0.0, 4.0), server.start)


def restart_postgres(round_: Round, submit: Submit) -> None:
    """Shut PostgreSQL down in order, and start it a few seconds later."""
    assert round_.postgres is not None
    _take_away(round_, round_.postgres, kill=False)


def kill_postgres(round_: Round, submit: Submit) -> None:
    """``kill -9`` PostgreSQL, and start it a few seconds later."""
    assert round_.postgres is not None
    _take_away(round_, round_.postgres, kill=True)


def kill_mlflow(round_: Round, submit: Submit) -> None:
    """``kill -9`` the MLflow server, and start it a few seconds later."""
    assert round_.mlflow is not None
    _take_away(round_, round_.mlflow, kill=True)


# -- between submits ------------------------------------------------------------------------------------


def delete_blob(round_: Round) -> None:
    """Delete the weights of a result."""
    if blobs := _blobs(round_):
        round_.draw.choice(blobs).unlink()


def cut_blob(round_: Round) -> None:
    """Cut the weights of a result short."""
    if blobs := _blobs(round_):
        blob = round_.draw.choice(blobs)
        blob.chmod(0o600)
        blob.write_bytes(blob.read_bytes()[:-7])


def _blobs(round_: Round) -> list[Path]:
    return sorted((round_.places.home / "blobs").rglob("*.safetensors"))


def delete_run(round_: Round) -> None:
    """Delete the run of a step, or of the sweep, in MLflow."""
    client = MlflowClient(tracking_uri=round_.places.tracking)
    if client.get_experiment_by_name(round_.places.experiment) is None:
        return
    runs = [run for run in round_.places.runs() if run.data.tags["adapterlab.kind"] != "trial"]
    if not runs:
        return
    run = round_.draw.choice(sorted(runs, key=lambda one: one.data.tags["adapterlab.node"]))
    round_.did.append(run.data.tags["adapterlab.kind"])
    round_.deleted_runs.add(run.data.tags["adapterlab.node"])
    client.delete_run(run.info.run_id)


def delete_rows(round_: Round) -> None:
    """Delete rows of the catalog behind its back; ``doctor --repair`` makes what they belong to be done again."""
    table = round_.draw.choice(_LOST_ROWS)
    round_.did.append(table)
    url = round_.places.catalog
    if url.startswith("sqlite"):
        rows = f"{table} WHERE rowid IN (SELECT rowid FROM {table} LIMIT 1)"
    else:
        rows = f"adapterlab.{table} WHERE ctid IN (SELECT ctid FROM adapterlab.{table} LIMIT 1)"
    engine = create_engine(url)
    with suppress(DBAPIError), engine.begin() as connection:  # there may be no catalog yet
        connection.execute(text(f"DELETE FROM {rows}"))
    engine.dispose()
    environment_ = {
        **environment(round_.places.home),
        "ADAPTERLAB_CATALOG": url,
        "ADAPTERLAB_STUDIES": round_.places.studies,
        "MLFLOW_TRACKING_URI": round_.places.tracking,
    }
    warm_platform.start(["doctor", "--repair"], environment_, round_.places.home.parent / "log").join()


WHILE_IT_RUNS = {
    "kill driver": kill_driver,
    "kill worker": kill_worker,
    "kill raylet": kill_raylet,
    "kill gcs": kill_gcs,
    "signal": signal_group,
    "stop clock": stop_clock,
    "full disk": fill_disk,
    "restart postgres": restart_postgres,
    "kill postgres": kill_postgres,
    "kill mlflow": kill_mlflow,
}
BETWEEN = {
    "delete blob": delete_blob,
    "cut blob": cut_blob,
    "delete run": delete_run,
    "delete rows": delete_rows,
}


def possible(round_: Round) -> list[str]:
    """Return the faults that can happen to a round's running submit."""
    names = ["kill driver", "signal", "stop clock"]
    if round_.launcher == "ray":
        names += ["kill worker", "kill raylet", "kill gcs"] * 2  # the rest happens without Ray, too
    if round_.tmpfs:
        names += ["full disk"]
    if round_.postgres is not None:
        names += ["restart postgres", "kill postgres"]
    if round_.mlflow is not None:
        names += ["kill mlflow"]
    return names


def mounted(folder: Path, megabytes: int) -> bool:
    """Mount a small file system of its own at a folder; ``False`` where that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    options = ["-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "tmpfs", str(folder)]
    return (
        shutil.which("mount") is not None
        and subprocess.run(["mount", *options], capture_output=True, check=False).returncode == 0
    )


def unmount(folder: Path) -> None:
    """Unmount it, whoever still has a file open there."""
    subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)
