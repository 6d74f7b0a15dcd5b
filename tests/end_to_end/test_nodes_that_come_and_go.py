"""A sweep on a cluster that has no nodes until workers wait for some, and whose nodes go when idle or taken back."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from process_output import finish
from ray_nodes import AutoscaledNodes
from sweep_record import Places, differences, read_record
from tiny_world import platform, start_platform, write_world

pytestmark = [pytest.mark.slow, pytest.mark.nightly, pytest.mark.timeout(900)]

NODE = "ray.io/node-id"


@pytest.fixture
def cluster() -> Iterator[AutoscaledNodes]:
    with tempfile.TemporaryDirectory(prefix="al") as folder:
        started = AutoscaledNodes(Path(folder), pools=["steady", "spot"], most=2, idle_s=2)
        try:
            yield started
        finally:
            started.end()


def until(true: Callable[[], bool], what: str, within_s: float = 120) -> None:
    begun = time.monotonic()
    while not true():
        assert time.monotonic() - begun < within_s, f"no {what} within {within_s:.0f} s"
        time.sleep(0.5)


def places(home: Path) -> Places:
    return Places.on_files(home, "spot")


def test_a_cluster_grows_shrinks_and_loses_a_node_while_one_sweep_goes_on(cluster, tmp_path):
    """Two sources of unequal length: the node of the short one goes, and another comes for the studies.

    A node with notice is left without a retry counted, and the record is the undisturbed sweep's.
    """
    spec = write_world(tmp_path, trials=2, epochs=4, rows=600)
    spec.write_text(
        spec.read_text().replace("max_epochs = 4", "max_epochs = 60\npatience = 60", 1)
    )  # sources
    short = tmp_path / "data" / "superglue" / "cb" / "train.jsonl"
    short.write_text("".join(short.read_text().splitlines(keepends=True)[:60]))
    calm, here = places(tmp_path / "calm"), places(tmp_path / "home")
    done = platform(calm.home, "submit", str(spec), *calm.options(), "--set", "cluster.launcher='in_process'")
    assert done.returncode == 0, done.stdout + done.stderr
    assert cluster.grown() == []

    settings = [f"address='{cluster.address}'", "max_retries=0", "workers=2", "labels={ pool = 'spot' }"]
    options = [part for one in settings for part in ("--set", f"cluster.{one}")]
    submit = start_platform(here.home, "submit", str(spec), *here.options(), *options)

    def there() -> list[str]:
        assert submit.poll() is None, finish(submit, 10)[0]
        return [node["NodeID"] for node in cluster.grown() if node["Alive"]]

    try:
        until(lambda: len(there()) == 2, "node for each of two workers")
        until(lambda: len(there()) == 1, "idle node less")
        until(lambda: len(there()) == 2, "node that came again")
        taken = there()[0]
        until(lambda: studies_run(here), "study")
        cluster.drain(NODE, taken)
        said, _ = finish(submit, 300)
    finally:
        submit.kill()
    assert submit.returncode == 0, said
    assert (
        "tiny: waiting for a node with 1 CPU and pool = spot for a worker (the cluster has none now)" in said
    )
    assert " had notice to go, and its worker starts again elsewhere" in said
    assert differences(read_record(calm), read_record(here)) == []
    assert {node["Labels"]["pool"] for node in cluster.grown() if node["Alive"]} <= {"spot"}
    until(lambda: not any(node["Alive"] for node in cluster.grown()), "end of all nodes")


def studies_run(where: Places) -> bool:
    with where.open() as catalog:
        (sweep,) = catalog.sweeps()
        keys = [step.key for step in catalog.sweep(sweep.key).steps if step.kind == "study"]
        return all(status.detail for status in catalog.status(keys).values())
