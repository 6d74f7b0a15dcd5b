"""A Ray cluster of real nodes on this machine, each ended by the ids of its own processes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

RAY = str(Path(sys.executable).with_name("ray"))


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment() -> dict[str, str]:
    """Return this process's environment without what tells Ray of another cluster, or of its user's token."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return {**kept, "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}


class RayNodes:
    """A head, and nodes that come and go.

    Args:
        folder: For Ray's files; its path must be short, for Ray's sockets lie below it.
        options: Further options of ``ray start`` for the head.
        cpus: Of the head.
    """

    def __init__(self, folder: Path, *options: str, cpus: int = 1) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self._folder = folder
        self._nodes: dict[str, subprocess.Popen[bytes]] = {}
        port = self.address.rpartition(":")[2]
        self.start("head", "--head", f"--port={port}", *options, cpus=cpus)

    def start(self, name: str, *options: str, labels: str = "", cpus: int = 1) -> None:
        """Start a node and wait until it runs."""
        joining = () if "--head" in options else (f"--address={self.address}",)
        command = [RAY, "start", "--block", f"--num-cpus={cpus}", "--num-gpus=0", "--disable-usage-stats"]
        command += [f"--dashboard-agent-listen-port={free_port()}", "--object-store-memory=80000000"]
        command += [*joining, *options, *([f"--labels={labels}"] if labels else [])]
        if "--head" in options:
            command.append(f"--temp-dir={self._folder}")
            if not any(one.startswith("--include-dashboard") for one in options):
                command.append("--include-dashboard=false")
        log = (self._folder / f"{name}.log").open("w")
        self._nodes[name] = subprocess.Popen(
            command, env=environment(), stdout=log, stderr=log, start_new_session=True
        )
        self._wait_for(name)

    def _wait_for(self, name: str) -> None:
        log = self._folder / f"{name}.log"
        until = time.monotonic() + 90
        while "Ray runtime started" not in log.read_text():
            assert self._nodes[name].poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.2)

    def drain(self, label: str, value: str) -> None:
        """Tell the cluster that the node with a label goes away within a minute, as a cloud does of a spot node."""
        (found,) = [node["NodeID"] for node in self.alive() if node["Labels"].get(label) == value]
        subprocess.run(
            [
                RAY, "drain-node", f"--address={self.address}", f"--node-id={found}", "--reason=DRAIN_NODE_REASON_PREEMPTION",
                "--reason-message=spot", "--deadline-remaining-seconds=60",
            ],
            env=environment(), check=True, timeout=60, capture_output=True,
        )  # fmt: skip

    def alive(self) -> list[dict[str, Any]]:
        """Return the nodes that are there now, as Ray tells of them."""
        said = subprocess.run(
            [sys.executable, "-c", _NODES, self.address],
            env=environment(), check=True, timeout=60, stdout=subprocess.PIPE, text=True,
        ).stdout  # fmt: skip
        return [node for node in json.loads(said.splitlines()[-1]) if node["Alive"]]

    def kill(self, name: str) -> None:
        """Take a node away without a word."""
        _kill(self._nodes.pop(name))

    def end(self) -> None:
        """End whatever of it still runs."""
        for process in self._nodes.values():
            _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    found = []
    if process.poll() is None:
        found = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    for one in found:
        try:
            one.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait()


_NODES = """
import json, sys
from ray._private.state import GlobalState
from ray._raylet import GcsClientOptions
# Not as a driver: that hangs where the node it is given has just gone.
state = GlobalState()
state._initialize_global_state(GcsClientOptions.create(sys.argv[1], None, True, True))
print(json.dumps(state.node_table(), default=str))
"""
