"""Owners: real processes, alive, gone, and replaced by others of the same number."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from adapterlab.owners import current_owner, owner_is_dead

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's /proc")

SCRIPT = """
import sys, time
from adapterlab.owners import current_owner
print(current_owner(), flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def other():
    """A living process and its owner text."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield process, process.stdout.readline().strip()
    process.kill()
    process.communicate()


def test_this_process_is_alive():
    assert not owner_is_dead(current_owner())


def test_an_owner_names_its_process():
    facts = json.loads(current_owner())
    assert facts["pid"] == os.getpid()
    assert set(facts) == {"host", "boot_id", "pid_ns", "pid", "started"}


def test_another_process_is_dead_once_it_is_killed_even_before_it_is_reaped(other):
    process, owner = other
    assert not owner_is_dead(owner)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, but still a zombie
    assert owner_is_dead(owner)
    process.wait()
    assert owner_is_dead(owner)


@pytest.mark.parametrize(
    ("change", "dead"),
    [
        ({"started": 1}, True),  # the number now belongs to a later process
        ({"pid": 2**22 + 1}, True),  # above the greatest number Linux gives
        ({"boot_id": "another boot", "started": 1}, False),
        ({"pid_ns": "pid:[1]", "started": 1}, False),
        ({"boot_id": "", "started": 1}, False),
        ({"started": None}, False),
        ({"pid": "x"}, False),
    ],
)
def test_an_owner_is_dead_only_if_that_is_certain(change, dead):
    assert owner_is_dead(json.dumps(json.loads(current_owner()) | change)) is dead


@pytest.mark.parametrize("text", ["", "someone", "[]", "{}", "null", '{"pid": 1}'])
def test_an_owner_of_another_form_is_never_declared_dead(text):
    assert not owner_is_dead(text)


def test_a_forked_child_is_its_own_owner():
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, current_owner().encode())
        os._exit(0)
    os.close(writing)
    owner = os.read(reading, 10_000).decode()
    os.waitpid(child, 0)
    assert json.loads(owner)["pid"] == child
    assert owner != current_owner()
    assert owner_is_dead(owner)
