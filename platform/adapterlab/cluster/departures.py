"""Nodes of a cluster that go away under their workers: which deaths that explains, and what is said of it.

Ray knows two kinds. A node that is *drained* has had notice; its workers are asked to leave, and one that does not
make it in time dies of a preemption. A node that is *lost* went without a word: its machine was taken away, crashed or
cannot be reached. Neither is the worker's fault, so neither counts as its death.
"""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

MOST_LOST = 10
"""Nodes that one order may lose without notice before its deaths count again: it may be what takes them down."""
_VERDICT_S = 80.0
"""How long Ray may take to say that a node is gone: five missed health checks, each of up to 13 s."""
_SURE_S = 3.0
"""How long a node must have answered to be one whose worker died of something else."""
_LOOK_S = 0.5


@dataclass(frozen=True)
class Departure:
    """A node that went away under a worker."""

    node: str
    """What people know it by."""
    notice: bool
    """Whether Ray was told beforehand."""


class Departures:
    """What a run has lost to nodes that went away.

    Args:
        most_lost: Nodes that one order may lose without notice, >= 0.
    """

    def __init__(self, most_lost: int = MOST_LOST) -> None:
        self._most_lost = most_lost
        self._all: Counter[int] = Counter()
        self._lost: Counter[int] = Counter()

    def excuse(self, index: int, departure: Departure) -> str | None:
        """Take note of a node that went away, and return what is said of it; ``None``: the worker's death counts.

        Args:
            index: Of the order whose worker was on it.
            departure: How it went.
        """
        if not departure.notice:
            self._lost[index] += 1
            if self._lost[index] > self._most_lost:
                return None
        self._all[index] += 1
        times = "" if self._all[index] == 1 else f"; what it does was moved {self._all[index]} times"
        went = "had notice to go" if departure.notice else "was lost"
        return f"node {departure.node} {went}, and its worker starts again elsewhere{times}"


def leaving_nodes() -> frozenset[str]:
    """Return the nodes that are being drained, by Ray's ids."""
    from ray._private.state import state

    with suppress(Exception):
        return frozenset(state.get_draining_nodes())
    return frozenset()


def departure_of(error: Any, node: str | None, gives_up: Callable[[], bool]) -> Departure | None:
    """Return how the node of a worker that died went away; ``None``: it is there, or the worker died of something else.

    Where a worker has stopped to answer, this waits until Ray knows whether its node is gone, for a minute and a half
    at most.

    Args:
        error: Ray's, of the worker.
        node: Where the worker said it was, by Ray's id; ``None``: it had no time to.
        gives_up: Whether nobody wants to know any more.
    """
    from ray.exceptions import ActorUnavailableError, RayActorError, RayTaskError

    cause = error.as_instanceof_cause() if isinstance(error, RayTaskError) else error
    if not isinstance(cause, RayActorError):
        return None
    node = _node_of(cause.actor_id) or node
    if node is None:
        return None
    if cause.preempted:
        return Departure(_name(node), notice=True)
    if isinstance(cause, ActorUnavailableError):
        _await_verdict(node, gives_up)
    return None if _is_there(node) else Departure(_name(node), notice=False)


def _await_verdict(node: str, gives_up: Callable[[], bool]) -> None:
    """Wait until Ray calls a node dead, or the node has answered for a while."""
    begun = answered = time.monotonic()
    while _is_there(node) and not gives_up():
        now = time.monotonic()
        if not _answers(node):
            answered = now
        if now - begun > _VERDICT_S or now - answered > _SURE_S:
            return
        time.sleep(_LOOK_S)


def _answers(node: str) -> bool:
    """Return whether the process of Ray that stands for a node takes connections."""
    known = _known(node)
    try:
        place = known["NodeManagerAddress"], known["NodeManagerPort"]
        socket.create_connection(place, timeout=_LOOK_S).close()
    except (OSError, KeyError):
        return False
    return True


def _is_there(node: str) -> bool:
    return bool(_known(node).get("Alive", True))


def _name(node: str) -> str:
    """Return what people know a node by: its host, and its address."""
    known = _known(node)
    address = known.get("NodeManagerAddress", node)
    host = known.get("NodeManagerHostname", address)
    return address if host == address else f"{host} ({address})"


def _known(node: str) -> dict[str, Any]:
    """Return what Ray knows of a node; nothing where it knows none, or does not answer."""
    import ray

    with suppress(Exception):
        return next((one for one in ray.nodes() if one["NodeID"] == node), {})
    return {}


def _node_of(actor: str | None) -> str | None:
    """Return the node an actor is or was on, by Ray's id."""
    from ray._private.state import state

    if actor is not None:
        with suppress(Exception):
            return str(state.actor_table(actor)["Address"]["NodeID"]) or None
    return None
