"""Workers on a real cluster of several nodes: where they go, what they wait for, and nodes that go away."""

from __future__ import annotations

import json
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapterlab.cluster.placement import WorkerNeeds, WorkersNow
from adapterlab.cluster.ray_process import RayProcess, open_ray
from adapterlab.errors import UsageError
from adapterlab.records import State
from ray_nodes import RayNodes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
sys.path.insert(0, str(Path(__file__).parent))  # workers of the cluster take our paths
import ray_driver  # noqa: E402


@pytest.fixture(scope="module")
def nodes() -> Iterator[RayNodes]:
    """A head that has one resource and one label of its own."""
    with tempfile.TemporaryDirectory(prefix="al") as folder:
        started = RayNodes(Path(folder), '--resources={"highmem": 1}', "--labels=tier=fast")
        try:
            yield started
        finally:
            started.end()


@pytest.fixture(scope="module")
def ray(nodes) -> Iterator[RayProcess]:
    """The process that submits, as far as Ray knows it."""
    runtime_env = {"env_vars": {"OF_THE_SPEC": "7"}, "working_dir": str(Path(__file__).parent)}
    with open_ray(nodes.address, runtime_env=runtime_env) as opened:
        yield opened


def run(ray, folder, payload, needs, **options):
    one = {"name": "0", "folder": str(folder), **payload}
    (outcome,) = ray.run([one], ray_driver.work, needs, storage=folder / "tune", name="test", **options)
    return outcome


def test_a_worker_goes_where_its_resources_and_labels_are(ray, tmp_path):
    needs = WorkerNeeds(resources={"highmem": 0.5}, labels={"tier": "in(fast, faster)"})
    outcome = run(ray, tmp_path, {"variable": "OF_THE_SPEC"}, needs)
    assert outcome.state is State.COMPLETE, outcome.error
    assert outcome.result["variable"] == "7"
    assert not ray.session.private


@pytest.mark.nightly
def test_workers_share_a_card_of_the_type_they_ask_for(ray, nodes, tmp_path):
    """Two nodes with a card each; Ray sees no cards here, so the nodes are told which ones they have."""
    for kind, card in (("T4", "3"), ("H100", "7")):
        options = ("--num-gpus=1", f"--labels=ray.io/accelerator-type={kind}")
        nodes.start(kind, *options, cpus=2, CUDA_VISIBLE_DEVICES=card)
    told: list[WorkersNow] = []
    both = [
        {"name": str(index), "folder": str(tmp_path), "seconds": 2, "variable": "CUDA_VISIBLE_DEVICES"}
        for index in range(2)
    ]
    needs = WorkerNeeds(gpus=0.5, labels={"ray.io/accelerator-type": "in(A100, H100)"})
    options = {"storage": tmp_path / "tune", "name": "test", "on_workers": told.append}
    outcomes = ray.run(both, ray_driver.work, needs, **options)
    assert [outcome.state for outcome in outcomes] == [State.COMPLETE] * 2, outcomes
    assert [outcome.result["variable"] for outcome in outcomes] == ["7", "7"]
    assert WorkersNow(2) in told


def test_a_worker_waits_for_a_node_with_words_until_one_comes(ray, nodes, tmp_path):
    told: list[WorkersNow] = []

    def hear(now: WorkersNow) -> None:
        if not told:
            nodes.start("slow", labels="tier=slow")
        told.append(now)

    outcome = run(ray, tmp_path, {"seconds": 1}, WorkerNeeds(labels={"tier": "slow"}), on_workers=hear)
    assert outcome.state is State.COMPLETE, outcome.error
    waiting = "waiting for a node with 1 CPU and tier = slow for a worker (the cluster has none now)"
    assert told[0] == WorkersNow(0, waiting)
    assert WorkersNow(1) in told
    assert told[-1].waiting_for is None


def test_workers_beyond_the_room_there_is_ask_for_more(ray, nodes, tmp_path):
    """An autoscaler adds nodes for workers that ask; here a node is added by hand once one of two workers runs."""
    nodes.start("grown-1", labels="pool=grown")
    told: list[WorkersNow] = []

    def hear(now: WorkersNow) -> None:
        if now.running and not any(one.running for one in told):
            nodes.start("grown-2", labels="pool=grown")
        told.append(now)

    def stop() -> float | None:
        return 5.0 if WorkersNow(2) in told else None

    needs = WorkerNeeds(labels={"pool": "grown"}, side_by_side=2)
    both = [{"name": str(index), "folder": str(tmp_path), "seconds": 90} for index in range(2)]
    options = {"storage": tmp_path / "tune", "name": "test", "on_workers": hear, "should_stop": stop}
    outcomes = ray.run(both, ray_driver.work, needs, **options)
    assert WorkersNow(2) in told
    assert [outcome.state for outcome in outcomes] == [State.KILLED, State.KILLED]


@pytest.mark.parametrize("end", ["stopped in order", "cut off", "without notice"])
def test_a_node_that_is_taken_away_does_not_count_as_a_death(ray, nodes, tmp_path, end):
    """One worker stops at the notice, one is in the middle of something when its node goes, one gets no notice."""
    pool = end.replace(" ", "-")
    here, there = f"{pool}-1", f"{pool}-2"
    nodes.start(here, labels=f"spot={pool},which={here}")
    begun = tmp_path / "begun-0"

    def take_away() -> None:
        while not begun.exists():
            if done.wait(0.1):
                return
        if end != "without notice":
            nodes.drain("which", here)
        nodes.start(there, labels=f"spot={pool},which={there}")
        if end != "stopped in order":
            nodes.kill(here)

    done = threading.Event()
    taker = threading.Thread(target=take_away)
    taker.start()
    told: list[WorkersNow] = []
    try:
        payload = {"seconds": 100, "stubborn": end == "cut off", "patient": 1}
        needs = WorkerNeeds(labels={"spot": pool}, max_retries=0)
        outcome = run(ray, tmp_path, payload, needs, on_workers=told.append)
    finally:
        done.set()
        taker.join()
    assert outcome.state is State.COMPLETE, outcome.error
    assert (outcome.result["attempt"], outcome.attempts) == (1, 1)
    (said,) = [now.departed for now in told if now.departed]
    was = "was lost" if end == "without notice" else "had notice to go"
    assert f" {was}, and its worker " in said


def test_a_runtime_environment_that_cannot_be_is_refused_with_words(nodes):
    both = {"pip": ["a"], "conda": "b"}
    message = r"cluster\.runtime_env: Ray does not take it"
    with pytest.raises(UsageError, match=message), open_ray(nodes.address, runtime_env=both):
        pass
    missing = {"conda": "no-such-environment"}
    message = "cannot be prepared on the cluster: "
    with pytest.raises(UsageError, match=message), open_ray(nodes.address, runtime_env=missing):
        pass


def test_a_folder_to_be_copied_that_is_none_is_named(nodes, tmp_path):
    absent, file = tmp_path / "absent", tmp_path / "file"
    file.write_text("")
    for wrong in ({"working_dir": str(absent)}, {"py_modules": [str(absent)]}, {"working_dir": str(file)}):
        message = (
            rf"cluster\.runtime_env: Ray does not take it: .*{'file' if 'file' in str(wrong) else 'absent'}"
        )
        with pytest.raises(UsageError, match=message), open_ray(nodes.address, runtime_env=wrong):
            pass


def test_an_environment_that_does_not_go_with_that_of_the_job_is_refused_with_words(nodes, monkeypatch):
    """Within a job of the cluster, Ray puts the spec's environment on top of the job's."""
    job = {"runtime_env": {"pip": ["a"], "env_vars": {"OF_THE_JOB": "1"}}}
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps(job))
    message = r"cluster\.runtime_env: Ray does not take it on top of this job's \(env_vars, pip\): .*conda"
    with pytest.raises(UsageError, match=message), open_ray(nodes.address, runtime_env={"conda": "b"}):
        pass
