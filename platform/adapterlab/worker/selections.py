"""Selections: which sources suit a target, measured by texts, by adapters, or by combining them.

Only training and validation rows of the target are looked at. Forward selection trains many sets of sources: each is
kept as it ends, so whoever does the step next goes on from there, and comes to the same order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from adapterlab.caching.vectors import kept_vector
from adapterlab.catalog.records import Claim, RankedSource, SelectionRecord
from adapterlab.errors import TrainingError
from adapterlab.fingerprint import Json, digest_file, key_of
from adapterlab.planning.steps import PoolMember, SearchSettings, SelectionJob, StudyJob
from adapterlab.records import Examples, State, TaskData
from adapterlab.spec.selection import ADAPTER_SIMILARITY, COSINE, FORWARD_SELECTION, TEXT_SIMILARITY
from adapterlab.train.task_similarity import Vector, adapter_vector, cosine, text_embedding
from adapterlab.worker.combiners import StudyCombiners
from adapterlab.worker.forward_selection import ForwardSelection
from adapterlab.worker.orders import SelectionOrder
from adapterlab.worker.run_recorder import RunRecorder
from adapterlab.worker.worker import Worker

_EMBEDDING_VERSION = 1
"""Raise it when embeddings of texts change; part of their keys."""


@dataclass(frozen=True)
class Measured:
    """What a rule found."""

    sources: tuple[RankedSource, ...]
    """Best first."""
    metric: str
    """What a score is."""
    train_rows: int = 0
    """Rows trained on."""
    seconds: float | None = None
    """Computing; ``None``: as long as it took by the clock."""
    rounds: tuple[Mapping[str, float | None], ...] = ()
    """Of forward selection: what every set of sources scored, round by round, by the source that was added."""


def run_selection(worker: Worker, order: SelectionOrder) -> dict[str, int]:
    """Measure which sources suit a target, and publish their order.

    Returns:
        Number of selections by state.

    Raises:
        TrainingError: No set of sources could be trained.
        UsageError: Adapters cannot be compared.
        CancelledError: The sweep is to stop.
    """
    job, claim = order.selection.job, order.selection.claim
    if worker.catalog.find_selection(claim.key) is not None:  # an earlier try of this worker may have
        return {}
    with _in_work(worker, claim, f"{job.task_name} · loading data"):
        worker.progress(claim, 0, 1, "loading data")
        task = worker.load_task(job.task, job.rows)
    selecting = _Selecting(worker, job, claim, task, worker.tree.selection(claim.key, job, task.facts))
    selecting.publish(selecting.measure())
    return {str(State.COMPLETE): 1}


@contextmanager
def _in_work(worker: Worker, claim: Claim, title: str) -> Iterator[None]:
    """Say that a stretch of a selection is in work, which could hang."""
    worker.begin(claim.key, claim.key, title)
    yield
    worker.end(claim.key)


@dataclass
class _Selecting:
    """One selection in work."""

    worker: Worker
    job: SelectionJob
    claim: Claim
    task: TaskData
    """The target."""
    run: RunRecorder

    def measure(self) -> Measured:
        """Return the order by the job's rule."""
        rules: dict[str, Callable[[], Measured]] = {
            TEXT_SIMILARITY: self._by_texts,
            ADAPTER_SIMILARITY: self._by_adapters,
            FORWARD_SELECTION: self._forward,
        }
        began = time.monotonic()
        try:
            found = rules[self.job.rule]()
        except TrainingError as error:
            self.run.end(State.FAILED, error.message)
            raise
        seconds = time.monotonic() - began if found.seconds is None else found.seconds
        return Measured(found.sources, found.metric, found.train_rows, seconds, found.rounds)

    # -- by rule ------------------------------------------------------------------------------------

    def _by_texts(self) -> Measured:
        assert self.job.max_rows is not None
        read = dict(zip((one.task for one in self.job.candidates), self.job.candidate_rows, strict=True))
        target = self._embedding(self.task, self.job.task_name)
        scores: dict[str, float] = {}
        for done, (name, rows) in enumerate(read.items()):
            self._tell(done, len(read), f"texts of {name}")
            scores[name] = cosine(self._embedding(self.worker.load_task(name, rows), name), target)
        self._tell(len(read), len(read), "")
        ranked = [RankedSource(name, score) for name, score in scores.items()]
        return Measured(_best_first(ranked), COSINE)

    def _by_adapters(self) -> Measured:
        members = (*self.job.candidates, *self.job.own)
        self._tell(0, 1, f"reading {len(members)} adapters")
        with _in_work(self.worker, self.claim, f"{self.job.task_name} · {self.job.words}"):
            adapters = StudyCombiners(self.worker, self._study_of(members), self.task).adapters
            vectors = [adapter_vector(tensors) for tensors in adapters]
        self._tell(1, 1, "")
        own = vectors[-1]  # as in every pool, the last of several is the one trained for it
        ranked = [
            _ranked(member, cosine(vector, own))
            for member, vector in zip(self.job.candidates, vectors, strict=False)
        ]
        return Measured(_best_first(ranked), COSINE)

    def _forward(self) -> Measured:
        chosen = ForwardSelection(self.worker, self.job, self.claim, self.task, self._study_of).run()
        return Measured(
            tuple(_ranked(member, score) for member, score in chosen.order),
            self.task.facts.metric,
            chosen.train_rows,
            chosen.seconds,
            tuple({one.name: score for one, score in scores} for scores in chosen.rounds),
        )

    # -- parts --------------------------------------------------------------------------------------

    def _study_of(self, pool: tuple[PoolMember, ...]) -> StudyJob:
        """Return a study of one trial that combines some of the sources."""
        job, trial = self.job, self.job.trial
        return StudyJob(
            task=job.task,
            task_name=job.task_name,
            label=job.label,
            chooses=False,
            combiners=() if trial is None else (trial.combiner,),
            pool=pool,
            adapter=job.adapter,
            search=SearchSettings("random", "none", 0 if trial is None else trial.seed, 1),
            search_key=None,
            rows=job.rows,
            searched_pool=job.searched_pool,
        )

    def _embedding(self, task: TaskData, name: str) -> Vector:
        """Return the embedding of a task's first training rows, kept by what decides it."""
        worker, backbone = self.worker, self.worker.context.backbone
        rows = task.train.first(self.job.max_rows)
        key = key_of(
            "text embedding",
            _EMBEDDING_VERSION,
            {
                "backbone": backbone.digest,
                "config": digest_file(Path(backbone.folder) / "config.json"),
                "precision": backbone.precision,
                "tokens": _digest(rows),
            },
        )
        cache = worker.context.stores.cache
        with _in_work(worker, self.claim, f"{self.job.task_name} · texts of {name}"):
            return kept_vector(cache, "text-embeddings", key, lambda: text_embedding(worker.backbone, rows))

    def _tell(self, done: int, total: int, detail: str) -> None:
        self.worker.check_cancelled()
        self.worker.progress(self.claim, done, total, detail)

    # -- at its end ---------------------------------------------------------------------------------

    def publish(self, found: Measured) -> None:
        """Keep the order, and tell MLflow of it."""
        job, facts = self.job, self.task.facts
        record = SelectionRecord(
            key=self.claim.key,
            task=facts.task,
            task_digest=str(facts.content_digest),
            backbone_digest=self.worker.context.backbone.digest,
            rule=job.rule,
            settings=_settings(job),
            sources=found.sources,
            metric=found.metric,
            value=found.sources[0].score,
            seconds=found.seconds,
            train_rows=found.train_rows,
            run_id=self.worker.catalog.run_id(self.run.node),
        )
        self.worker.catalog.publish_selection(record, self.claim)
        self.worker.drop_checkpoints(self.claim.key)
        scores = scores_by_name(job, found.sources)
        document = {"rule": job.rule, "metric": found.metric, "scores": scores, "rounds": list(found.rounds)}
        self.run.selected(scores, document)
        self.run.end(State.COMPLETE)


def scores_by_name(job: SelectionJob, sources: Sequence[RankedSource]) -> dict[str, float]:
    """Return the scores of ranked sources by what people call these, best first."""
    names = {one.key: one.name for one in job.candidates} | {one.task: one.name for one in job.candidates}
    return {names.get(one.key or one.task, one.label): one.score for one in sources}


def _ranked(member: PoolMember, score: float) -> RankedSource:
    return RankedSource(member.task, score, member.adapter_key, member.own_name)


def _best_first(ranked: list[RankedSource]) -> tuple[RankedSource, ...]:
    return tuple(sorted(ranked, key=lambda one: (-one.score, one.task, one.key or "")))


def _settings(job: SelectionJob) -> dict[str, Json]:
    """Return what a selection measured with, as its record keeps it."""
    rows: dict[str, Json] = {} if job.rows is None else {"rows": asdict(job.rows)}
    if job.max_rows is not None:
        rows["max_rows"] = job.max_rows
    if job.trial is None:
        return rows
    combiner = job.trial.combiner
    return {
        **rows,
        "count": job.count,
        "combiner": combiner.kind,
        "settings": dict(combiner.settings),
        "setting": dict(job.trial.setting),
        "training": combiner.training.identity(),
        "seed": job.trial.seed,
    }


def _digest(rows: Examples) -> str:
    """Return what tells the tokens of some rows from others."""
    found = sha256()
    for part in (rows.token_ids, rows.type_ids, rows.offsets):
        found.update(f"{part.dtype.str} {part.shape}".encode())
        found.update(part.tobytes())
    return found.hexdigest()
