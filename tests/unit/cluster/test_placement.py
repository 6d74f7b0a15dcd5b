"""What a worker needs, whether nodes have it, and the words for it."""

from __future__ import annotations

import pytest

from adapterlab.cluster.placement import (
    Node,
    WorkerNeeds,
    matches,
    refuse_too_large,
    room,
    selector_for_ray,
)
from adapterlab.errors import UsageError

H100 = Node({"CPU": 8.0, "GPU": 2.0, "highmem": 1.0}, {"ray.io/accelerator-type": "H100"})
SMALL = Node({"CPU": 2.0}, {})


def test_workers_go_where_all_they_need_is():
    assert room([H100, SMALL], WorkerNeeds()) == 10
    assert room([H100, SMALL], WorkerNeeds(gpus=0.5)) == 4
    assert room([H100, SMALL], WorkerNeeds(resources={"highmem": 0.5})) == 2
    assert room([H100, SMALL], WorkerNeeds(labels={"ray.io/accelerator-type": "H100"})) == 8
    assert room([H100, SMALL], WorkerNeeds(labels={"ray.io/accelerator-type": "!H100"})) == 2
    assert room([H100, SMALL], WorkerNeeds(cpus=3, resources={"highmem": 2})) == 0
    assert room([], WorkerNeeds()) == 0


@pytest.mark.parametrize(
    ("label", "wanted", "fits"),
    [
        ("a", "a", True), ("b", "a", False), (None, "a", False), ("b", "!a", True), (None, "!a", True),
        ("b", "in(a, b)", True), ("b", "in(a,b)", True), ("c", "in(a, b)", False), (None, "in(a)", False),
        ("c", "!in(a, b)", True), ("a", "!in(a, b)", False),
    ],
)  # fmt: skip
def test_a_label_is_compared_as_ray_does(label, wanted, fits):
    assert matches(label, wanted) is fits


def test_needs_are_said_in_one_phrase():
    assert str(WorkerNeeds()) == "1 CPU"
    assert str(WorkerNeeds(cpus=0.5, gpus=0.5)) == "0.5 CPU and 0.5 GPU"
    assert (
        str(WorkerNeeds(resources={"highmem": 1}, labels={"zone": "in(a, b)"}))
        == "1 CPU, 1 highmem and zone = in(a, b)"
    )


def test_a_private_ray_says_at_once_what_it_will_never_have():
    refuse_too_large([SMALL], WorkerNeeds(cpus=2))
    with pytest.raises(UsageError, match="needs 3 CPU; this machine has 2 CPU and 0 GPU") as caught:
        refuse_too_large([SMALL], WorkerNeeds(cpus=3))
    assert "cpus_per_worker" in caught.value.remedy
    with pytest.raises(UsageError, match="needs 1 CPU and 1 highmem; this machine") as caught:
        refuse_too_large([SMALL], WorkerNeeds(resources={"highmem": 1}))
    assert "leave out cluster.resources" in caught.value.remedy
    with pytest.raises(UsageError, match="zone = a"):
        refuse_too_large([SMALL], WorkerNeeds(labels={"zone": "a"}))


def test_a_selector_reaches_ray_without_the_spaces_it_would_compare():
    assert selector_for_ray("in(A100, H100)") == "in(A100,H100)"
    assert selector_for_ray("!in(T4, A10G)") == "!in(T4,A10G)"
    assert selector_for_ray("!T4") == "!T4"
