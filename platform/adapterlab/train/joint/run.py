"""A joint run: batches of one task each, the tensors and their moments, the best evaluation, and a checkpoint.

What a run computes follows from its settings, its seed and its tasks: batches and dropout are decided by the number of
the step, so that a run that goes on from a checkpoint ends with the bits of one that was never stopped.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from torch import Tensor

from adapterlab.errors import CorruptBlobError, UsageError
from adapterlab.fingerprint import digest_of
from adapterlab.records import JointEvaluation, JointResult, JointSettings, State, TaskData
from adapterlab.train.adaptation import Seat
from adapterlab.train.evaluate import Evaluation
from adapterlab.train.joint.model import JointModel
from adapterlab.train.joint.sampling import JointSampler
from adapterlab.train.joint.steps import MEANS, SQUARES, JointSteps
from adapterlab.train.layers import Backbone, JointLayer, Tensors
from adapterlab.train.optimizer import Update
from adapterlab.train.passes import gather
from adapterlab.train.rng import key_of_numbers
from adapterlab.train.row_checks import check_task
from adapterlab.train.step import RunStep
from adapterlab.train.weights import from_bytes, metadata_of, to_bytes

_PRESENT, _BEST = "present/", "best/"
"""What the names of a checkpoint's tensors begin with, beside those of the moments."""


class JointRun:
    """One model that trains on several tasks.

    Args:
        backbone: Frozen, unless the method trains it; then the run starts from a copy of its weights.
        layer: The joint method, made for these tasks in this order.
        tasks: At least two.
        settings: How to train.
        seed: Of init, batches and dropout, >= 0.
        name: Shown in progress and results.

    Raises:
        DataError: A task has no training rows, a row is longer than the backbone can take, or
            an id or label is out of range.
        UsageError: The layer was made for other tasks, a setting names a task that is not of the run, or a task's
            head cannot answer it.
    """

    def __init__(
        self,
        backbone: Backbone,
        layer: JointLayer,
        tasks: Sequence[TaskData],
        settings: JointSettings,
        *,
        seed: int,
        name: str,
    ) -> None:
        self.name, self.settings, self.seed = name, settings, seed
        self.tasks: Mapping[str, TaskData] = {one.facts.task: one for one in tasks}
        self.model = JointModel.of(backbone, layer, [one.facts for one in tasks])
        sizes = {task: len(data.train) for task, data in self.tasks.items()}
        self.sampler = JointSampler(sizes, settings, seed=seed)
        for one in tasks:
            check_task(backbone, one)
        for task in settings.unselected:
            if task not in self.tasks:
                raise UsageError(
                    f"{task} has no part in choosing the best evaluation, and is not a task of this run",
                    remedy=f"Its tasks are {', '.join(self.tasks)}.",
                )
        if not set(self.tasks) - set(settings.unselected):
            raise UsageError("no task is left to choose the best evaluation by")
        self.tensors: Tensors = self.model.initial(seed)
        """All trained tensors, as leaves."""
        self.evaluations: list[JointEvaluation] = []
        self.best: JointEvaluation | None = None
        self.reason: str | None = None
        """Why it failed; ``None`` while it is well."""
        self.seconds = 0.0
        self.train_rows = 0
        self._best_tensors: Tensors | None = None
        self._steps = JointSteps(self.tensors, settings, layer.lr_factor)
        self._losses: list[float] = []
        """Of the steps since the last evaluation."""
        self._known_steps = 0
        """Steps whose loss is known."""
        self._evaluated_at = 0.0

    @property
    def exclusive(self) -> bool:
        """Whether it trains the backbone's own weights, so that its passes are its own."""
        return self.model.layer.method.trains_backbone

    @property
    def step(self) -> int:
        """Steps taken so far."""
        return self._steps.taken

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do: it failed, had all its steps, or no longer improves."""
        if self.reason is not None:
            return True
        if self.evaluation_due:
            return False
        if self.step >= self.settings.steps:
            return True
        if self.best is None:
            return False
        return len(self.evaluations) - 1 - self.evaluations.index(self.best) >= self.settings.patience

    @property
    def evaluation_due(self) -> bool:
        """Whether the tasks are to be evaluated before the next step."""
        evaluated = self.evaluations[-1].step if self.evaluations else 0
        ended = self.step % self.settings.evaluate_every == 0 or self.step == self.settings.steps
        return self.reason is None and self.step > evaluated and ended

    # -- one step ---------------------------------------------------------------------------------

    @property
    def max_grad_norm(self) -> float:
        """Norm that its gradients are clipped to."""
        return self.settings.max_grad_norm

    def next_step(self) -> RunStep:
        """Return the run's part in the next pass: a batch of one task."""
        number, rows = self.sampler.batch(self.step)
        task, data = list(self.tasks.items())[number]
        seat = self.model.seat(
            self.tensors,
            task,
            key=key_of_numbers(self.seed, "step", self.step),
            backbone_dropout=self.settings.backbone_dropout,
            head_dropout=self.settings.head_dropout,
        )
        return RunStep(seat, gather(data.train, rows), self.tensors)

    def updates(self, gradients: Mapping[str, Tensor]) -> list[Update]:
        """Count a step, and return what the optimizer does in it, the rate as scheduled.

        Args:
            gradients: Of the run's tensors that have one.
        """
        return self._steps.updates(gradients)

    def learn(self, loss: float, norm: float, sequences: int) -> None:
        """Take note of a step, possibly some steps later; one that is not finite ends the run with a reason.

        Args:
            loss: The training loss.
            norm: Of all its gradients together.
            sequences: Rows it trained on.
        """
        if self.reason is not None:
            return
        self._known_steps += 1
        self.train_rows += sequences
        self._losses.append(loss)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            number, _ = self.sampler.batch(self._known_steps - 1)
            self.reason = (
                f"diverged in step {self._known_steps} on {list(self.tasks)[number]}: "
                f"loss {loss}, gradient norm {norm}"
            )

    # -- one evaluation ---------------------------------------------------------------------------

    def seats(self, tensors: Tensors) -> list[Seat]:
        """Return the tasks' places in an evaluation of tensors of the run, in the order of the tasks."""
        return [self.model.seat(tensors, task) for task in self.tasks]

    def close_evaluation(self, evaluations: Sequence[Evaluation]) -> JointEvaluation:
        """Record an evaluation, and keep the tensors if it is the best so far.

        Args:
            evaluations: Of the validation splits, in the order of the tasks.
        """
        found = dict(zip(self.tasks, evaluations, strict=True))
        chosen = [task for task in self.tasks if task not in self.settings.unselected]
        by_loss = self.settings.select_by == "loss"
        each = [
            found[task].loss if by_loss else found[task].metrics[self.tasks[task].facts.metric]
            for task in chosen
        ]
        result = JointEvaluation(
            step=self.step,
            train_loss=sum(self._losses) / len(self._losses) if self._losses else math.nan,
            losses={task: one.loss for task, one in found.items()},
            metrics={task: one.metrics for task, one in found.items()},
            selected_by=sum(each) / len(each),
            seconds=self.seconds - self._evaluated_at,
        )
        self._losses, self._evaluated_at = [], self.seconds
        self.evaluations.append(result)
        self.reason = _without_number(result)
        if self.reason is None and self._improves(result):
            self.best = result
            self._best_tensors = {name: one.detach().clone() for name, one in self.tensors.items()}
        return result

    # -- the end ----------------------------------------------------------------------------------

    @property
    def best_tensors(self) -> Tensors:
        """The best evaluation's tensors; the present ones before there was any."""
        return self.tensors if self._best_tensors is None else self._best_tensors

    def result(self, state: State, *, reason: str | None = None) -> JointResult:
        """Return what remains of the run."""
        return JointResult(
            name=self.name,
            state=state,
            evaluations=tuple(self.evaluations),
            best=self.best,
            reason=reason or self.reason,
            tensors={name: one.detach().cpu() for name, one in self.best_tensors.items()},
            seconds=self.seconds,
            train_rows=self.train_rows,
        )

    # -- checkpoints ------------------------------------------------------------------------------

    def checkpoint(self) -> bytes:
        """Return all that the run needs to go on, as one safetensors file; between two steps, at any time."""
        state = {
            "of": self._identity(),
            "step": self.step,
            "counts": self._steps.counts,
            "losses": self._losses,
            "evaluations": [asdict(one) for one in self.evaluations],
            "best": None if self.best is None else self.evaluations.index(self.best),
            "reason": self.reason,
            "seconds": self.seconds,
            "evaluated_at": self._evaluated_at,
            "train_rows": self.train_rows,
        }
        tensors = {f"{_PRESENT}{name}": one for name, one in self.tensors.items()} | self._steps.moments()
        if self._best_tensors is not None:
            tensors |= {f"{_BEST}{name}": one for name, one in self._best_tensors.items()}
        return to_bytes(tensors, {"kind": "joint checkpoint", "state": json.dumps(state)})

    def restore(self, data: bytes) -> None:
        """Go on from where a checkpoint of this run was made.

        Args:
            data: What :meth:`checkpoint` returned, of a run with the same method, tasks, settings and seed.

        Raises:
            CorruptBlobError: It is damaged, or no checkpoint. The run is as it was.
            UsageError: It is another run's.
        """
        found = from_bytes(data)
        try:
            state = json.loads(metadata_of(data)["state"])
            evaluations = [JointEvaluation(**one) for one in state["evaluations"]]
            best = None if state["best"] is None else evaluations[state["best"]]
            of = state["of"]
        except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
            raise CorruptBlobError(f"not the checkpoint of a joint run: {error!r}") from error
        if of != self._identity():
            raise UsageError(
                f"{self.name}: the checkpoint is of a run with another method, other tasks or other settings",
                remedy="Start the run anew, or give it what the checkpoint was made with.",
            )
        present = self._named(found, _PRESENT)
        kept = None if best is None else self._named(found, _BEST)
        moments = {name: one for name, one in found.items() if name.startswith((MEANS, SQUARES))}
        self._steps.restore(moments, state["counts"], state["step"])
        self._known_steps = self.step
        for name, one in self.tensors.items():
            one.data.copy_(present[name])
        self.evaluations, self.best, self._best_tensors = evaluations, best, kept
        self.reason, self.train_rows, self._losses = state["reason"], state["train_rows"], state["losses"]
        self.seconds, self._evaluated_at = state["seconds"], state["evaluated_at"]

    # -- inner ------------------------------------------------------------------------------------

    def _identity(self) -> str:
        """Return what tells this run from another, as far as a checkpoint must know."""
        return digest_of(
            {
                "method": type(self.model.layer).__qualname__,
                "tensors": {name: list(one.shape) for name, one in self.tensors.items()},
                "precision": str(next(iter(self.tensors.values())).dtype),
                "tasks": {task: len(data.train) for task, data in self.tasks.items()},
                "order": list(self.tasks),
                "settings": self.settings.identity(),
                "seed": self.seed,
            }
        )

    def _named(self, found: Tensors, prefix: str) -> Tensors:
        """Return a checkpoint's tensors under a prefix as this run's."""
        own: Tensors = {}
        for name, leaf in self.tensors.items():
            one = found.get(f"{prefix}{name}")
            if one is None or one.shape != leaf.shape:
                raise CorruptBlobError(f"the checkpoint has no {name} of this run's shape")
            own[name] = one.to(leaf.detach(), copy=True)
        return own

    def _improves(self, result: JointEvaluation) -> bool:
        if self.best is None:
            return True
        if self.settings.select_by == "loss":
            return result.selected_by < self.best.selected_by
        return result.selected_by > self.best.selected_by


def _without_number(result: JointEvaluation) -> str | None:
    """Return why an evaluation ends its run, in words; ``None``: every number is one."""
    for task, loss in result.losses.items():
        if not math.isfinite(loss):
            return f"validation loss of {task} after step {result.step} is {loss}"
    for task, metrics in result.metrics.items():
        for name, value in metrics.items():
            if not math.isfinite(value):
                return f"{name} of {task} after step {result.step} is {value}"
    return None
