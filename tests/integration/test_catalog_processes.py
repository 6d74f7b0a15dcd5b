"""Many real processes on one catalog: started together, killed, stopped and woken."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

import catalog_process
from adapterlab.catalog.store import current_owner
from adapterlab.records import State
from catalogs import (
    BOTH_DATABASES,
    LEASE_S,
    adapter,
    catalog,
    catalog_url,
    database_url,
    key,
    let_leases_expire,
    open_at,
    postgres_catalog,
    postgres_url,
    put_adapter,
    sqlite_catalog,
)
from process_output import finish

__all__ = ["catalog", "catalog_url", "database_url", "postgres_catalog", "postgres_url", "sqlite_catalog"]

SUPPORT = Path(catalog_process.__file__).parent


class Process:
    """A running ``catalog_process.py``."""

    def __init__(self, url: str, folder: Path, action: str, *names: str) -> None:
        words = [sys.executable, str(SUPPORT / "catalog_process.py"), url, str(folder), action, *names]
        paths = os.pathsep.join([str(SUPPORT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": paths},
        )
        self.pid = self.process.pid
        self.hears("ready")

    def hears(self, word: str):
        """Return what the process says next, which must be about ``word``."""
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        return json.loads(line)[word]

    def go(self) -> None:
        """Let the process go on."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def finish(self) -> list[dict]:
        """Wait for its end and return everything it said since."""
        out, err = finish(self.process, 120)
        assert self.process.returncode == 0, err
        return [json.loads(line) for line in out.splitlines()]

    def end(self) -> None:
        """Kill it, whatever it does."""
        self.process.kill()
        self.process.wait()


@pytest.fixture
def start(tmp_path):
    """Start processes that are gone when the test is over."""
    started: list[Process] = []

    def start_one(url: str, action: str, *names: str) -> Process:
        started.append(Process(url, tmp_path, action, *names))
        return started[-1]

    yield start_one
    for one in started:
        one.end()


@pytest.mark.parametrize("database_url", BOTH_DATABASES, indirect=True)
def test_eight_processes_on_an_empty_database_train_every_adapter_exactly_once(database_url, tmp_path, start):
    names = [f"adapter-{number}" for number in range(12)]
    processes = [start(database_url, "work", *names) for _ in range(8)]
    for one in processes:
        one.go()
    said = [line for one in processes for line in one.finish()]
    trained = Counter(line["trained"] for line in said if "trained" in line)
    assert trained == dict.fromkeys(names, 1)
    assert sum("opened" in line for line in said) == 8
    with open_at(database_url, tmp_path) as catalog:
        assert len(catalog.adapters()) == len(names)
        assert catalog.verify(deep=True).healthy
        assert {one.attempts for one in catalog.status(map(key, names)).values()} == {1}


@pytest.mark.parametrize("catalog_url", BOTH_DATABASES, indirect=True)
def test_a_killed_owner_on_this_machine_is_taken_over_at_once(catalog, catalog_url, start):
    owner = start(catalog_url, "hold=3600", "a")
    owner.go()
    assert owner.hears("opened")
    assert owner.hears("claimed") == ["a"]
    assert catalog.claim_many([key("a")], owner=current_owner(), lease_s=LEASE_S) == {}
    os.kill(owner.pid, signal.SIGKILL)
    os.waitid(os.P_PID, owner.pid, os.WEXITED | os.WNOWAIT)
    assert catalog.status([key("a")])[key("a")].state is State.KILLED
    claim = catalog.claim_many([key("a")], owner=current_owner(), lease_s=LEASE_S)[key("a")]
    assert claim.token == 2
    catalog.publish_adapter(adapter("a"), b"w", claim)


@pytest.mark.parametrize("catalog_url", BOTH_DATABASES, indirect=True)
def test_a_stopped_owner_that_wakes_after_the_takeover_cannot_publish(catalog, catalog_url, start):
    late = start(catalog_url, "hold=3600", "a", "b")
    late.go()
    assert late.hears("opened")
    assert late.hears("claimed") == ["a", "b"]
    os.kill(late.pid, signal.SIGSTOP)
    # It is alive, so only its lease can end.
    assert catalog.claim_many([key("a")], owner=current_owner(), lease_s=LEASE_S) == {}
    let_leases_expire(catalog)
    claims = catalog.claim_many([key("a"), key("b")], owner=current_owner(), lease_s=LEASE_S)
    stored = catalog.publish_adapter(adapter("a"), b"new", claims[key("a")])
    os.kill(late.pid, signal.SIGCONT)
    late.go()
    assert [(said["refused"], said["error"]) for said in late.finish()] == [
        ("a", "ClaimLostError"),  # published by the new owner
        ("b", "ClaimLostError"),  # still held by the new owner
    ]
    assert catalog.find_adapter(key("a")) == stored
    assert catalog.find_adapter(key("b")) is None
    catalog.check(claims[key("b")])
    assert list(catalog.blobs.digests()) == [stored.blob]


@pytest.mark.parametrize("catalog_url", BOTH_DATABASES, indirect=True)
def test_a_short_lease_really_ends(catalog, catalog_url, start):
    owner = start(catalog_url, "hold=0.3", "a")
    owner.go()
    assert owner.hears("opened")
    assert owner.hears("claimed") == ["a"]
    os.kill(owner.pid, signal.SIGSTOP)
    won: dict = {}
    while not won:  # ends by the test's own timeout if the lease never does
        won = catalog.claim_many([key("a")], owner=current_owner(), lease_s=LEASE_S)
    assert won[key("a")].token == 2


@pytest.mark.parametrize("catalog_url", BOTH_DATABASES, indirect=True)
def test_workers_killed_at_random_points_lose_nothing_and_repeat_only_what_they_held(
    catalog, catalog_url, start
):
    names = [f"adapter-{number}" for number in range(30)]
    for victim in range(3):
        worker = start(catalog_url, "work", *names)
        worker.go()
        assert worker.hears("opened")
        for _ in range(3 + victim):
            worker.hears("trained")
        os.kill(worker.pid, signal.SIGKILL)
        os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
    last = start(catalog_url, "work", *names)
    last.go()
    last.finish()
    assert len(catalog.adapters()) == len(names)
    assert catalog.verify(deep=True).healthy
    attempts = [one.attempts for one in catalog.status(map(key, names)).values()]
    assert max(attempts) <= 4
    assert all(one.state is State.COMPLETE for one in catalog.status(map(key, names)).values())


def put_file(catalog, data: bytes) -> None:
    """Write a blob as the store does, but for waiting until the disk has it."""
    digest = hashlib.sha256(data).hexdigest()
    file = catalog.blobs.root / "sha256" / digest[:2] / f"{digest}.safetensors"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)


def stored(catalog) -> int:
    """Return how many blobs there are."""
    return sum(len(files) for _, _, files in os.walk(catalog.blobs.root / "sha256"))


@pytest.mark.parametrize("catalog_url", BOTH_DATABASES, indirect=True)
def test_collectors_beside_publishers_never_take_weights_that_get_a_row(catalog, catalog_url, start):
    names = [f"adapter-{number}" for number in range(40)]
    for name in names:
        put_file(catalog, name.encode())  # each publication reuses weights that nothing refers to
    collectors = [start(catalog_url, "collect") for _ in range(2)]
    publishers = [start(catalog_url, "share", *names[number::2]) for number in range(2)]
    for one in (*collectors, *publishers):
        one.go()
        assert one.hears("opened")
    for one in publishers:
        one.finish()
    for one in collectors:
        one.end()
    assert len(catalog.adapters(limit=None)) == len(names)
    report = catalog.verify(deep=True)
    assert (report.checked, report.missing, report.damaged) == (len(names), {}, {})
    assert [catalog.blobs.read(key(name)) for name in names] == [name.encode() for name in names]


@pytest.mark.parametrize("catalog_url", BOTH_DATABASES, indirect=True)
def test_a_killed_collector_loses_nothing_and_the_next_one_finishes(catalog, catalog_url, tmp_path, start):
    names = [f"adapter-{number}" for number in range(5)]
    for name in names:
        put_adapter(catalog, name)
    catalog.blobs.write(b"orphan 0")
    for number in (1, 4):
        for orphan in range(300):
            put_file(catalog, f"orphan {orphan}".encode())
        collector = start(catalog_url, "collect")
        collector.go()
        assert collector.hears("opened")
        while (left := stored(catalog) - len(names)) > 300 - 40 * number:
            time.sleep(0.0005)
        collector.end()
        assert left > 0, "the collector was faster than we could kill it"
    catalog.collect_garbage(grace_s=0, force=True)
    assert set(catalog.blobs.digests()) == set(map(key, names))
    assert list(catalog.blobs.others("doomed")) == []
    assert catalog.verify(deep=True).healthy
