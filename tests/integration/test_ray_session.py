"""A private Ray is quiet, keeps to loopback, and leaves nothing behind however it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from filelock import FileLock

import adapterlab.cluster.session as session_module
from adapterlab.cluster import ray_process
from adapterlab.cluster.session import ray_session
from adapterlab.errors import ConflictError, UnavailableError, UsageError
from process_output import finish

DRIVER = Path(__file__).with_name("ray_driver.py")
SOURCES = Path(session_module.__file__).parents[2]


class Driver:
    """A driver process in a process group, a home and a temporary folder of its own."""

    def __init__(self, folder: Path, temporary: Path, what: str, grace_s: float = 20) -> None:
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        hidden = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE", "RAY_ADDRESS"}
        inherited = {name: value for name, value in os.environ.items() if name not in hidden}
        self.folder = folder
        self.temporary = temporary
        self.process = subprocess.Popen(
            [sys.executable, DRIVER, what, folder, str(grace_s)],
            env={
                **inherited,
                "PYTHONPATH": f"{SOURCES}:{DRIVER.parent}",
                "HOME": str(self.home),
                "TMPDIR": str(temporary),
            },
            stdout=subprocess.PIPE,
            stderr=(folder / "stderr").open("w"),
            text=True,
            start_new_session=True,
        )

    def wait_for_line(self, beginning: str) -> str:
        """Return the next line that begins so."""
        for line in self.process.stdout:
            if line.startswith(beginning):
                return line
        raise AssertionError(f"ended without {beginning!r}: {(self.folder / 'stderr').read_text()}")

    def wait_for_work(self) -> None:
        """Wait until a worker has begun its job."""
        begins = time.monotonic()
        while not list(self.folder.glob("begun-*")):
            assert time.monotonic() - begins < 90
            assert self.process.poll() is None, (self.folder / "stderr").read_text()
            time.sleep(0.05)

    def descendants(self) -> list[psutil.Process]:
        """Return every process it has started, directly or not."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self) -> tuple[int, str, str]:
        """Wait for its end; return code, rest of stdout, and stderr."""
        output, _ = finish(self.process, 120)
        return self.process.returncode, output, (self.folder / "stderr").read_text()


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A temporary folder with a short name: Ray's sockets lie below it."""
    with tempfile.TemporaryDirectory(prefix="al") as folder:
        yield Path(folder)


@pytest.fixture
def start(tmp_path, temporary) -> Iterator[Callable[..., Driver]]:
    """Start drivers that share a temporary folder."""
    drivers: list[Driver] = []

    def begin(what: str, **options) -> Driver:
        drivers.append(Driver(tmp_path / str(len(drivers)), temporary, what, **options))
        return drivers[-1]

    yield begin
    for driver in drivers:
        if driver.process.poll() is None:
            for process in [*driver.descendants(), psutil.Process(driver.process.pid)]:
                process.kill()
        driver.process.communicate()


def all_gone(processes: list[psutil.Process], within_s: float) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=within_s)
    return not [process for process in alive if process.is_running() and process.status() != "zombie"]


def test_a_session_is_quiet_keeps_to_loopback_and_leaves_nothing(start):
    """Also: no token or other file in the user's home, and no helper processes of no use."""
    driver = start("quick")
    assert driver.wait_for_line("session").startswith("session 127.0.0.1:")
    driver.wait_for_work()
    started = driver.descendants()
    listening = {
        connection.laddr.ip
        for process in [*started, psutil.Process(driver.process.pid)]
        for connection in connections(process)
        if connection.status == psutil.CONN_LISTEN
    }
    code, output, errors = driver.end()
    assert (code, output) == (0, "ended 0 complete\noutcomes ['complete']\n"), errors
    assert errors == ""
    assert listening
    assert {address.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}
    assert all_gone(started, 5)
    assert list(driver.temporary.glob("adapterlab-ray-*")) == []
    assert not (driver.home / ".ray").exists()
    assert not (driver.home / "ray_results").exists()


def connections(process: psutil.Process) -> list:
    try:
        return process.net_connections(kind="tcp")
    except psutil.NoSuchProcess:
        return []


@pytest.mark.slow
def test_ctrl_c_stops_the_workers_at_their_next_epoch_and_leaves_nothing(start):
    driver = start("work")
    driver.wait_for_work()
    started = driver.descendants()
    os.killpg(driver.process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    code, output, errors = driver.end()
    assert code == 130, errors
    assert "ended 0 killed" in output
    assert output.endswith("cancelled SIGINT\n")
    assert errors == ""
    assert all_gone(started, 5)
    assert list(driver.temporary.glob("adapterlab-ray-*")) == []


@pytest.mark.slow
def test_workers_that_do_not_stop_are_killed_after_the_grace_period(start):
    driver = start("stubborn", grace_s=1)
    driver.wait_for_work()
    started = driver.descendants()
    driver.process.send_signal(signal.SIGTERM)
    code, output, errors = driver.end()
    assert code == 130, errors
    assert output.endswith("cancelled SIGTERM\n")
    assert all_gone(started, 5)


@pytest.mark.slow
def test_a_second_ctrl_c_does_not_wait_for_the_grace_period(start):
    driver = start("stubborn", grace_s=1000)
    driver.wait_for_work()
    started = driver.descendants()
    driver.process.send_signal(signal.SIGINT)
    time.sleep(1)
    driver.process.send_signal(signal.SIGINT)
    code, output, _ = driver.end()
    assert (code, output.splitlines()[-1]) == (130, "cancelled SIGINT")
    assert all_gone(started, 5)


@pytest.mark.slow
@pytest.mark.skipif(psutil.virtual_memory().available < 8e9, reason="takes 5 GB for a moment")
def test_a_worker_that_ray_kills_for_its_memory_is_started_again(start):
    """Tune knows no such death; the run would break off, and the other workers' work with it."""
    driver = start("starving")
    code, output, errors = driver.end()
    assert code == 0, errors
    assert "ended 0 complete" in output
    assert len((driver.folder / "begun-0").read_text()) == 2


@pytest.mark.slow
def test_nothing_outlives_a_driver_that_is_killed(start):
    """Its processes end within seconds, and its folder goes with them."""
    driver = start("work")
    driver.wait_for_work()
    started = driver.descendants()
    assert any("raylet" in process.name() for process in started)
    driver.process.kill()
    driver.process.wait()
    assert all_gone(started, 15)
    assert list(driver.temporary.glob("adapterlab-ray-*")) == []


@pytest.mark.slow
def test_what_a_machine_that_lost_power_left_is_removed_by_the_next_session(start, temporary):
    left, in_use = temporary / "adapterlab-ray-left", temporary / "adapterlab-ray-in-use"
    for folder in (left, in_use):
        folder.mkdir()
        (folder / "owner.lock").touch()
        os.utime(folder, (0, 0))
    with FileLock(in_use / "owner.lock"):
        code, _, errors = start("empty").end()
        assert code == 0, errors
        assert not left.exists()
        assert in_use.exists()


@pytest.mark.slow
@pytest.mark.slow
def test_a_ray_that_hangs_while_it_starts_is_started_again(monkeypatch):
    monkeypatch.setattr(ray_process, "_START_S", (15.0, 90.0))
    hunter = threading.Thread(target=stop_the_first_raylet)
    hunter.start()
    with ray_process.open_ray(cpus=2) as ray:
        hunter.join()
        assert ray.session.cpus == 2
    assert raylets() == []


def stop_the_first_raylet() -> None:
    """Stop the raylet of a Ray below this process as soon as there is one."""
    while not (found := raylets()):
        time.sleep(0.005)
    found[0].suspend()


def raylets() -> list[psutil.Process]:
    """Return the raylets below this process."""
    found = []
    for one in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            found += [one] if "/raylet/raylet " in " ".join(one.cmdline()) else []
    return found


@pytest.mark.slow
def test_a_ray_does_not_wait_for_workers_that_may_have_died(start):
    """It would for ever, of those that it starts before there is work."""
    driver = start("empty")
    idle = []
    while driver.process.poll() is None:
        with suppress(psutil.Error):
            idle += [one for one in driver.descendants() if "ray::IDLE" in " ".join(one.cmdline())]
        time.sleep(0.01)
    assert driver.end()[0] == 0
    assert idle == []


def test_two_sessions_of_two_processes_do_not_meet(start):
    drivers = [start("quick"), start("quick")]
    addresses = {driver.wait_for_line("session") for driver in drivers}
    ends = [driver.end() for driver in drivers]
    assert len(addresses) == 2
    assert [end[:2] for end in ends] == [(0, "ended 0 complete\noutcomes ['complete']\n")] * 2, ends


@pytest.mark.slow
def test_an_error_inside_the_session_ends_it_in_order(tmp_path, temporary, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))  # others come and go in the common one
    handler = signal.getsignal(signal.SIGTERM)
    before = set(psutil.Process().children(recursive=True))  # other tests of this process have children, too
    started: set[psutil.Process] = set()

    def fail_inside() -> None:
        with ray_session(cpus=1, log_folder=tmp_path):
            with pytest.raises(ConflictError, match="already"), ray_session():
                pass
            started.update(psutil.Process().children(recursive=True))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_inside()
    assert started > before
    assert all_gone(list(started - before), 5)
    assert list(temporary.glob("adapterlab-ray-*")) == []
    assert signal.getsignal(signal.SIGTERM) is handler
    assert list(tmp_path.glob("*/raylet.out"))


def test_an_address_where_nothing_listens_is_reported_at_once():
    with pytest.raises(UnavailableError, match="nothing answers"), ray_session(f"127.0.0.1:{free_port()}"):
        pass


@pytest.mark.slow
def test_an_address_where_something_else_listens_is_reported_within_seconds(capfd):
    with socket.create_server(("0.0.0.0", 0)) as listener:  # noqa: S104  (Ray asks by the machine's own address)
        port = listener.getsockname()[1]
        message = "did not answer as a Ray cluster"
        with pytest.raises(UnavailableError, match=message), ray_session(f"127.0.0.1:{port}"):
            pass
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "address", ["nonsense", "ray://host:10001", "host:port", ":6379", "host:0", "h:99999"]
)
def test_a_malformed_address_is_refused(address):
    with pytest.raises(UsageError, match="expected"), ray_session(address):
        pass


def test_secrets_are_not_shown_to_a_cluster():
    secret = {"HF_TOKEN": "canary"}
    with pytest.raises(UsageError, match="HF_TOKEN"), ray_session("127.0.0.1:6379", environment=secret):
        pass


@pytest.mark.slow
def test_an_existing_cluster_is_used_and_left_running(tmp_path, monkeypatch):
    """It asks for the token in its user's file, as `ray start` does where one exists; others are told so."""
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("f" * 64)
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="al") as temporary:
        command = [Path(sys.executable).with_name("ray"), "start", "--head", "--block", f"--port={port}"]
        options = [
            f"--temp-dir={temporary}",
            "--num-cpus=1",
            "--include-dashboard=false",
            "--disable-usage-stats",
        ]
        cluster = subprocess.Popen(
            [*command, *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            probe = subprocess.run(
                [sys.executable, "-c", USE_CLUSTER, str(port)],
                env={**os.environ, "PYTHONPATH": str(SOURCES)},
                capture_output=True,
                text=True,
                timeout=150,
                check=False,
            )
            assert probe.returncode == 0, probe.stderr
            assert probe.stdout == "False 1.0 7\nFalse 1.0 7\n"
            monkeypatch.setenv("HOME", str(tmp_path / "stranger"))
            message = "wants its token, and got none"
            with pytest.raises(UnavailableError, match=message), ray_session(f"127.0.0.1:{port}"):
                pass
            monkeypatch.setenv("RAY_AUTH_TOKEN", "e" * 64)
            message = "wants its token, and got another one"
            with pytest.raises(UnavailableError, match=message), ray_session(f"127.0.0.1:{port}"):
                pass
            assert cluster.poll() is None
        finally:
            children = psutil.Process(cluster.pid).children(recursive=True)
            cluster.terminate()
            cluster.wait(timeout=60)
            for process in children:
                if process.is_running():
                    process.kill()


USE_CLUSTER = """
import os, sys, tempfile, time
from pathlib import Path
from adapterlab.cluster.session import ray_session
from adapterlab.cluster.placement import WorkerNeeds
from adapterlab.cluster.tune import run_workers
from adapterlab.errors import UnavailableError

def variable(payload, stop, in_work):
    return {"value": os.environ["ADAPTERLAB_TEST"]}

def once():
    with tempfile.TemporaryDirectory() as folder:
        with ray_session(f"127.0.0.1:{sys.argv[1]}", environment={"ADAPTERLAB_TEST": "7"}) as session:
            (outcome,) = run_workers([{}], variable, WorkerNeeds(), storage=Path(folder), name="test")
            print(session.private, session.cpus, outcome.result["value"])

for attempt in range(60):
    try:
        once()
        break
    except UnavailableError:
        time.sleep(1)
once()
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
