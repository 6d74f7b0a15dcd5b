"""What a spec says of its combiners, put together: settings, dimensions and training of each study.

A dimension of a combiner is what ``[combiner.per_kind.<kind>.search]`` says, else what ``[search]`` says,
else the combiner's own default. A dimension the combiner has no use for is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from pydantic import BaseModel

from adapterlab.registry import entry_points
from adapterlab.registry.plugins import Combiner
from adapterlab.spec.joint import SINGLE
from adapterlab.spec.model import AUTO, CombinerSpec, PerKindSpec, Spec
from adapterlab.spec.ranges import at_first, searched
from adapterlab.spec.search_space import (
    OF_EVERY_COMBINER,
    Choices,
    Dimension,
    FloatRange,
    bounds_of,
    parse_space,
)
from adapterlab.spec.selection import FORWARD_SELECTION, MEASURED, TEXT_SIMILARITY, rule_words
from adapterlab.spec.training import TransferSpec

Spaces = dict[str, Dimension]


@dataclass(frozen=True)
class CombinerChoice:
    """One combiner as one study uses it."""

    kind: str
    """Its name."""
    plugin: Combiner
    settings: BaseModel
    spaces: Spaces
    """Its dimensions by name, in the combiner's own order, then those of its training."""
    training: TransferSpec
    """What is searched has the first of its values."""

    @property
    def max_epochs(self) -> int:
        """Most epochs one run can take."""
        return int(bounds_of(self.spaces.get("max_epochs", self.training.max_epochs))[1])


@dataclass(frozen=True)
class StudyPlan:
    """One study of every target."""

    label: str
    """What a person calls it: the combiner, with its point of a grid; or ``"auto"``."""
    choices: tuple[CombinerChoice, ...]
    """The combiners it chooses among; one but for ``auto``."""
    chooses: bool
    """Whether the combiner is a dimension of the search."""
    sources: int | None = None
    """How many sources it combines; ``None``: all there are."""
    rule: str = "order"
    """Which ones these are, see ``pool.rule``."""
    selection: str = ""
    """What a person calls the selection of its sources; studies of one name share theirs."""
    joint: str | None = None
    """The joint run whose tasks' adapters it combines; ``None``: each was trained by itself."""

    @property
    def max_epochs(self) -> int:
        """Most epochs one run can take."""
        return max(choice.max_epochs for choice in self.choices)


def study_plans(spec: Spec) -> tuple[StudyPlan, ...]:
    """Return the studies every target has, in the order of ``combiner.kind``, each for every pool there is of it.

    A pool is of a ``pool.training``, a ``pool.rule`` and a ``pool.size``.

    Raises:
        NotFoundError: A combiner is not installed.
        pydantic.ValidationError: Settings do not fit; a loaded spec never raises this.
        ValueError: A grid is among the combiners of ``auto``; a loaded spec never raises this.
    """
    sizes, rules, trainings = spec.pool.sizes, spec.pool.rules, spec.pool.trainings
    plans = []
    for plan, training, rule, size in product(_of_kinds(spec), trainings, rules, sizes):
        joint = None if training == SINGLE else training
        over = f" over {joint}" if joint is not None and len(trainings) > 1 else ""
        told = rule in MEASURED or len(rules) > 1
        count = f" {size} source{'' if size == 1 else 's'}" if len(sizes) > 1 or told else ""
        by = f" by {rule_words(rule)}" if told else ""
        plans.append(
            replace(
                plan,
                label=plan.label + over + count + by,
                sources=size,
                rule=rule,
                selection=_selection_name(rule, plan.label, over),
                joint=joint,
            )
        )
    return tuple(plans)


def _selection_name(rule: str, label: str, over: str) -> str:
    """Return what a selection is called: texts are the same for every study, adapters for every combiner of a pool."""
    if rule == TEXT_SIMILARITY:
        return rule
    return f"{rule} with {label}{over}" if rule == FORWARD_SELECTION else rule + over


def _of_kinds(spec: Spec) -> list[StudyPlan]:
    """Return the studies of a pool of one size."""
    plans: list[StudyPlan] = []
    for kind in spec.combiner.kinds:
        if kind != AUTO:
            plans += [StudyPlan(label, (choice,), chooses=False) for label, choice in _choices_of(spec, kind)]
            continue
        among = [_choices_of(spec, name) for name in spec.combiner.among]
        several = [found[0][1].kind for found in among if len(found) > 1]
        if several:
            raise ValueError(f"{', '.join(several)}: a grid is several studies, it cannot be among auto's")
        plans.append(StudyPlan(AUTO, tuple(found[0][1] for found in among), chooses=True))
    return plans


def merged_settings(combiner: CombinerSpec, kind: str) -> dict[str, Any]:
    """Return a combiner's settings as they were written."""
    return {**combiner.settings, **combiner.per_kind.get(kind, PerKindSpec()).settings}


def spaces_of(
    plugin: Combiner, shared: Mapping[str, float | FloatRange | Choices], own: Mapping[str, Any]
) -> Spaces:
    """Return a combiner's dimensions.

    Args:
        plugin: The combiner.
        shared: What ``[search]`` says, by name.
        own: What ``[combiner.per_kind.<kind>.search]`` says.
    """
    written = {**shared, **own}
    spaces: Spaces = {
        name: written[name] if name in written else parse_space(default)
        for name, default in plugin.dimensions.items()
    }
    optional = [name for name in (*OF_EVERY_COMBINER, *plugin.optional) if name in written]
    return spaces | {name: written[name] for name in optional}


def _choices_of(spec: Spec, kind: str) -> list[tuple[str, CombinerChoice]]:
    """Return a combiner's studies: one, or one for each point of a grid."""
    plugin = entry_points.combiner(kind)
    own = spec.combiner.per_kind.get(kind, PerKindSpec())
    settings = plugin.settings.model_validate(merged_settings(spec.combiner, kind))
    training = own.transfer.over(spec.transfer)
    spaces = spaces_of(plugin, spec.search.spaces(), own.search) | searched(training)
    return [
        (f"{kind} {label}".strip(), CombinerChoice(kind, plugin, point, spaces, at_first(training)))
        for label, point in plugin.points(settings)
    ]
