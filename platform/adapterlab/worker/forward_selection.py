"""Greedy forward selection: one source after another, the one that improves validation most.

A round trains the combiner on the sources selected so far with each of the others, all under one setting and seed, as
lanes side by side. The set with the best validation metric stays; of equals that with the smaller validation loss.
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field

from adapterlab.catalog.records import Claim
from adapterlab.errors import CorruptBlobError, TrainingError
from adapterlab.planning.steps import PoolMember, SelectionJob, StudyJob
from adapterlab.records import EpochResult, LaneResult, State, TaskData
from adapterlab.spec.search_space import TrialSetting
from adapterlab.train.lane import Lane
from adapterlab.worker.combiners import StudyCombiners
from adapterlab.worker.training import train_runs
from adapterlab.worker.worker import Worker

_VERSION = 1
"""Of what is kept between rounds; another version begins anew."""


@dataclass(frozen=True)
class SetScore:
    """What one set of sources came to."""

    value: float | None
    """The leading metric on validation of the kept epoch; ``None``: its training failed."""
    loss: float
    """Validation loss of that epoch."""
    seconds: float
    train_rows: int
    reason: str | None = None
    """Why it failed."""

    @property
    def rank(self) -> tuple[float, float]:
        """Greater for better sets."""
        return (-math.inf, -math.inf) if self.value is None else (self.value, -self.loss)


@dataclass(frozen=True)
class Chosen:
    """The order that forward selection found."""

    order: tuple[tuple[PoolMember, float], ...]
    """Those selected, each with the score of it and all before it; then the others, best first, each with its score in
    the last round, NaN where it could not be trained."""
    rounds: tuple[tuple[tuple[PoolMember, float | None], ...], ...]
    """What every candidate of each round would have scored."""
    seconds: float
    train_rows: int


@dataclass
class ForwardSelection:
    """One forward selection on a worker."""

    worker: Worker
    job: SelectionJob
    claim: Claim
    task: TaskData
    study_of: Callable[[tuple[PoolMember, ...]], StudyJob]
    """Gives the job of a study of one trial over some members."""
    scores: dict[tuple[str, ...], SetScore] = field(default_factory=dict)
    """By the keys of the sources, in the order they were added."""

    def run(self) -> Chosen:
        """Select the sources, from where an earlier worker left it.

        Raises:
            TrainingError: No set of a round could be trained.
            CancelledError: The sweep is to stop; what was trained is kept.
        """
        self._restore()
        selected: list[PoolMember] = []
        rounds: list[tuple[tuple[PoolMember, float | None], ...]] = []
        for _ in range(min(self.job.count, len(self.job.candidates))):
            left = [one for one in self.job.candidates if one not in selected]
            self._train([(*selected, one) for one in left])
            found = {one.adapter_key: self.scores[_keys((*selected, one))] for one in left}
            rounds.append(tuple((one, found[one.adapter_key].value) for one in left))
            best = max(left, key=lambda one: found[one.adapter_key].rank)  # of equals the first
            if found[best.adapter_key].value is None:
                reasons = sorted({str(one.reason) for one in found.values()})
                raise TrainingError(
                    f"{self.job.task} · {self.job.label}: no set of {len(selected) + 1} sources could be trained: "
                    + "; ".join(reasons),
                    remedy="Set a lower learning rate with search.start_from, or select by text_similarity.",
                )
            selected.append(best)
        sets = [tuple(selected[: place + 1]) for place in range(len(selected))]
        rest = [(*selected[:-1], one) for one in self.job.candidates if one not in selected]
        # Sorting keeps the order of equals.
        sets += sorted(rest, key=lambda one: self.scores[_keys(one)].rank, reverse=True)
        order = tuple((one[-1], self._value(one)) for one in sets)
        spent = self.scores.values()
        return Chosen(
            order, tuple(rounds), sum(one.seconds for one in spent), sum(one.train_rows for one in spent)
        )

    def _value(self, members: tuple[PoolMember, ...]) -> float:
        found = self.scores[_keys(members)].value
        return math.nan if found is None else found

    # -- one round ----------------------------------------------------------------------------------

    def _train(self, sets: list[tuple[PoolMember, ...]]) -> None:
        """Train those of some sets that were not trained before, several at a time."""
        waiting = deque(one for one in sets if _keys(one) not in self.scores)

        def next_run() -> _SetRun | None:
            return _SetRun.begin(self, waiting.popleft()) if waiting else None

        self.tell()
        train_runs(self.worker, next_run)

    def tell(self) -> None:
        """Say how far it is."""
        job, done = self.job, len(self.scores)
        total = sum(len(job.candidates) - chosen for chosen in range(min(job.count, len(job.candidates))))
        self.worker.progress(self.claim, done, total, f"set {done}/{total} of sources")

    # -- between workers ----------------------------------------------------------------------------

    def keep(self, members: tuple[PoolMember, ...], score: SetScore) -> None:
        """Note what a set came to, here and for whoever goes on."""
        self.scores[_keys(members)] = score
        sets = [{"sources": list(keys), **asdict(one)} for keys, one in self.scores.items()]
        left = json.dumps({"version": _VERSION, "sets": sets})
        self.worker.catalog.blobs.keep_checkpoint(self.claim.key, left.encode())
        self.tell()

    def _restore(self) -> None:
        with suppress(
            CorruptBlobError, ValueError, KeyError, TypeError
        ):  # of another version: it begins anew
            left = self.worker.catalog.blobs.checkpoint(self.claim.key)
            found = {} if left is None else json.loads(left)
            if found.get("version") == _VERSION:
                self.scores = dict(_set_of(one) for one in found["sets"])


@dataclass
class _SetRun:
    """One set of sources in training."""

    selection: ForwardSelection
    members: tuple[PoolMember, ...]
    lane: Lane

    @classmethod
    def begin(cls, selection: ForwardSelection, members: tuple[PoolMember, ...]) -> _SetRun:
        """Read the adapters, and make the lane."""
        job, trial = selection.job, selection.job.trial
        assert trial is not None
        name = " + ".join(_keys(members))
        shown = " + ".join(one.name for one in members)
        selection.worker.begin(name, selection.claim.key, f"{job.task_name} · {job.label} · {shown}")
        study = selection.study_of((*members, *job.own))
        setting = TrialSetting.of(trial.setting)
        combiner = StudyCombiners(selection.worker, study, selection.task).of(setting)
        return cls(selection, members, combiner.lane(setting, seed=trial.seed, name=name))

    def epoch(self, result: EpochResult) -> bool:
        del result
        return True

    def end(self, result: LaneResult) -> None:
        best, metric = result.best, self.selection.task.facts.metric
        failed = result.state is not State.COMPLETE or best is None
        self.selection.keep(
            self.members,
            SetScore(
                value=None if failed or best is None else best.metrics[metric],
                loss=0.0 if failed or best is None else best.validation_loss,
                seconds=result.seconds,
                train_rows=result.train_rows,
                reason=(result.reason or "it ended without a result") if failed else None,
            ),
        )


def _keys(members: tuple[PoolMember, ...]) -> tuple[str, ...]:
    return tuple(one.adapter_key for one in members)


def _set_of(kept: Mapping[str, object]) -> tuple[tuple[str, ...], SetScore]:
    values = dict(kept)
    keys = values.pop("sources")
    return tuple(str(one) for one in keys), SetScore(**values)  # type: ignore[arg-type,attr-defined]
