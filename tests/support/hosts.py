"""Hosts on one machine: each with a network address, a name, processes and a ``/tmp`` of its own.

Made of network, mount, PID, UTS and IPC namespaces and a bridge between them, as root. Only the installed software
is the same on all of them, as a common image would make it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
HOME = "/tmp/home"
_TOOLS = ("ip", "unshare", "nsenter", "mount")
_FIRST = """
set -e
mount -t tmpfs tmpfs /mnt
mkdir -p /mnt/tmp/home
for folder in $SOFTWARE; do mkdir -p "/mnt$folder"; mount --bind "$folder" "/mnt$folder"; done
mount --rbind /mnt/tmp /tmp
mount -t tmpfs tmpfs /dev/shm
hostname "$NAME"
echo ready
exec sleep infinity
"""


class Host:
    """One host; made by :class:`Network`."""

    def __init__(self, name: str, address: str, namespace: str, link: str) -> None:
        self.name = name
        self.address = address
        self._namespace = namespace
        self._link = link
        self._variables: dict[str, str] = {}
        self._started: list[subprocess.Popen[str]] = []
        self.power_on()

    @property
    def tmp(self) -> Path:
        """Its ``/tmp``, as seen from outside."""
        return Path(f"/proc/{self._first}/root/tmp")

    def variables(self, values: Mapping[str, str]) -> None:
        """Set variables for what is started from now on."""
        self._variables |= values

    def start(self, *command: str, log: str | None = None) -> subprocess.Popen[str]:
        """Start a command there; its output goes to a pipe, or to a file in its ``/tmp``."""
        output = subprocess.PIPE if log is None else (self.tmp / log).open("a")
        process = subprocess.Popen(
            [
                *("nsenter", f"--target={self._first}", "--net", "--mount", "--uts", "--ipc", "--pid"),
                *("--", "env", f"--chdir={HOME}", *command),
            ],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._started.append(process)
        return process

    def run(self, *command: str, timeout_s: float = 240) -> tuple[int, str]:
        """Run a command there to its end; return its exit code and output."""
        process = self.start(*command)
        try:
            output, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return process.returncode, output

    def cut(self) -> None:
        """Pull its network cable."""
        _ip("link", "set", self._link, "down")

    def heal(self) -> None:
        """Put the cable back."""
        _ip("link", "set", self._link, "up")

    def power_off(self) -> None:
        """End it at once, with all its processes and files; its address is free again."""
        self._init.kill()
        self._init.wait()
        for process in self._started:
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
        self._started.clear()

    def _environment(self) -> dict[str, str]:
        private = ("ADAPTERLAB_", "MLFLOW_", "RAY_", "AWS_", "PG")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(private)}
        kept.pop("TMPDIR", None)
        return {**kept, "HOME": HOME, "HF_HUB_OFFLINE": "1", **self._variables}

    def power_on(self) -> None:
        """Start it, empty."""
        software = {str(REPOSITORY), sys.prefix, sys.base_prefix}
        self._init = subprocess.Popen(
            [
                *("ip", "netns", "exec", self._namespace),
                *(
                    "unshare",
                    "--mount",
                    "--uts",
                    "--ipc",
                    "--pid",
                    "--fork",
                    "--kill-child=KILL",
                    "--mount-proc",
                ),
                *("sh", "-c", _FIRST),
            ],
            env={
                **os.environ,
                "NAME": self.name,
                "SOFTWARE": " ".join(sorted(folder for folder in software if folder.startswith("/tmp/"))),
            },
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._init.stdout is not None
        if self._init.stdout.readline() != "ready\n":
            raise RuntimeError(f"host {self.name} did not start")
        (first,) = psutil.Process(self._init.pid).children()
        self._first = first.pid


class Network:
    """A bridge, and hosts on it; all of it goes when the block ends."""

    def __init__(self) -> None:
        self._tag = f"al{os.getpid() % 100_000}"
        self._subnet = f"10.213.{os.getpid() % 250}"
        self.hosts: dict[str, Host] = {}
        self._namespaces: list[str] = []

    def __enter__(self) -> Network:
        _ip("link", "add", self._tag, "type", "bridge")
        _ip("addr", "add", f"{self._subnet}.1/24", "dev", self._tag)
        _ip("link", "set", self._tag, "up")
        return self

    def __exit__(self, *_: object) -> None:
        for host in self.hosts.values():
            host.power_off()
        for namespace in self._namespaces:
            with suppress(subprocess.CalledProcessError):
                _ip("netns", "del", namespace)
        _ip("link", "del", self._tag)

    def host(self, name: str) -> Host:
        """Add a host."""
        number = len(self._namespaces) + 10
        namespace, link = f"{self._tag}-{name}", f"{self._tag}v{number}"
        address = f"{self._subnet}.{number}"
        _ip("netns", "add", namespace)
        self._namespaces.append(namespace)
        _ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        _ip("link", "set", link, "master", self._tag, "up")
        for words in (
            ("link", "set", "lo", "up"),
            ("addr", "add", f"{address}/24", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
        ):
            _ip("-n", namespace, *words)
        self.hosts[name] = Host(name, address, namespace, link)
        return self.hosts[name]


@contextmanager
def network() -> Iterator[Network]:
    """Yield a network, or skip the test where none can be made."""
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if os.geteuid() != 0 or missing:
        pytest.skip(f"needs root and {', '.join(missing or _TOOLS)}")
    try:
        _ip("netns", "add", "al-probe")
        _ip("netns", "del", "al-probe")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces here: {error.stderr.strip()}")
    with Network() as made:
        yield made


def until(condition: Callable[[], object], what: str, within_s: float = 60) -> None:
    """Wait until a call returns something true.

    Raises:
        AssertionError: It did not in time.
    """
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {within_s:.0f} s"
        time.sleep(0.3)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)
