"""A Ray cluster of real nodes on this machine, each ended by the ids of its own processes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
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
        self._start_head(options, cpus)

    def _start_head(self, options: tuple[str, ...], cpus: int, **variables: str) -> None:
        port = self.address.rpartition(":")[2]
        self.start("head", "--head", f"--port={port}", *options, cpus=cpus, **variables)

    def start(self, name: str, *options: str, labels: str = "", cpus: int = 1, **variables: str) -> None:
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
            command, env={**environment(), **variables}, stdout=log, stderr=log, start_new_session=True
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

    def ever(self) -> list[dict[str, Any]]:
        """Return all nodes, those that have gone too, as Ray tells of them."""
        said = subprocess.run(
            [sys.executable, "-c", _NODES, self.address],
            env=environment(), check=True, timeout=60, stdout=subprocess.PIPE, text=True,
        ).stdout  # fmt: skip
        return list(json.loads(said.splitlines()[-1]))

    def alive(self) -> list[dict[str, Any]]:
        """Return the nodes that are there now."""
        return [node for node in self.ever() if node["Alive"]]

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


class AutoscaledNodes(RayNodes):
    """A head without cores, whose autoscaler starts nodes of one core when workers wait, and drains idle ones.

    The autoscaler is version 2 of Ray's, as KubeRay runs it; its "cloud" is this machine (Ray's fake provider).

    Args:
        folder: For Ray's files; its path must be short, for Ray's sockets lie below it.
        pools: Kinds of nodes there can be, each labelled ``pool=…``.
        most: Nodes at most.
        idle_s: Seconds after which a node that nobody uses is removed.
    """

    def __init__(self, folder: Path, *, pools: Sequence[str], most: int, idle_s: float) -> None:
        core = {"CPU": 1, "object_store_memory": 80_000_000}
        kinds = {
            pool: {"resources": core, "labels": {"pool": pool}, "node_config": {}, "max_workers": most}
            for pool in pools
        }
        head = {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0}
        whose = (
            "initialization",
            "setup",
            "head_setup",
            "worker_setup",
            "head_start_ray",
            "worker_start_ray",
        )
        self._described: dict[str, Any] = {
            "cluster_name": "fake",
            "max_workers": most,
            "idle_timeout_minutes": idle_s / 60,
            "provider": {
                "type": "external",
                "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
                "disable_node_updaters": True,
                "launch_multiple": True,
                "head_node_id": _HEAD,
            },
            "auth": {"ssh_user": "nobody"},
            "head_node_type": "ray.head.default",
            "available_node_types": {"ray.head.default": head, **kinds},
            "file_mounts": {},
            "cluster_synced_files": [],
            "file_mounts_sync_continuously": False,
            **{f"{one}_commands": [] for one in whose},
        }
        super().__init__(folder, cpus=0)

    def _start_head(self, options: tuple[str, ...], cpus: int, **variables: str) -> None:
        config = self._folder / "autoscaling.json"
        self._described["provider"]["gcs_address"] = self.address
        config.write_text(json.dumps(self._described))
        asked = {
            "AUTOSCALER_UPDATE_INTERVAL_S": "1",
            "RAY_FAKE_CLUSTER": "1",
            "RAY_enable_autoscaler_v2": "1",
            "RAY_CLOUD_INSTANCE_ID": _HEAD,
            "RAY_OVERRIDE_NODE_ID_FOR_TESTING": _HEAD,
            **variables,
        }
        super()._start_head((*options, f"--autoscaling-config={config}"), cpus, **asked)

    def grown(self) -> list[dict[str, Any]]:
        """Return all nodes that the autoscaler has started, those that have gone too, the oldest first."""
        nodes = (node for node in self.ever() if node["NodeID"] != _HEAD)
        return sorted(nodes, key=lambda node: str(node["NodeID"]))  # it counts them


_HEAD = "f" * 51 + "00000"
"""The id Ray's provider gives a head."""
_NODES = """
import json, sys
from ray._private.state import GlobalState
from ray._raylet import GcsClientOptions
# Not as a driver: that hangs where the node it is given has just gone.
state = GlobalState()
state._initialize_global_state(GcsClientOptions.create(sys.argv[1], None, True, True))
print(json.dumps(state.node_table(), default=str))
"""
