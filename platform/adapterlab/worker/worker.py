"""What a worker has at hand for any order: the frozen backbone, the stores, the sweep's run tree."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from adapterlab.catalog.records import Claim
from adapterlab.catalog.store import Catalog
from adapterlab.errors import CancelledError, UnavailableError
from adapterlab.fingerprint import digest_of
from adapterlab.patience import NO_PATIENCE, Patience
from adapterlab.planning.steps import RunRows
from adapterlab.records import RunInWork, State, TaskData
from adapterlab.train.capacity import Capacity
from adapterlab.train.layers import Backbone
from adapterlab.worker.arrival import receive_rows
from adapterlab.worker.orders import Context
from adapterlab.worker.run_tree import SweepTree

_CANCEL_POLL_S = 1.0
_TELL_S = 1.0


@dataclass
class Worker:
    """What a worker needs for any order: the backbone, the stores and the sweep's run tree."""

    context: Context
    name: str
    """Stable across restarts with the same order."""
    backbone: Backbone
    catalog: Catalog
    tree: SweepTree
    capacity: Capacity
    """How many lanes share a pass; what it learned holds for all orders of this worker."""
    stop: Callable[[], bool] = lambda: False
    """Whether whoever started this worker wants it to stop; asked often."""
    in_work: Callable[[Mapping[str, RunInWork]], None] = lambda _: None
    """Told what is in work whenever that changes; may end this process when something takes too long."""
    patience: Patience = NO_PATIENCE
    """How long it waits for the studies' database."""

    def __post_init__(self) -> None:
        self._asked_at = 0.0
        self._in_work: dict[str, RunInWork] = {}

    def begin(self, name: str, key: str, title: str) -> None:
        """Say that a run begins, before anything of it is done that could hang.

        Args:
            name: Of its lane.
            key: Of the step it belongs to.
            title: As people know it.
        """
        self._in_work[name] = RunInWork(key, title)
        self.in_work(self._in_work)

    def end(self, name: str) -> None:
        """Say that a run has ended and its result is kept."""
        del self._in_work[name]
        self.in_work(self._in_work)

    def load_task(
        self,
        task: str,
        rows: RunRows | None = None,
        *,
        tell: Callable[[str], None] | None = None,
    ) -> TaskData:
        """Return a task tokenised for this backbone.

        Args:
            task: Full name.
            rows: Which rows train and validate; ``None``: those
                that the sweep's ``data.max_train_rows`` leaves.
            tell: Told about once a second how far it is, where it is not in this machine's cache yet.
        """
        from adapterlab.data.splits import draw_rows
        from adapterlab.data.task_data import load_task
        from adapterlab.data.task_rows import in_words

        context = self.context
        receive_rows(context, task)
        data = load_task(
            context.library,
            task,
            backbone_folder=Path(context.backbone.folder),
            max_length=context.max_length,
            progress=None if tell is None else in_words(tell, _TELL_S),
        )
        if rows is None:
            return replace(data, train=data.train.first(context.max_train_rows))
        train = data.train.first(rows.train)
        if rows.draw is not None and rows.train is not None:
            train = draw_rows(task, data.train, data.facts.problem_type, rows.train, rows.draw)
        return replace(data, train=train, validation=data.validation.first(rows.validation))

    def train_texts(self, task: str) -> Sequence[str]:
        """Return the texts a task trains on here."""
        from adapterlab.data.task_rows import train_texts

        receive_rows(self.context, task)
        return train_texts(self.context.library, task, limit=self.context.max_train_rows)

    def texts_digest(self, task: str) -> str:
        """Return what decides :meth:`train_texts`."""
        from adapterlab.data.task_facts import task_facts

        facts = task_facts(self.context.library, task)
        return digest_of({"content": facts.content_digest, "rows": self.context.max_train_rows})

    def check_cancelled(self) -> None:
        """Ask, at most once per second, whether the sweep is to stop.

        Raises:
            CancelledError: It is; runs in progress are closed as killed and can be resumed.
        """
        if time.monotonic() - self._asked_at < _CANCEL_POLL_S:
            return
        self._asked_at = time.monotonic()
        if self.stop() or self.catalog.cancel_requested(self.context.sweep_key):
            raise CancelledError(
                "the sweep was stopped on request", remedy="Submit the same spec to continue it."
            )

    def drop_checkpoints(self, *keys: str) -> None:
        """Delete what steps or trials would have gone on from."""
        # With a checkpoint nobody needs nothing is wrong; collecting the garbage removes it as well.
        with suppress(UnavailableError):
            for key in keys:
                self.catalog.blobs.drop_checkpoint(key)

    def progress(self, claim: Claim, done: int, total: int, detail: str) -> None:
        """Say how far a step is; people see it in ``submit`` and ``status``."""
        self.catalog.progress(
            claim.key, state=State.RUNNING, done=done, total=total, detail=detail, claim=claim
        )
