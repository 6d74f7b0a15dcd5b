"""Faults that a sweep must survive, each drawn from a seed: processes, servers, disks, clocks, and what was stored."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
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
_LOST_ROWS = (
    *("adapters", "joint_runs", "selections", "studies", "transfers"),
    *("metrics", "coefficients", "lineage", "progress", "sweep_steps", "tracking_runs"),
)


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

    def other(self, draw: random.Random, *names: str) -> psutil.Process | None:
        """Wait for a process of such a name, and draw one; ``None`` where the submit ends without."""
        while not (found := self.others(*names)):
            if not self.sleep(0.1):
                return None
        return draw.choice(found)

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

    @property
    def most_s(self) -> float:
        """How long a submit may take, in seconds: on a busy machine an undisturbed one takes minutes already."""
        return max(200.0, 4 * self.length_s)

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


# -- while a submit runs: each returns whether there was what it is to hit ---------------------------------


def kill_driver(round_: Round, submit: Submit) -> bool:
    """``kill -9`` the process that submits."""
    submit.process.kill()
    return True


def _kill_one(round_: Round, submit: Submit, *names: str) -> bool:
    victim = submit.other(round_.draw, *names)
    if victim is None:
        return False
    try:
        victim.kill()
    except psutil.Error:
        return False
    return True


def kill_worker(round_: Round, submit: Submit) -> bool:
    """``kill -9`` a process that trains, or will."""
    return _kill_one(round_, submit, "ray::ImplicitFunc", "ray::IDLE")


def kill_raylet(round_: Round, submit: Submit) -> bool:
    """``kill -9`` Ray's raylet."""
    return _kill_one(round_, submit, "/raylet/raylet ")


def kill_gcs(round_: Round, submit: Submit) -> bool:
    """``kill -9`` Ray's head service."""
    return _kill_one(round_, submit, "/gcs_server ")


def signal_group(round_: Round, submit: Submit) -> bool:
    """Send a signal to the whole process group, as a terminal or ``timeout`` does."""
    number = round_.draw.choice([signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    round_.did.append(number.name)
    try:
        os.killpg(submit.pid, number)
    except ProcessLookupError:
        return False
    return True


def stop_clock(round_: Round, submit: Submit) -> bool:
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
    second.end(round_.most_s)
    return True


def collect_garbage(round_: Round, submit: Submit) -> bool:
    """Remove, beside the submit, all weights that no record refers to, however young."""
    _platform(round_, "catalog", "gc", "--grace", "0")
    return True


def fill_disk(round_: Round, submit: Submit) -> bool:
    """Fill the home's file system for a while."""
    ballast = round_.places.home / "ballast"
    with suppress(OSError), ballast.open("wb") as file:
        while True:
            file.write(b"\0" * 65536)
            file.flush()
    submit.sleep(round_.draw.uniform(1.0, 4.0))
    ballast.unlink()
    return True


def _take_away(round_: Round, server: Server, *, kill: bool) -> bool:
    server.stop(kill=kill)
    round_.later(round_.draw.uniform(0.0, 4.0), server.start)
    return True


def restart_postgres(round_: Round, submit: Submit) -> bool:
    """Shut PostgreSQL down in order, and start it a few seconds later."""
    assert round_.postgres is not None
    return _take_away(round_, round_.postgres, kill=False)


def kill_postgres(round_: Round, submit: Submit) -> bool:
    """``kill -9`` PostgreSQL, and start it a few seconds later."""
    assert round_.postgres is not None
    return _take_away(round_, round_.postgres, kill=True)


def kill_mlflow(round_: Round, submit: Submit) -> bool:
    """``kill -9`` the MLflow server, and start it a few seconds later."""
    assert round_.mlflow is not None
    return _take_away(round_, round_.mlflow, kill=True)


# -- between submits: likewise ----------------------------------------------------------------------------


def delete_blob(round_: Round) -> bool:
    """Delete the weights of a result, or what a run would go on from."""
    if blobs := _blobs(round_):
        round_.draw.choice(blobs).unlink()
    return bool(blobs)


def cut_blob(round_: Round) -> bool:
    """Cut the weights of a result short, or what a run would go on from."""
    if blobs := _blobs(round_):
        blob = round_.draw.choice(blobs)
        blob.chmod(0o600)
        blob.write_bytes(blob.read_bytes()[:-7])
    return bool(blobs)


def _blobs(round_: Round) -> list[Path]:
    return sorted((round_.places.home / "blobs").rglob("*.safetensors"))


def delete_run(round_: Round) -> bool:
    """Delete the run of a step, or of the sweep, in MLflow."""
    client = MlflowClient(tracking_uri=round_.places.tracking)
    if client.get_experiment_by_name(round_.places.experiment) is None:
        return False
    runs = [run for run in round_.places.runs() if run.data.tags["adapterlab.kind"] != "trial"]
    if not runs:
        return False
    run = round_.draw.choice(sorted(runs, key=lambda one: one.data.tags["adapterlab.node"]))
    round_.did.append(run.data.tags["adapterlab.kind"])
    round_.deleted_runs.add(run.data.tags["adapterlab.node"])
    client.delete_run(run.info.run_id)
    return True


def delete_rows(round_: Round) -> bool:
    """Delete a row of the catalog behind its back; ``doctor --repair`` makes what it belongs to be done again."""
    share = round_.draw.random()
    engine = create_engine(round_.places.catalog)
    sqlite = engine.dialect.name == "sqlite"
    try:
        with engine.begin() as connection:
            if not sqlite:  # which asks for no foreign keys here
                connection.exec_driver_sql("SET session_replication_role = replica")
            prefix, place = ("", "rowid") if sqlite else ("adapterlab.", "ctid")
            counts = {
                table: connection.execute(text(f"SELECT count(*) FROM {prefix}{table}")).scalar_one()
                for table in _LOST_ROWS
            }
            filled = [table for table, count in counts.items() if count]
            if not filled:
                return False
            table = round_.draw.choice(filled)
            row = f"SELECT {place} FROM {prefix}{table} LIMIT 1 OFFSET {int(share * counts[table])}"
            connection.execute(text(f"DELETE FROM {prefix}{table} WHERE {place} IN ({row})"))
    except DBAPIError:  # there is no catalog yet
        return False
    finally:
        engine.dispose()
    round_.did.append(f"of {table}")
    _platform(round_, "doctor", "--repair")
    return True


def _platform(round_: Round, *arguments: str) -> None:
    """Run another command on the round's stores to its end."""
    places = round_.places
    environment_ = {
        **environment(places.home),
        "ADAPTERLAB_CATALOG": places.catalog,
        "ADAPTERLAB_STUDIES": places.studies,
        "MLFLOW_TRACKING_URI": places.tracking,
    }
    warm_platform.start(list(arguments), environment_, places.home.parent / "log").join(120)


WHILE_IT_RUNS = {
    "kill driver": kill_driver,
    "kill worker": kill_worker,
    "kill raylet": kill_raylet,
    "kill gcs": kill_gcs,
    "signal": signal_group,
    "stop clock": stop_clock,
    "collect garbage": collect_garbage,
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
    names = ["kill driver", "signal", "stop clock", "collect garbage"]
    if round_.launcher == "ray":
        names += ["kill worker", "kill raylet", "kill gcs"] * 3  # the rest happens without Ray, too
    if round_.tmpfs:
        names += ["full disk"] * 2
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


def stop_between_transactions(process: subprocess.Popen[str], database: Path) -> None:
    """Stop a process while it does not hold a SQLite file, which it would keep everybody out of."""
    with closing(sqlite3.connect(database, timeout=0.1)) as file:
        while True:
            process.send_signal(signal.SIGSTOP)
            try:
                file.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                process.send_signal(signal.SIGCONT)
                time.sleep(0.05)
            else:
                return file.rollback()


def wait_for_rows(database: Path, table: str, count: int = 1) -> None:
    """Wait until a table of a SQLite file has so many rows; neither need be there yet."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with (
            suppress(sqlite3.Error),
            closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as file,
        ):
            if file.execute(f"SELECT count(*) FROM {table}").fetchone()[0] >= count:
                return
        time.sleep(0.02)
    raise AssertionError(f"{table} of {database.name} did not come to {count} rows")
