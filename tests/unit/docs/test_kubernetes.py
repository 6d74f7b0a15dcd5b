"""The manifest of the page on Kubernetes: whole, in agreement with itself, and with a spec that is valid."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from adapterlab.spec.load import load_spec
from documents import DOCS, REPOSITORY

PAGE = (DOCS / "guide" / "kubernetes.md").read_text(encoding="utf-8")
(BLOCK,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
SPECS, JOB = yaml.safe_load_all(BLOCK)
CLUSTER = JOB["spec"]["rayClusterSpec"]
GROUPS = [CLUSTER["headGroupSpec"], *CLUSTER["workerGroupSpecs"]]


def _pods() -> Iterator[dict[str, Any]]:
    for group in GROUPS:
        yield group["template"]["spec"]


def test_the_kinds_are_those_of_kuberay() -> None:
    assert (SPECS["kind"], JOB["apiVersion"], JOB["kind"]) == ("ConfigMap", "ray.io/v1", "RayJob")


def test_ray_has_the_pinned_version_everywhere() -> None:
    (pinned,) = re.findall(r"^ray==(.+)$", (REPOSITORY / "constraints.txt").read_text(), re.MULTILINE)
    assert CLUSTER["rayVersion"] == pinned
    assert f"FROM rayproject/ray:{pinned}-" in PAGE
    images = {container["image"] for pod in _pods() for container in pod["containers"]}
    assert len(images) == 1


def test_every_pod_gets_the_secret_that_the_page_makes() -> None:
    (made,) = re.findall(r"kubectl create secret generic (\S+)", PAGE)
    for pod in _pods():
        for container in pod["containers"]:
            assert container["envFrom"] == [{"secretRef": {"name": made}}]


def test_the_spec_is_valid_and_where_the_job_looks_for_it(tmp_path: Path) -> None:
    head = CLUSTER["headGroupSpec"]["template"]["spec"]
    (volume,), (mount,) = head["volumes"], head["containers"][0]["volumeMounts"]
    assert volume["configMap"]["name"] == SPECS["metadata"]["name"]
    assert volume["name"] == mount["name"]
    command, verb, path = JOB["spec"]["entrypoint"].split()
    assert (command, verb, str(Path(path).parent)) == ("platform", "submit", mount["mountPath"])
    file = tmp_path / Path(path).name
    file.write_text(SPECS["data"][file.name], encoding="utf-8")
    cluster = load_spec(str(file), []).spec.cluster
    (group,) = CLUSTER["workerGroupSpecs"]
    assert cluster.labels == group["labels"]
    assert "labels" not in group["rayStartParams"], "KubeRay refuses them there"
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert float(limits["cpu"]) >= cluster.cpus_per_worker
    assert float(limits["nvidia.com/gpu"]) >= cluster.gpus_per_worker


def test_the_autoscaler_is_one_that_knows_labels() -> None:
    assert CLUSTER["enableInTreeAutoscaling"] is True
    assert CLUSTER["autoscalerOptions"] == {"version": "v2"}
    for pod in _pods():
        assert pod.get("restartPolicy", "Never") == "Never", "KubeRay takes no other with this autoscaler"


def test_a_pod_has_time_to_stop() -> None:
    pod = CLUSTER["workerGroupSpecs"][0]["template"]["spec"]
    hook = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][-1]
    assert "drain-node --reason=DRAIN_NODE_REASON_PREEMPTION" in hook
    (slept,) = re.findall(r"sleep (\d+)", hook)
    assert int(slept) < pod["terminationGracePeriodSeconds"]
