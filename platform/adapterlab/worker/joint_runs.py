"""Joint runs: one model trained on several tasks, kept with what each of them has of it; several share passes.

A run may take days, so it is kept at every evaluation where it stands, and when it is asked to stop: whoever does the
step next goes on from there, and ends with the bits of a run that was never stopped.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass

from adapterlab.catalog.records import AdapterRecord, Claim, JointRecord, JointShare
from adapterlab.data import run_predictions
from adapterlab.errors import CancelledError, UnavailableError
from adapterlab.planning.steps import JointJob
from adapterlab.provenance import provenance_of
from adapterlab.records import JointEvaluation, JointResult, State, TaskData
from adapterlab.train import weights
from adapterlab.train.joint.loop import train_joint_runs
from adapterlab.train.joint.run import JointRun
from adapterlab.worker.chosen import joint_as_chosen
from adapterlab.worker.joint_models import go_on, joint_run, own_adapter, trial_checkpoint
from adapterlab.worker.orders import JointAssignment, JointOrder, Share
from adapterlab.worker.run_recorder import RunRecorder, scores
from adapterlab.worker.worker import Worker

_TELL_S = 2.0
"""Seconds between two words about the step a run is at."""


def train_joint_order(worker: Worker, order: JointOrder) -> dict[str, int]:
    """Train joint runs to their end, several at a time, each from where an earlier worker left it.

    Returns:
        Number of runs by state.

    Raises:
        CancelledError: The sweep is to stop; the runs go on from this step with the next submit.
        TrainingError: A single run's step does not fit into memory.
    """
    waiting = deque(order.runs)
    training: dict[JointRun, _JointWork] = {}
    counts: dict[str, int] = {}

    def next_run() -> JointRun | None:
        while waiting:
            assigned = waiting.popleft()
            key = assigned.run.claim.key
            if worker.catalog.status([key])[key].state is not State.COMPLETE:  # an earlier try may have
                work = _JointWork.begin(worker, assigned)
                training[work.run] = work
                return work.run
        return None

    def on_pass() -> None:
        worker.check_cancelled()
        for work in training.values():
            work.stepped()

    try:
        for run, result in train_joint_runs(
            next_run,
            capacity=worker.capacity,
            on_evaluation=lambda run, result: training[run].evaluated(result),
            on_pass=on_pass,
            sees_test=True,
        ):
            training.pop(run).end(result)
            counts[result.state] = counts.get(result.state, 0) + 1
    except CancelledError:
        for work in training.values():
            with suppress(UnavailableError):  # then it goes on from its last evaluation
                work.keep()
        raise
    return counts


@dataclass
class _JointWork:
    """One joint run in training."""

    worker: Worker
    job: JointJob
    claim: Claim
    shares: Sequence[Share]
    tasks: Sequence[TaskData]
    run: JointRun
    recorder: RunRecorder
    of_trial: str | None = None
    """Key of what the chosen trial left, had it this run's seed; ``None``: nothing of it is searched."""

    def __post_init__(self) -> None:
        self._told_at, self._told_step = time.monotonic(), self.run.step
        self._rate: float | None = None
        self._lane = ""

    @classmethod
    def begin(cls, worker: Worker, assigned: JointAssignment) -> _JointWork:
        """Read the tasks, and make the run as new or as it was left.

        Raises:
            TrainingError: The study that chooses its setting is not in the catalog.
        """
        claim, given = assigned.run.claim, assigned.run.job
        chooser = None if given.study is None else worker.catalog.find_study(given.study)
        job = joint_as_chosen(given, chooser)
        total = job.training.steps
        worker.begin(claim.key, claim.key, f"joint {job.label}")
        worker.progress(claim, 0, total, "loading data")
        tasks = [
            worker.load_task(one.task, one.rows, tell=lambda what: worker.progress(claim, 0, total, what))
            for one in job.tasks
        ]
        run = joint_run(worker, job.method, job.settings, job.training, tasks, seed=job.seed, name=job.label)
        recorder = worker.tree.joint(claim.key, job)
        trial = None
        if chooser is not None and chooser.best_trial is not None:
            trial = trial_checkpoint(chooser.key, chooser.best_trial, job.seed)
        if not go_on(worker, run, claim.key) and trial is not None and go_on(worker, run, trial):
            # The chosen trial had this seed: only the test split is left to see.
            for evaluation in run.evaluations:
                recorder.evaluation(evaluation, job.task_names)
        worker.end(claim.key)
        made = cls(worker, job, claim, assigned.shares, tasks, run, recorder, trial)
        made._begin_lane()
        return made

    def end(self, result: JointResult) -> None:
        """Keep what remains of it."""
        if result.state is State.COMPLETE:
            self._publish(result)
        else:
            reason = result.reason or "no reason given"
            self.worker.catalog.fail(self.claim, reason)
            for claim in (one.claim for one in self.shares if one.claim is not None):
                self.worker.catalog.fail(claim, f"its joint run failed: {reason}")
        self.recorder.end(result.state, result.reason)
        self.worker.drop_checkpoints(self.claim.key)
        if self.of_trial is not None:
            self.worker.drop_checkpoints(self.of_trial)
        self.worker.end(self._lane)

    # -- while it trains ----------------------------------------------------------------------------

    def stepped(self) -> None:
        """Say how far the run is, every few seconds."""
        since = time.monotonic() - self._told_at
        if since >= _TELL_S:
            self._rate = (self.run.step - self._told_step) / since
            self._told_at, self._told_step = time.monotonic(), self.run.step
            self._tell()

    def evaluated(self, result: JointEvaluation) -> bool:
        """Tell and keep what an evaluation found; the run goes on."""
        self.recorder.evaluation(result, self.job.task_names)
        if self.run.reason is None:
            self.keep()
        self.worker.end(self._lane)
        self._begin_lane()
        self._tell()
        return True

    def keep(self) -> None:
        """Keep the run where it stands."""
        self.worker.catalog.blobs.keep_checkpoint(self.claim.key, self.run.checkpoint())

    def _begin_lane(self) -> None:
        """Begin the stretch up to the next evaluation: what may take too long is one of these, not the run."""
        self._lane = f"{self.claim.key}/{self.run.step}"
        self.worker.begin(self._lane, self.claim.key, f"joint {self.job.label}")

    def _tell(self) -> None:
        run = self.run
        told = [f"step {run.step:,}/{self.job.training.steps:,}"]
        if self._rate is not None:
            told.append(f"{self._rate:.3g} a second")
        if run.evaluations:
            last = run.evaluations[-1]
            told.append(f"mean validation {run.settings.select_by} {last.selected_by:.3f} at {last.step:,}")
        self.worker.progress(self.claim, run.step, self.job.training.steps, " · ".join(told))

    # -- at its end ---------------------------------------------------------------------------------

    def _publish(self, result: JointResult) -> None:
        best, job = result.best, self.job
        assert best is not None
        count = weights.size(weights.without_head(result.tensors))
        device = str(self.worker.backbone.device)
        record = JointRecord(
            key=self.claim.key,
            backbone_digest=self.worker.context.backbone.digest,
            method=job.method,
            settings={
                "joint": job.settings,
                "training": job.training.identity(),
                **({} if job.study is None else {"study": job.study}),
            },
            shares=tuple(
                JointShare(task.facts.task, str(task.facts.content_digest), share.key)
                for task, share in zip(self.tasks, self.shares, strict=True)
            ),
            seed=job.seed,
            metric=job.training.select_by,
            value=best.selected_by,
            steps=self.run.step,
            best_step=best.step,
            n_parameters=count,
            head_parameters=weights.size(result.tensors) - count,
            seconds=result.seconds,
            train_rows=result.train_rows,
            device=device,
            provenance=provenance_of(device),
            run_id=self.worker.catalog.run_id(self.recorder.node),
        )
        opened = [
            (self.worker.tree.share(self.recorder, share.key, share.job, task.facts), task, share)
            for task, share in zip(self.tasks, self.shares, strict=True)
        ]
        parts = [
            (*self._share(result, record, task, share, recorder), share.claim)
            for recorder, task, share in opened
        ]
        about = {"kind": "joint", "method": job.method, "key": self.claim.key}
        self.worker.catalog.publish_joint(record, weights.to_bytes(result.tensors, about), parts, self.claim)
        self.recorder.joint_outcome(result, record)
        for (recorder, task, _), (share_record, *_) in zip(opened, parts, strict=True):
            recorder.numbers(
                {
                    **scores(share_record.metric, share_record.metrics, share_record.test),
                    "best/step": float(best.step),
                    "parameters": float(record.n_parameters or 0),
                    "seconds": share_record.seconds or 0.0,
                }
            )
            assert result.test_outputs is not None
            outputs = result.test_outputs[task.facts.task]
            recorder.test_outputs(outputs, task, f"{task.facts.short_name} · {job.label}")
            recorder.end(State.COMPLETE)

    def _share(
        self,
        result: JointResult,
        run: JointRecord,
        task: TaskData,
        share: Share,
        recorder: RunRecorder,
    ) -> tuple[AdapterRecord, bytes]:
        """Return what a task has of the run: its record, and its adapter and head as a file."""
        best, job, facts = result.best, self.job, task.facts
        assert best is not None
        assert result.test_metrics is not None
        assert result.test_outputs is not None
        # Cloned: layers may have one bias between them, and a file has every tensor by itself.
        made = self.run.model.of_task(result.tensors, facts.task)
        tensors = {name: one.clone() for name, one in made.items()}
        adapter = share.job.adapter
        if share.job.searched:  # it is made with what was chosen
            adapter = own_adapter(job.method, job.settings)
        record = AdapterRecord(
            key=share.key,
            backbone_digest=run.backbone_digest,
            task=facts.task,
            task_digest=str(facts.content_digest),
            method=job.method if adapter is None else adapter.method,
            settings={
                "adapter": job.settings if adapter is None else adapter.settings,
                "joint": {
                    "run": run.key,
                    "method": job.method,
                    "settings": job.settings,
                    "tasks": [one.task for one in job.tasks],
                },
                "training": job.training.identity(),
                **({} if job.study is None else {"study": job.study}),
                **({} if share.job.rows is None else {"rows": asdict(share.job.rows)}),
            },
            seed=job.seed,
            metric=facts.metric,
            metric_value=best.metrics[facts.task][facts.metric],
            metrics=best.metrics[facts.task],
            test=result.test_metrics[facts.task],
            n_parameters=run.n_parameters,
            head_parameters=weights.size(tensors) - weights.size(weights.without_head(tensors)),
            # An equal part of the run, so that all of them together took as long as it did.
            seconds=result.seconds / len(self.tasks),
            device=run.device,
            provenance=run.provenance,
            run_id=self.worker.catalog.run_id(recorder.node),
        )
        about = weights.described(facts.task, record.key, "adapter", facts.labels)
        answered = run_predictions.kept(result.test_outputs[facts.task], task.test, facts.problem_type)
        return record, weights.to_bytes(tensors, about, answered)
