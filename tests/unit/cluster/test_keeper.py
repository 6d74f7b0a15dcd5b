"""What is left of a private Ray is killed; who only removes its folder is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from adapterlab.cluster.keeper import end_processes

HOLD = "import os, sys, time; os.open(sys.argv[1], os.O_RDONLY); print('open', flush=True); time.sleep(60)"


@pytest.fixture
def holding():
    """Start processes that each have one path open."""
    started: list[subprocess.Popen[str]] = []

    def hold(path: Path) -> subprocess.Popen[str]:
        one = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
        started.append(one)
        assert one.stdout is not None
        assert one.stdout.readline() == "open\n"
        return one

    yield hold
    for one in started:
        one.kill()
        one.communicate()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="who has a file open is told by Linux")
def test_a_process_with_a_log_open_is_killed_and_one_that_removes_the_folder_is_not(tmp_path, holding):
    session = tmp_path / "session"
    (session / "logs").mkdir(parents=True)
    (session / "logs" / "worker.log").write_text("")
    user, remover = holding(session / "logs" / "worker.log"), holding(session / "logs")
    end_processes(session, grace_s=0)
    assert user.wait(10) == -9
    assert remover.poll() is None
