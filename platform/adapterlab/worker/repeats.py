"""A trial that is judged by several runs of its setting: over seeds, over folds of the training rows, or both.

Its runs are lanes like any other, beside each other or one after another as there is room. What becomes of the trial
does not depend on that: an epoch is judged once every run has had it or has ended before, a run once all before it
have ended; what a run has trained beyond the end of its trial does not count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from adapterlab.records import EpochResult, LaneResult, State
from adapterlab.search.study import StudySearch
from adapterlab.search.trials import RUN_VALUES


@dataclass(frozen=True)
class Repeat:
    """One run of a trial's setting."""

    seed: int
    fold: int | None
    """Which part of the training rows validates instead of the validation split; ``None``: none."""

    @property
    def name(self) -> str:
        """What tells it from the trial's other runs."""
        return f"seed {self.seed}" if self.fold is None else f"seed {self.seed}, fold {self.fold + 1}"


def repeats_of(seed: int, seeds: int, folds: int) -> tuple[Repeat, ...]:
    """Return the runs of every trial of a study: each fold with each seed.

    Args:
        seed: The search's, the first one.
        seeds: How many.
        folds: How many parts the training rows have; 1: they are whole.
    """
    parts = [None] if folds == 1 else list(range(folds))
    return tuple(Repeat(seed + more, fold) for more in range(seeds) for fold in parts)


@dataclass
class Judgement:
    """What several runs say of a setting, as far as they have come."""

    runs: int
    """How many there are in all."""
    metric: str
    """The leading one."""
    report: Callable[[float, int], bool]
    """Told a value and its number, from 1; returns whether to stop the trial."""
    by_run: bool = False
    """Whether the values are those of whole runs, one after another; else means over runs, epoch by epoch."""
    curves: list[list[EpochResult]] = field(init=False)
    """Of every run, the epochs it has had."""
    ended: dict[int, LaneResult] = field(default_factory=dict)
    state: State = State.RUNNING
    """``PRUNED`` or ``FAILED`` once that is decided."""
    reason: str | None = None
    judged: int = 0
    """Epochs, or runs, that were told."""

    def __post_init__(self) -> None:
        self.curves = [[] for _ in range(self.runs)]

    def epoch(self, run: int, result: EpochResult, *, healthy: bool) -> bool:
        """Take note of a run's epoch; return whether to go on.

        Args:
            run: Its number.
            result: The epoch.
            healthy: Whether its numbers are finite; a run that is not ends, and is no better for this epoch.
        """
        if healthy:
            self.curves[run].append(result)
            self._judge()
        return self.state is State.RUNNING

    def end(self, run: int, result: LaneResult) -> None:
        """Take note of a run's end."""
        self.ended[run] = result
        self._judge()

    @property
    def values(self) -> list[float]:
        """The leading metric of every run's kept epoch, by run; of a trial that is complete."""
        return [best.metrics[self.metric] for one in self._ended_well() if (best := one.best) is not None]

    @property
    def counted(self) -> list[int]:
        """How many epochs of each run count for the trial."""
        lengths = [len(curve) for curve in self.curves]
        if self.state is State.RUNNING:
            return lengths
        if self.by_run:
            return [length if run < self.judged else 0 for run, length in enumerate(lengths)]
        return [min(length, self.judged) for length in lengths]

    def tell(self, search: StudySearch, number: int) -> State:
        """Tell a search how the trial ended, once all that began has; return the state it has there.

        Args:
            search: The study's.
            number: The trial's.
        """
        if self.state is State.PRUNED:
            return search.tell_pruned(number)
        if self.state is State.FAILED:
            return search.tell_failed(number, self.reason or "it ended without a result")
        values = self.values
        if self.runs > 1:
            search.annotate(number, **{RUN_VALUES: values})
        return search.tell_complete(number, fmean(values))

    @property
    def is_complete(self) -> bool:
        """Whether it was neither pruned nor failed; of a trial that has ended."""
        return self.state not in (State.PRUNED, State.FAILED)

    def mean_epochs(self) -> list[EpochResult]:
        """Return the mean over runs of each epoch that counts; a run that has ended goes on as it ended."""
        counted = self.counted
        curves = [curve[:count] for curve, count in zip(self.curves, counted, strict=True) if count]
        return [_mean(epoch, curves) for epoch in range(1, max(counted, default=0) + 1)]

    def mean_best(self) -> dict[str, float]:
        """Return the mean over runs of every validation metric of the kept epoch."""
        found = [best for one in self._ended_well() if (best := one.best) is not None]
        return {name: fmean(one.metrics[name] for one in found) for name in found[0].metrics}

    def _ended_well(self) -> list[LaneResult]:
        return [self.ended[run] for run in sorted(self.ended)]

    def _judge(self) -> None:
        while self.state is State.RUNNING:
            value = self._run_value() if self.by_run else self._epoch_value()
            if value is None:
                return
            self.judged += 1
            if self.report(value, self.judged):
                self.state = State.PRUNED

    def _run_value(self) -> float | None:
        result = self.ended.get(self.judged)
        if result is None:
            return None
        if result.state is State.FAILED or result.best is None:
            self._fail(self.judged)
            return None
        return result.best.metrics[self.metric]

    def _epoch_value(self) -> float | None:
        """Return the mean of the next epoch; ``None``: it is not known yet, there is none, or a run has failed in it."""
        epoch = self.judged + 1
        short = [run for run, curve in enumerate(self.curves) if len(curve) < epoch]
        failed = [run for run in short if run in self.ended and self.ended[run].state is State.FAILED]
        if failed:
            self._fail(failed[0])
            return None
        if len(short) == self.runs or any(run not in self.ended for run in short):
            return None
        return _mean(epoch, self.curves).metrics[self.metric]

    def _fail(self, run: int) -> None:
        self.state = State.FAILED
        self.reason = self.ended[run].reason or "a run of it ended without a result"


def _mean(epoch: int, curves: Sequence[Sequence[EpochResult]]) -> EpochResult:
    at = [curve[min(epoch, len(curve)) - 1] for curve in curves]
    return EpochResult(
        epoch=epoch,
        train_loss=fmean(one.train_loss for one in at),
        validation_loss=fmean(one.validation_loss for one in at),
        metrics={name: fmean(one.metrics[name] for one in at) for name in at[0].metrics},
        seconds=sum(one.seconds for one in at),
    )
