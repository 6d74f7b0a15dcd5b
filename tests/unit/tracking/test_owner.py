"""A server ends with the process that started it, also with one that was killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

_OWNER = """\
import time
from adapterlab.owners import current_owner
print(current_owner(), flush=True)
time.sleep(600)
"""
_SERVER = """\
import sys, time
from adapterlab.tracking.owner import end_with
print("up", flush=True)  # first, since the owner may be gone already
end_with(sys.argv[1])
time.sleep(600)
"""


@contextmanager
def _owner() -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen([sys.executable, "-c", _OWNER], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


@contextmanager
def _server_of(owner: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVER, owner], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_server_ends_once_its_owner_was_killed():
    with _owner() as (process, owner), _server_of(owner) as server:
        assert server.poll() is None
        process.kill()
        process.wait()
        assert server.wait(60) == -15


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's /proc")
def test_a_server_ends_once_its_owner_was_killed_though_nobody_has_reaped_it():
    with _owner() as (process, owner), _server_of(owner) as server:
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert server.wait(60) == -15


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's /proc")
def test_a_server_ends_though_a_later_process_has_its_owner_s_number():
    with _owner() as (_, owner):
        earlier = json.dumps({**json.loads(owner), "started": 1})
        with _server_of(earlier) as server:
            assert server.wait(60) == -15
