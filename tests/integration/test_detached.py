"""``submit --detach``, ``watch`` and ``logs`` as people use them, with real processes and a real terminal that goes."""

from __future__ import annotations

import json
import os
import pty
import shlex
import signal
import stat
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from process_output import finish
from tiny_world import command, environment, platform, start_platform, write_world

IN_PROCESS = ("--set", "cluster.launcher='in_process'")
LONG = ("--set", "source.max_epochs=400", "--set", "source.patience=400", "--set", "combiner.kind=[]")
TIMEOUT_S = 120


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("world"))


def wait_for(happened, what: str) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not happened():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.2)


def state(home: Path) -> str | None:
    (sweep,) = json.loads(platform(home, "status", "--json").stdout) or [{"state": None}]
    return sweep["state"]


def detached(home: Path, spec: Path, *words: str) -> dict[str, object]:
    """Submit, and return what it says of the sweep that goes on."""
    done = platform(home, "submit", str(spec), *IN_PROCESS, *words, "--detach", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_detached_sweep_outlives_its_terminal(spec, tmp_path):
    home = tmp_path / "home"
    (tmp_path / "said").touch()
    master, slave = pty.openpty()
    typed = shlex.join(command("submit", str(spec), *IN_PROCESS, "--detach"))
    shell = subprocess.Popen(
        # Opening a terminal makes it the new session's own: closing the other end hangs up.
        [
            "sh",
            "-c",
            f"exec <{os.ttyname(slave)} >{tmp_path / 'said'} 2>&1; {typed}; echo ended $?; sleep 600",
        ],
        env=environment(home),
        start_new_session=True,
    )
    os.close(slave)
    wait_for(lambda: "ended" in (tmp_path / "said").read_text(), "the detaching")
    said = (tmp_path / "said").read_text()
    assert "ended 0" in said
    assert " watch " in said  # as it can be typed here
    os.close(master)
    assert shell.wait(TIMEOUT_S) == -signal.SIGHUP
    with suppress(ProcessLookupError):
        os.killpg(shell.pid, signal.SIGHUP)  # whoever is left of the old group
    key = next(line.split()[1] for line in said.splitlines() if line.startswith("tiny "))
    watched = platform(home, "watch", key)
    assert watched.returncode == 0, watched.stderr
    assert f"tiny {key} complete" in watched.stdout
    (log,) = (home / "logs" / "sweeps").iterdir()
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert stat.S_IMODE(log.parent.stat().st_mode) == 0o700
    told = platform(home, "logs", "tiny", "--follow").stdout
    assert "--- submitted" in told
    assert "rte · scalearn: complete" in told
    assert "trained 2 source adapters, 2 studies, 4 final runs" in told
    assert platform(home, "logs", "tiny", "-n", "1").stdout == told.splitlines()[-1] + "\n"
    again = platform(home, "submit", str(spec), *IN_PROCESS, "--detach")
    assert again.returncode == 0
    assert "Nothing to train" in again.stderr


def test_what_keeps_a_detached_sweep_from_beginning_is_said_where_it_was_typed(spec, tmp_path):
    wrong = platform(tmp_path / "home", "submit", str(spec), "--set", "search.trials=none", "--detach")
    assert (wrong.returncode, wrong.stdout) == (3, "")
    assert "expected a whole number" in wrong.stderr
    data = spec.parent / "data" / "glue" / "rte" / "train.jsonl"
    whole = data.read_text()
    try:
        data.write_text(whole + "{\n")
        broken = platform(tmp_path / "home", "submit", str(spec), *IN_PROCESS, "--detach")
    finally:
        data.write_text(whole)
    assert broken.returncode == 3
    assert "train.jsonl" in broken.stderr
    assert not (tmp_path / "home" / "logs" / "sweeps").exists()


@pytest.mark.slow
def test_who_started_it_may_be_killed_before_it_has_begun(spec, tmp_path):
    home = tmp_path / "home"
    parent = start_platform(home, "submit", str(spec), *IN_PROCESS, "--detach")
    wait_for(lambda: psutil.Process(parent.pid).children(), "the start of the child")
    os.killpg(parent.pid, signal.SIGKILL)
    parent.wait(TIMEOUT_S)
    wait_for(lambda: state(home) == "complete", "the end of the sweep")


@pytest.mark.slow
def test_the_spec_may_come_from_standard_input(spec, tmp_path):
    text = spec.read_text().replace('"data"', json.dumps(str(spec.parent / "data")))
    text = text.replace("folder:backbone", f"folder:{spec.parent / 'backbone'}")
    done = subprocess.run(
        command("submit", "-", *IN_PROCESS, "--detach", "--json"),
        input=text, env=environment(tmp_path / "home"), capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    key = json.loads(done.stdout)["key"]
    assert platform(tmp_path / "home", "watch", key).returncode == 0


@pytest.mark.slow
def test_a_watched_sweep_goes_on_after_ctrl_c_and_ends_with_its_own_code_when_cancelled(spec, tmp_path):
    home = tmp_path / "home"
    begun = detached(home, spec, *LONG)
    watching = start_platform(home, "watch", str(begun["key"]))
    assert "running" in watching.stdout.readline()
    watching.send_signal(signal.SIGINT)
    said, _ = finish(watching, TIMEOUT_S)
    assert watching.returncode == 130
    assert "tiny goes on." in said
    assert state(home) == "running"
    second = detached(home, spec, *LONG)
    assert second["owns"] is False
    assert platform(home, "cancel", "tiny").returncode == 0
    watched = platform(home, "watch", "tiny")
    assert watched.returncode == 130
    assert "cancelled" in watched.stdout
    assert state(home) == "cancelled"
    (sweep,) = json.loads(platform(home, "status", "--json").stdout)
    assert "running" not in {step["state"] for step in sweep["steps"]}
    wait_for(lambda: not psutil.pid_exists(second["pid"]), "the end of the one that waited")


@pytest.mark.slow
def test_a_sweep_stopped_by_a_signal_is_killed_and_says_which(spec, tmp_path):
    home = tmp_path / "home"
    begun = detached(home, spec, *LONG)
    os.kill(int(begun["pid"]), signal.SIGTERM)
    assert platform(home, "watch", "tiny").returncode == 143
    (sweep,) = json.loads(platform(home, "status", "--json").stdout)
    assert (sweep["state"], sweep["reason"]) == ("killed", "stopped by SIGTERM")
