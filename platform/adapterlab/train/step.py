"""Steps of several runs: one forward and one backward pass, and one update, for all of them, step after step.

A run is a lane, or a joint run with its batch of one task; runs have no tensor between them but the frozen ones.

A GPU works through what it is given while the host goes on: it prepares the next step's batches and gives the next pass,
a few steps ahead. Nothing in a step asks the GPU for a number; losses and norms come to the host on their own, and a run
learns of them, and of having diverged, when they are there. On a CPU a step has ended when it returns.
"""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain, islice, pairwise
from typing import Generic, Protocol, Self, TypeVar

import torch
from torch import Tensor

from adapterlab.errors import TrainingError
from adapterlab.train.adaptation import Seat, cohorts_of, read_states
from adapterlab.train.answers import answers, in_order
from adapterlab.train.capacity import Capacity, in_halves
from adapterlab.train.gpu_path import on_gpu_path
from adapterlab.train.layers import Backbone, Tensors
from adapterlab.train.optimizer import Update, advance, advance_unread, clipped, clipping, gradient_norms
from adapterlab.train.passes import Rectangle, placed
from adapterlab.train.transfer import Fetched, Mark, mark

AHEAD = 4
"""Passes that the host gives a GPU before it waits for the first of them: enough to keep it busy, few enough that
what the host knows is a moment old."""


@dataclass(frozen=True)
class RunStep:
    """What one run brings to a pass."""

    seat: Seat
    rectangle: Rectangle
    """On the CPU, or where the backbone is."""
    trained: Tensors
    """Leaves that the seat's tensors are, or are made of."""


class TrainedRun(Protocol):
    """A run that takes its steps beside others."""

    name: str
    """Shown in errors."""
    seconds: float
    """Its share of the computing so far."""
    reason: str | None
    """Why it failed; ``None`` while it is well."""

    @property
    def max_grad_norm(self) -> float:
        """Norm that its gradients are clipped to."""

    def next_step(self) -> RunStep:
        """Return what it brings to the next pass."""

    def updates(self, gradients: Mapping[str, Tensor]) -> list[Update]:
        """Count a step, and return what the optimizer does in it; it is left undone where the run has diverged.

        Args:
            gradients: Of its tensors.
        """

    def learn(self, loss: float, norm: float, sequences: int) -> None:
        """Take note of a step; after that very step, or some steps later, but in their order.

        A loss or a norm that is not finite ends the run with a reason. Of steps after that nothing is noted.

        Args:
            loss: The training loss.
            norm: Of all its gradients together.
            sequences: Rows it trained on.
        """


RunT = TypeVar("RunT", bound=TrainedRun)
_ItemT = TypeVar("_ItemT")


def nothing() -> None:
    """Do nothing: what is called after a pass where nobody asks for more."""


def passes_ahead(device: torch.device) -> int:
    """Return how many passes a device may be behind the host; none for a CPU."""
    return AHEAD if on_gpu_path(device) else 0


class _Outcome(Protocol):
    """What comes of a step for some runs."""

    def read(self) -> list[tuple[float, float]]:
        """Return each run's loss and norm, once they are there."""


@dataclass(frozen=True)
class _Known:
    """What the host had to know for the step."""

    values: list[tuple[float, float]]

    def read(self) -> list[tuple[float, float]]:
        """Return it."""
        return self.values


@dataclass(frozen=True)
class _Coming:
    """What is on its way to the host."""

    values: Fetched
    """(2, K), float64."""

    def read(self) -> list[tuple[float, float]]:
        """Wait for it."""
        losses, norms = self.values.read().tolist()
        return list(zip(losses, norms, strict=True))


@dataclass(frozen=True)
class _Flight(Generic[RunT]):
    """A step that the device was given, and whose losses are not known yet."""

    runs: Sequence[RunT]
    sequences: Sequence[int]
    """Rows of each run."""
    tokens: int
    """Token rows of all."""
    outcomes: Sequence[_Outcome]
    """Of the runs, in as many parts as the pass was done in."""
    end: Mark


class Steps(Generic[RunT]):
    """Steps of runs, one after another.

    Args:
        backbone: The shared frozen backbone.
        capacity: Most runs in a pass; told how fast steps were, and when memory ran out. ``None``: any number.
        tell: Told of each step, when it has ended, how many runs were in it and its seconds.
    """

    def __init__(
        self,
        backbone: Backbone,
        capacity: Capacity | None = None,
        *,
        tell: Callable[[int, float], None] = lambda _runs, _seconds: None,
    ) -> None:
        self._backbone, self._capacity = backbone, capacity or Capacity(sys.maxsize)
        self._tell = tell
        self._flights: deque[_Flight[RunT]] = deque()
        self._ahead = passes_ahead(backbone.device)
        self._since: Mark | None = None
        """Where the time of the first step in flight begins."""
        self._diverged: dict[RunT, Tensor] = {}
        """Of runs with steps in flight: 1 where one has diverged, (), float32."""

    def __enter__(self) -> Self:
        """Return these steps."""
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """Wait for what is in flight, so that runs are whole whatever ends their training."""
        if not isinstance(error, RuntimeError):  # with which torch says that the device itself failed
            self.settle()

    def take(self, runs: Sequence[RunT]) -> None:
        """Advance every run by one step.

        Runs beyond the capacity, which may have been more, have a pass of their own. A pass that does not fit into
        memory is done again in two halves; a step's random numbers follow from the step, and gradients are kept
        nowhere, so that nothing of it shows in their results.

        Args:
            runs: Those to advance, those of equal group side by side.

        Raises:
            TrainingError: A single run's step does not fit into memory.
        """
        if not self._flights:
            self._since = mark(self._backbone.device)
        self._flights.append(self.given(runs, self.prepared(runs)))
        while len(self._flights) > self._ahead:
            self._land()

    def settle(self) -> None:
        """Wait for all steps that were taken, so that runs know what came of them."""
        while self._flights:
            self._land()

    def prepared(self, runs: Sequence[RunT]) -> list[RunStep]:
        """Return what runs bring to the next pass, their batches on the way to the device."""
        steps = [run.next_step() for run in runs]
        rectangles = placed([one.rectangle for one in steps], self._backbone.device)
        return [replace(one, rectangle=own) for one, own in zip(steps, rectangles, strict=True)]

    def given(self, runs: Sequence[RunT], steps: Sequence[RunStep]) -> _Flight[RunT]:
        """Give the device a step, and wait for nothing."""
        outcomes = [
            self._updated([run for run, _ in part], losses, gradients)
            for members in _evenly(list(zip(runs, steps, strict=True)), self._capacity.lanes)
            for part, (losses, gradients) in in_halves(
                members,
                lambda some: gradients_of(self._backbone, [step for _, step in some]),
                ran_out=self._capacity.ran_out,
                too_large=_too_large,
            )
        ]
        return _Flight(
            tuple(runs),
            [len(one.rectangle.token_ids) for one in steps],
            sum(one.rectangle.tokens for one in steps),
            outcomes,
            mark(self._backbone.device),
        )

    def _updated(self, runs: Sequence[RunT], losses: Tensor, gradients: Sequence[Tensors]) -> _Outcome:
        """Take one optimizer step for every run."""
        counts = [len(one) for one in gradients]
        norms = gradient_norms([gradient for one in gradients for gradient in one.values()])
        updates = [run.updates(own) for run, own in zip(runs, gradients, strict=True)]
        if not self._ahead:
            return _advanced(runs, updates, losses, norms, counts)
        before = [self._diverged.get(run) for run in runs]
        known = [losses.new_zeros((), dtype=torch.float32) if one is None else one for one in before]
        found = clipped(
            losses,
            norms,
            counts,
            [run.max_grad_norm for run in runs],
            torch.stack(known) if any(one is not None for one in before) else None,
        )
        advance_unread(updates, found.scales, found.diverged)
        self._diverged |= zip(runs, found.diverged.unbind(), strict=True)
        return _Coming(Fetched(torch.stack([losses.double(), found.norms])))

    def _land(self) -> None:
        """Tell the runs of the first step in flight what came of it."""
        flight = self._flights.popleft()
        known = chain.from_iterable(one.read() for one in flight.outcomes)
        for run, sequences, (loss, norm) in zip(flight.runs, flight.sequences, known, strict=True):
            run.learn(loss, norm, sequences)
        assert self._since is not None
        flight.end.wait()
        seconds = flight.end.seconds_since(self._since)
        self._since = flight.end
        for run in flight.runs:
            run.seconds += seconds / len(flight.runs)
        self._capacity.observe(len(flight.runs), flight.tokens, seconds)
        self._tell(len(flight.runs), seconds)
        if not self._flights:
            self._diverged.clear()


def take_step(backbone: Backbone, runs: Sequence[RunT], capacity: Capacity | None = None) -> None:
    """Advance every run by one step, and wait for its end; see :class:`Steps`.

    Raises:
        TrainingError: A single run's step does not fit into memory.
    """
    steps: Steps[RunT] = Steps(backbone, capacity)
    steps.take(runs)
    steps.settle()


@contextmanager
def shared_time(runs: Sequence[TrainedRun]) -> Iterator[None]:
    """Charge the time of a block, in which nothing is in flight, to the runs that share it, in equal parts."""
    start = time.monotonic()
    yield
    seconds = time.monotonic() - start
    for run in runs:
        run.seconds += seconds / len(runs)


def gradients_of(backbone: Backbone, steps: Sequence[RunStep]) -> tuple[Tensor, list[Tensors]]:
    """Return every run's loss on its rows, (K,), and the gradients of those of its tensors that it depends on.

    Args:
        backbone: The shared frozen backbone.
        steps: Of the runs, those of equal group side by side.
    """
    seats, rectangles = [one.seat for one in steps], [one.rectangle for one in steps]
    cohorts = cohorts_of(seats)
    states = read_states(backbone, seats, rectangles, cohorts)
    found = answers(seats, states, rectangles)
    losses = in_order(found, [one.losses for one in found])
    penalties = [one.penalties for one in cohorts]
    if any(one is not None for one in penalties):
        losses = losses + torch.cat(
            [
                losses.new_zeros(len(cohort.seats)) if one is None else one
                for cohort, one in zip(cohorts, penalties, strict=True)
            ]
        )
    leaves = [
        (run, name, tensor)
        for run, step in enumerate(steps)
        for name, tensor in step.trained.items()
        if tensor.requires_grad
    ]
    # Runs share no trained tensor, so the gradient of the sum is each run's own gradient.
    each = torch.autograd.grad(losses.sum(), [tensor for _, _, tensor in leaves], allow_unused=True)
    gradients: list[Tensors] = [{} for _ in steps]
    for (run, name, _), gradient in zip(leaves, each, strict=True):
        if gradient is not None:
            gradients[run][name] = gradient
    return losses.detach(), gradients


def _advanced(
    runs: Sequence[TrainedRun],
    updates: Sequence[Sequence[Update]],
    losses: Tensor,
    norms: Tensor,
    counts: Sequence[int],
) -> _Known:
    """Take one optimizer step for every run that has not diverged; losses and norms of all runs are read at once."""
    values = iter(torch.cat([losses, norms]).tolist())
    known = list(islice(values, len(runs)))
    clips = [
        clipping(list(islice(values, count)), run.max_grad_norm)
        for run, count in zip(runs, counts, strict=True)
    ]
    well = [
        (one, scale)
        for own, loss, (norm, scale) in zip(updates, known, clips, strict=True)
        if math.isfinite(loss) and math.isfinite(norm)
        for one in own
    ]
    advance([one for one, _ in well], [scale for _, scale in well])
    return _Known([(loss, norm) for loss, (norm, _) in zip(known, clips, strict=True)])


def _evenly(members: Sequence[_ItemT], most: int) -> list[Sequence[_ItemT]]:
    """Return members in as few parts of at most so many as there can be, of sizes that differ by one at most."""
    count = math.ceil(len(members) / most)
    ends = [len(members) * part // count for part in range(count + 1)]
    return [members[start:end] for start, end in pairwise(ends)]


def _too_large(member: tuple[RunT, RunStep], reason: str) -> TrainingError:
    run, step = member
    return TrainingError(
        f"{run.name}: one step of {len(step.rectangle.token_ids)} sequences does not fit into memory: {reason}",
        remedy="Lower batch_size or data.max_length, or give the worker more memory.",
    )
