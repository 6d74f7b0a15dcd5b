"""Where workers go and what they find there is checked before a cluster is asked."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from adapterlab.spec.model import ClusterSpec
from adapterlab.spec.placement import RuntimeEnvSpec


def cluster(**parts: Any) -> ClusterSpec:
    return ClusterSpec.model_validate(parts)


def test_resources_are_amounts_that_ray_takes() -> None:
    assert cluster(resources={"highmem": 1, "disk": 0.5}).resources == {"highmem": 1, "disk": 0.5}
    for amount in (0, -1, 1.5):
        with pytest.raises(ValidationError, match="whole number or a fraction"):
            cluster(resources={"highmem": amount})
    with pytest.raises(ValidationError, match=r"GPU is cluster\.gpus_per_worker"):
        cluster(resources={"GPU": 1})


@pytest.mark.parametrize("wanted", ["H100", "!A10G", "in(A100, H100)", "in(A100,H100)", "!in(A10G)"])
def test_labels_are_compared_in_four_ways(wanted: str) -> None:
    assert cluster(labels={"ray.io/accelerator-type": wanted})


@pytest.mark.parametrize(
    "labels", [{"": "a"}, {"a b": "c"}, {"a": ""}, {"a": "in()"}, {"a": "!!b"}, {"a": "b c"}, {"a/b/c": "d"}]
)
def test_malformed_labels_are_refused(labels: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match=r"label|expected"):
        cluster(labels=labels)


def test_a_runtime_environment_is_rays_once_it_is_checked() -> None:
    given = {
        "pip": ["sentencepiece>=0.2"],
        "working_dir": "/shared/code",
        "env_vars": {"HF_HUB_OFFLINE": "1"},
    }
    found = cluster(address="auto", runtime_env={**given, "setup_timeout_s": 900}).runtime_env
    assert found.for_ray() == {**given, "config": {"setup_timeout_seconds": 900}}
    assert RuntimeEnvSpec().for_ray() == {}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"env_vars": {"HF_TOKEN": "x"}}, "HF_TOKEN: a cluster shows"),
        ({"env_vars": {"INDEX": "https://me:secret@host/simple"}}, "no password"),
        ({"pip": ["--index-url https://me:secret@host/simple", "a"]}, "no password"),
        ({"working_dir": "code"}, "absolute path or a URL"),
        ({"pips": ["a"]}, "Extra inputs"),
    ],
)
def test_a_runtime_environment_holds_no_secret_and_no_riddle(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        cluster(address="auto", runtime_env=given)


def test_a_private_ray_prepares_nothing() -> None:
    with pytest.raises(ValidationError, match="so it needs address"):
        cluster(runtime_env={"pip": ["a"]})
    with pytest.raises(ValidationError, match="leave out address"):
        cluster(launcher="in_process", address="auto", runtime_env={"pip": ["a"]})
