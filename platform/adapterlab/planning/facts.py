"""What is known of the inputs of a spec before it is planned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from adapterlab.planning.starts import Earlier
from adapterlab.planning.steps import (
    ExistingAdapter,
)
from adapterlab.records import BackboneFacts, ProblemType, TaskFacts
from adapterlab.spec.model import Spec


@dataclass(frozen=True)
class Facts:
    """What is known of a spec's inputs."""

    backbone: BackboneFacts
    tasks: Mapping[str, TaskFacts]
    """By full name; every source and target task is here."""
    models: Mapping[str, BackboneFacts] = field(default_factory=dict)
    """Other models that combiners read, by the name in their settings."""
    existing: tuple[ExistingAdapter, ...] = ()
    """Source adapters that exist already, in the order of the spec, what a query found last."""
    earlier: Earlier = field(default_factory=dict)
    """Earlier studies that its searches start from, by what the spec calls them."""

    @classmethod
    def unknown(cls, spec: Spec) -> Facts:
        """Return the facts of a spec none of whose inputs was looked at."""
        backbone = BackboneFacts(spec.backbone.source, None, None, None, None, None, None)
        names = dict.fromkeys((*spec.pool.tasks, *spec.targets.tasks))
        return cls(
            backbone, {name: TaskFacts(name, ProblemType.CLASSIFICATION, 0, (), (), None) for name in names}
        )
