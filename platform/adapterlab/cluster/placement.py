"""What a worker is given, whether a node can give it, and how that is said."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from adapterlab.errors import UsageError


@dataclass(frozen=True)
class WorkerNeeds:
    """What each worker of a run is given, and how many there are."""

    cpus: float = 1.0
    """CPU cores of a worker; its thread count as well."""
    gpus: float = 0.0
    """GPUs of a worker; may be a fraction."""
    side_by_side: int | None = None
    """Workers at the same time at most; ``None``: as many as there is room for."""
    max_retries: int = 2
    """Times a worker is started again after it died."""
    step_timeout_s: float | None = None
    """Seconds that one thing a worker says it has in work may take before the worker is killed, which is a death
    like any other; ``None``: as long as it takes."""
    resources: Mapping[str, float] = field(default_factory=dict)
    """What else of its node it is given, by Ray's name of the resource."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """What its node must be labelled with: a value, ``!value``, ``in(a, b)`` or ``!in(a, b)`` by label."""

    def bundle(self) -> dict[str, float]:
        """Return all that is counted, by Ray's names."""
        return {"CPU": self.cpus, **({"GPU": self.gpus} if self.gpus else {}), **self.resources}

    def __str__(self) -> str:
        counted = [f"{amount:g} {name}" for name, amount in self.bundle().items()]
        labelled = [f"{name} = {value}" for name, value in self.labels.items()]
        listed = [*counted, *labelled]
        return listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} and {listed[-1]}"


@dataclass(frozen=True)
class WorkersNow:
    """How a run's workers are placed at this moment."""

    running: int
    """Workers that have a place, >= 0."""
    waiting_for: str | None = None
    """What the others wait for, in words, where none has had a place for a while."""
    departed: str | None = None
    """The node that has just gone away under a worker, in words; told once."""


@dataclass(frozen=True)
class Node:
    """One node of a Ray that runs now."""

    resources: Mapping[str, float]
    """What it has in total, by Ray's names."""
    labels: Mapping[str, str]
    """What it is labelled with."""


def nodes_now() -> list[Node]:
    """Return the nodes of the Ray that this process is connected to."""
    import ray

    return [Node(node["Resources"], node.get("Labels") or {}) for node in ray.nodes() if node["Alive"]]


def room(nodes: Iterable[Node], needs: WorkerNeeds) -> int:
    """Return how many workers fit on nodes side by side when nobody else uses them."""
    return sum(_fitting(node, needs) for node in nodes)


def refuse_too_large(nodes: Iterable[Node], needs: WorkerNeeds) -> None:
    """Refuse a worker that fits nowhere on a private Ray, which never grows.

    Raises:
        UsageError: It needs more than this machine has.
    """
    have: dict[str, Any] = {}
    for node in nodes:
        if _fitting(node, needs):
            return
        have |= node.resources
    counted = needs.cpus > have.get("CPU", 0) or needs.gpus > have.get("GPU", 0)
    raise UsageError(
        f"a worker needs {needs}; this machine has {have.get('CPU', 0):g} CPU and {have.get('GPU', 0):g} GPU",
        remedy="Lower cluster.cpus_per_worker or cluster.gpus_per_worker (0: the CPU), or set cluster.address."
        if counted
        else "Other resources and labels are those of a cluster's nodes: set cluster.address, or leave out "
        "cluster.resources and cluster.labels.",
    )


def _fitting(node: Node, needs: WorkerNeeds) -> int:
    if not all(matches(node.labels.get(name), wanted) for name, wanted in needs.labels.items()):
        return 0
    amounts = {name: amount for name, amount in needs.bundle().items() if amount}
    return min(int(node.resources.get(name, 0.0) / amount + 1e-9) for name, amount in amounts.items())


def matches(label: str | None, wanted: str) -> bool:
    """Return whether a node's label is what a selector asks for.

    Args:
        label: Its value; ``None`` where the node does not have it.
        wanted: ``value``, ``!value``, ``in(a, b)`` or ``!in(a, b)``.
    """
    if wanted.startswith("!"):
        return not matches(label, wanted[1:])
    listed = re.fullmatch(r"in\((.*)\)", wanted)
    return label in ([one.strip() for one in listed[1].split(",")] if listed else [wanted])


def selector_for_ray(wanted: str) -> str:
    """Return a label's selector as Ray reads it: a space behind a comma would be part of the value there."""
    return re.sub(r"\s+", "", wanted) if wanted.endswith(")") else wanted
