"""A plan: all steps of a sweep, and how to find those of a kind."""

from __future__ import annotations

from dataclasses import dataclass

from adapterlab.planning.facts import Facts
from adapterlab.planning.steps import (
    AnyStudy,
    FinalJob,
    Job,
    JointJob,
    SelectionJob,
    ShareJob,
    SourceJob,
    Step,
    StepId,
    StudyJob,
    is_final,
    is_joint,
    is_search,
    is_selection,
    is_share,
    is_source,
    is_study,
)
from adapterlab.records import StepKind


@dataclass(frozen=True)
class Plan:
    """All steps of a sweep, each after those it needs."""

    name: str
    """Name of the sweep."""
    key: str | None
    """Identity of the sweep: its name and its steps' keys; ``None`` while a step has no key."""
    steps: tuple[Step[Job], ...]
    facts: Facts
    pending: tuple[str, ...]
    """Why keys are missing, one sentence each; empty when the plan can run."""

    def of_kind(self, kind: StepKind) -> tuple[Step[Job], ...]:
        """Return the steps of one kind, in order."""
        return tuple(step for step in self.steps if step.kind is kind)

    @property
    def sources(self) -> tuple[Step[SourceJob], ...]:
        """The steps that train source adapters, in order."""
        return tuple(step for step in self.steps if is_source(step))

    @property
    def joints(self) -> tuple[Step[JointJob], ...]:
        """The joint runs, in order."""
        return tuple(step for step in self.steps if is_joint(step))

    @property
    def shares(self) -> tuple[Step[ShareJob], ...]:
        """What tasks have of joint runs, in order; done with those."""
        return tuple(step for step in self.steps if is_share(step))

    def shares_of(self, run: StepId) -> tuple[Step[ShareJob], ...]:
        """Return the shares of a joint run, in the order of its tasks."""
        return tuple(step for step in self.shares if step.job.joint == run)

    @property
    def selections(self) -> tuple[Step[SelectionJob], ...]:
        """The steps that select sources, in order."""
        return tuple(step for step in self.steps if is_selection(step))

    @property
    def studies(self) -> tuple[Step[StudyJob], ...]:
        """The studies of one task each, in order."""
        return tuple(step for step in self.steps if is_study(step))

    @property
    def searches(self) -> tuple[Step[AnyStudy], ...]:
        """Every study, those of joint runs among them, in order."""
        return tuple(step for step in self.steps if is_search(step))

    @property
    def combinations(self) -> tuple[Step[StudyJob], ...]:
        """The studies of combiners, in order."""
        return tuple(step for step in self.studies if step.job.method is None)

    @property
    def finals(self) -> tuple[Step[FinalJob], ...]:
        """The final runs, in order."""
        return tuple(step for step in self.steps if is_final(step))

    def finals_of(self, study: StepId) -> tuple[Step[FinalJob], ...]:
        """Return the final runs of a study, in order."""
        return tuple(step for step in self.finals if step.job.study == study)

    def adapters_of(self, study: StepId) -> tuple[Step[SourceJob], ...]:
        """Return the adapters that are trained as a study chooses, in order."""
        return tuple(step for step in self.sources if study in step.needs)
