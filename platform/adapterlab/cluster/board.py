"""What a run's workers and its driver tell each other while orders are in work, in the cluster's key-value store.

The driver cannot ask a worker that hangs. So a worker says beforehand what it begins, the driver looks twice a second,
and whoever is asked to stop looks for itself.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass

from adapterlab.records import RunInWork

_NAMESPACE = b"adapterlab"


@dataclass(frozen=True)
class Note:
    """What a worker said last."""

    pid: int
    """Of its process."""
    node: str
    """The node it runs on, by Ray's id."""
    runs: Mapping[str, RunInWork]
    """What it has in work, by a name that is no other's of the same order."""


class Board:
    """One run's entries in the store. What cannot be reached is not there; the session notices a lost head.

    Args:
        run: The run's name, which no other has.
    """

    def __init__(self, run: str) -> None:
        self._prefix = f"adapterlab/{run}/"

    def ask_all_to_stop(self) -> None:
        """Ask every worker of the run to stop at its next chance."""
        self._put("stop", "1")

    def ask_to_leave(self, index: int, node: str) -> None:
        """Ask the worker of an order to stop, because the node it runs on goes away."""
        self._put(f"leave/{index}/{node}", "1")

    def all_stop(self) -> bool:
        """Return whether every worker is asked to stop."""
        return self._get("stop") is not None

    def shall_leave(self, index: int, node: str) -> bool:
        """Return whether the worker of an order is asked to leave a node."""
        return self._get(f"leave/{index}/{node}") is not None

    def write(self, index: int, note: Note) -> None:
        """Say what the worker of an order has in work."""
        self._put(f"work/{index}", json.dumps(asdict(note)))

    def read(self, index: int) -> Note | None:
        """Return what the worker of an order said last, ``None`` if nothing."""
        text = self._get(f"work/{index}")
        if text is None:
            return None
        told = json.loads(text)
        runs = {name: RunInWork(**run) for name, run in told["runs"].items()}
        return Note(told["pid"], told["node"], runs)

    def forget(self, index: int) -> None:
        """Remove what the worker of an order said: it has died, and the next one has not begun."""
        from ray.experimental import internal_kv

        with suppress(Exception):
            internal_kv._internal_kv_del(f"{self._prefix}work/{index}".encode(), namespace=_NAMESPACE)

    def clear(self) -> None:
        """Remove the run's entries."""
        from ray.experimental import internal_kv

        with suppress(Exception):
            internal_kv._internal_kv_del(self._prefix.encode(), del_by_prefix=True, namespace=_NAMESPACE)

    def _put(self, name: str, value: str) -> None:
        from ray.experimental import internal_kv

        with suppress(Exception):
            internal_kv._internal_kv_put(
                f"{self._prefix}{name}".encode(), value.encode(), namespace=_NAMESPACE
            )

    def _get(self, name: str) -> str | None:
        from ray.experimental import internal_kv

        with suppress(Exception):
            found = internal_kv._internal_kv_get(f"{self._prefix}{name}".encode(), namespace=_NAMESPACE)
            return None if found is None else str(found, "utf-8")
        return None


class OrdersBoard:
    """The board as the worker of one order sees it.

    Args:
        board: The run's.
        index: The order's.
        node: The node this worker runs on, by Ray's id.
    """

    def __init__(self, board: Board, index: int, node: str) -> None:
        self._board = board
        self._index = index
        self._node = node
        self.in_work({})  # the driver knows from here on where it runs

    def in_work(self, runs: Mapping[str, RunInWork]) -> None:
        """Say what is in work now."""
        self._board.write(self._index, Note(os.getpid(), self._node, runs))

    def all_stop(self) -> bool:
        """Return whether every worker is asked to stop."""
        return self._board.all_stop()

    def shall_leave(self) -> bool:
        """Return whether this worker is asked to leave its node."""
        return self._board.shall_leave(self._index, self._node)
