"""A sweep that is submitted as a job of a cluster: `ray job submit -- platform submit`."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ray_nodes import RAY, RayNodes, environment, free_port
from tiny_world import command, platform, write_world

pytest.importorskip("aiohttp_cors", reason="the job server's packages (adapterlab[jobs]) are not installed")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(280)]


@pytest.fixture(scope="module")
def jobs() -> Iterator[str]:
    """The address of a cluster's job server."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="al") as folder:
        nodes = RayNodes(
            Path(folder), "--include-dashboard=true", f"--dashboard-port={port}", "--resources={}", cpus=2
        )
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            nodes.end()


@pytest.mark.parametrize("address", ["auto", None])
def test_a_job_submits_a_sweep_to_its_cluster_or_to_a_private_ray(jobs, tmp_path, address):
    """The job brings files and variables of its own, the spec of the first one more variables."""
    world, home = tmp_path / "world", tmp_path / "home"
    write_world(world)
    brought = {
        "ADAPTERLAB_HOME": str(home),
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
    }
    options = ["--set=combiner.kind=[]", "--set=final.seeds=[0]", "--set=cluster.workers=1"]
    if address is not None:
        options += [f"--set=cluster.address='{address}'"]
        options += ["--set=cluster.runtime_env.env_vars={ OF_THE_SPEC = '1', HF_HUB_OFFLINE = '1' }"]
    submitted = subprocess.run(
        [
            RAY, "job", "submit", f"--address={jobs}", f"--working-dir={world}",
            f"--runtime-env-json={json.dumps({'env_vars': brought})}", "--", *command("submit", "tiny.toml", *options),
        ],
        env=environment(), capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    said = submitted.stdout + submitted.stderr
    assert submitted.returncode == 0, said
    assert "succeeded" in said
    (status,) = json.loads(platform(home, "status", "--json").stdout)
    assert status["state"] == "complete"
    assert {step["state"] for step in status["steps"]} == {"complete"}
