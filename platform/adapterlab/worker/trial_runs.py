"""The trials of a study that one worker trains: each a run, or several that are judged together."""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass, field
from statistics import fmean

from pydantic import ValidationError

from adapterlab.catalog.records import Claim
from adapterlab.errors import UsageError
from adapterlab.records import EpochResult, LaneResult, State
from adapterlab.search.pruners import judges_runs
from adapterlab.search.study import Proposal, StudySearch
from adapterlab.search.trials import COMPUTING, TRAINED_ROWS
from adapterlab.spec.search_space import TrialSetting
from adapterlab.train import weights
from adapterlab.train.lane import Lane
from adapterlab.worker.open_study import ROUND_POLL_S, Study
from adapterlab.worker.repeats import Judgement, Repeat, repeats_of
from adapterlab.worker.run_recorder import RunRecorder
from adapterlab.worker.training import train_runs

_PROGRESS_S = 0.5
"""Progress is for people: trivial trials write it no oftener than they can look."""


def train_trials(study: Study, search: StudySearch, claim: Claim) -> dict[str, int]:
    """Train trials of a study, several at a time, until its budget is spent.

    Args:
        study: The study.
        search: Its open search.
        claim: What progress is shown under.

    Returns:
        Number of trials by state.
    """
    trials = _Trials(study, search, claim)
    trials.show_progress()
    counts: Counter[str] = Counter()
    while True:
        counts.update(train_runs(study.worker, trials.next_run))
        trials.show_progress()
        if search.spent:
            return dict(counts)
        # Another worker of the study trains what is left of the round. Should the study fail with it, its claim is
        # given back, and showing progress raises.
        study.worker.check_cancelled()
        time.sleep(ROUND_POLL_S)


@dataclass
class _Trials:
    """The trials of a study that this worker trains."""

    study: Study
    search: StudySearch
    claim: Claim
    _shown: float = field(default_factory=time.monotonic)
    _coming: deque[_Repetition] = field(default_factory=deque)
    """Runs of begun trials that wait for a place."""

    def next_run(self) -> _TrialRun | _Repetition | None:
        """Return the next run of a trial, if there is one now."""
        while self._coming:
            if (run := self._coming.popleft()).start():
                return run
        while (proposal := self.search.ask(self.study.worker.name)) is not None:
            if (begun := self._begin(proposal)) is not None:
                return begun
        return None

    def _begin(self, proposal: Proposal) -> _TrialRun | _Repetition | None:
        """Start a trial; ``None`` where its setting cannot be trained, which it is told to have failed for."""
        study, worker, search = self.study, self.study.worker, self.study.job.search
        name = str(proposal.number)
        first, *others = repeats_of(search.seed, search.seeds, search.folds)
        worker.begin(name, study.key, f"{study.job.task_name} · {study.job.shown} · trial {name}")
        run = worker.tree.trial(
            study.run,
            study.job,
            proposal.number,
            proposal.settings,
            study.task.facts,
            new=not proposal.taken_over,
        )
        try:
            lane = study.trial_lane(TrialSetting.of(proposal.settings), first, name)
        except (UsageError, ValidationError) as error:
            if study.job.method is None:
                raise
            # The ends of ranges fit, which the spec was checked for; what lies between them need not.
            reason = str(error).splitlines()[0]
            self.search.tell_failed(proposal.number, reason)
            run.end(State.FAILED, reason)
            worker.end(name)
            return None
        if not others:
            return _TrialRun(self, proposal, run, lane)
        trial = _Repeated(self, proposal, run, 1 + len(others))
        self._coming += [_Repetition(trial, number, one) for number, one in enumerate(others, start=1)]
        trial.lanes[0] = lane
        return _Repetition(trial, 0, first)

    def tell(self, proposal: Proposal, result: LaneResult) -> State:
        """Tell the search how a trial ended; return the state it has there."""
        if result.state is State.COMPLETE and result.best is not None:
            return self.search.tell_complete(
                proposal.number, result.best.metrics[self.study.task.facts.metric]
            )
        if result.state is State.PRUNED:
            return self.search.tell_pruned(proposal.number)
        return self.search.tell_failed(proposal.number, result.reason or "it ended without a result")

    def ended(self) -> None:
        """Show how far the study is, if that was not done just now."""
        if time.monotonic() - self._shown > _PROGRESS_S:
            self.show_progress()
            self._shown = time.monotonic()

    def show_progress(self) -> None:
        """Say how far the study is."""
        ended, best = self.search.standing()
        detail = f"trial {ended}/{self.search.budget}"
        if best is not None:
            detail += f" · best {self.study.task.facts.metric} {best:.3f}"
        self.study.worker.progress(self.claim, ended, self.search.budget, detail)


@dataclass
class _TrialRun:
    """One trial in training."""

    trials: _Trials
    proposal: Proposal
    run: RunRecorder
    lane: Lane

    def epoch(self, result: EpochResult) -> bool:
        self.run.epoch(result)
        value = result.metrics[self.trials.study.task.facts.metric]
        return self.lane.reason is not None or not self.proposal.report(value, result.epoch)

    def end(self, result: LaneResult) -> None:
        study, best = self.trials.study, result.best
        self.trials.search.annotate(self.proposal.number, **{COMPUTING: result.seconds})
        state = self.trials.tell(self.proposal, result)
        if state is State.COMPLETE and best is not None:
            study.note(best.metrics[study.task.facts.metric], self.proposal.number, [self.lane])
        if best is not None:
            self.run.outcome(
                result, study.task.facts.metric, weights.size(weights.without_head(result.tensors))
            )
        self.run.end(state, result.reason)
        self.trials.ended()


class _Repeated:
    """One trial in training that is judged by several runs."""

    def __init__(self, trials: _Trials, proposal: Proposal, run: RunRecorder, runs: int) -> None:
        self.trials, self.proposal, self.run = trials, proposal, run
        metric, pruner = trials.study.task.facts.metric, trials.study.job.search.pruner
        self.judgement = Judgement(runs, metric, proposal.report, by_run=judges_runs(pruner))
        self.lanes: dict[int, Lane] = {}
        """By number of the run, those that have begun."""

    def end(self, number: int, result: LaneResult) -> None:
        judged = self.judgement
        judged.end(number, result)
        decided = judged.state is not State.RUNNING or len(judged.ended) == judged.runs
        if decided and len(judged.ended) == len(self.lanes):  # what has begun has ended
            self._tell()

    def _tell(self) -> None:
        trials, judged, number = self.trials, self.judgement, self.proposal.number
        study, search = trials.study, trials.search
        seconds = sum(one.seconds for one in judged.ended.values())
        rows = sum(
            count * len(self.lanes[run].task.train.lengths)
            for run, count in enumerate(judged.counted)
            if run in self.lanes
        )
        search.annotate(number, **{COMPUTING: seconds, TRAINED_ROWS: rows})
        for epoch in judged.mean_epochs():
            self.run.epoch(epoch)
        state = judged.tell(search, number)
        if judged.is_complete:
            tensors = judged.ended[0].tensors
            parameters = weights.size(weights.without_head(tensors))
            self.run.several(judged.metric, judged.mean_best(), seconds=seconds, parameters=parameters)
            if study.job.search.folds == 1:  # the final runs train on all rows
                study.note(fmean(judged.values), number, list(self.lanes.values()))
        self.run.end(state, judged.reason)
        trials.ended()


@dataclass
class _Repetition:
    """One run of a trial that is judged by several."""

    trial: _Repeated
    number: int
    repeat: Repeat

    def start(self) -> bool:
        """Make its lane; ``False`` where the trial has ended meanwhile."""
        trial = self.trial
        if trial.judgement.state is not State.RUNNING:
            return False
        study, name = trial.trials.study, f"{trial.proposal.number}.{self.number}"
        shown = f"trial {trial.proposal.number}, {self.repeat.name}"
        study.worker.begin(name, study.key, f"{study.job.task_name} · {study.job.label} · {shown}")
        setting = TrialSetting.of(trial.proposal.settings)
        trial.lanes[self.number] = study.trial_lane(setting, self.repeat, name)
        return True

    @property
    def lane(self) -> Lane:
        return self.trial.lanes[self.number]

    def epoch(self, result: EpochResult) -> bool:
        healthy = self.lane.reason is None
        return self.trial.judgement.epoch(self.number, result, healthy=healthy) or not healthy

    def end(self, result: LaneResult) -> None:
        self.trial.end(self.number, result)
