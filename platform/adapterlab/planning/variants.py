"""The dimensions of a spec that papers sweep, each value a spec of its own: rows of the targets, seeds of the pools.

A plan is that of all its variants together. A variant is a spec with one value of each dimension, so a step has
the key it has in a sweep of that value alone; what two variants share is one step. Sizes of pools are a dimension
of studies alone, see ``spec.studies``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from adapterlab.records import TaskFacts
from adapterlab.spec.complaints import Complaint
from adapterlab.spec.model import Spec
from adapterlab.spec.positions import Path
from adapterlab.spec.studies import StudyPlan, study_plans
from adapterlab.spec.training import FewShotSpec


@dataclass(frozen=True)
class Variant:
    """A spec for one number of rows of its targets."""

    spec: Spec
    """With one number of rows, and baselines named for it; seeds of the pools may be several."""
    few_rows: int | None
    """Rows each target trains on; ``None``: all."""
    mark: str
    """What stands behind the names of its rows; empty where the spec has one number."""

    def named(self, study: StudyPlan) -> StudyPlan:
        """Return a study under the name it has among those of other variants."""
        return replace(study, label=study.label + self.mark, selection=study.selection + self.mark)


@dataclass(frozen=True)
class RowDimensions:
    """What sets a combiner's or baseline's row apart from others of its kind."""

    few_shot: int | None = None
    """Rows each target trains on; ``None``: all."""
    pool_size: int | None = None
    """Sources a combiner is to have; ``None``: all there are, or a baseline, which has none."""
    rule: str | None = None
    """Which rule selects them, where some are selected; else ``None``."""
    source_seed: int | None = None
    """Of a combiner's pool; ``None``: of several seeds, or of a joint run."""
    method: str = field(default="", compare=False)
    """The row's name without its number of rows."""


def variants_of(spec: Spec) -> tuple[Variant, ...]:
    """Return a spec's variants, one for each number of rows, in the order written."""
    numbers = spec.data.few_rows
    return tuple(_variant(spec, rows, several=len(numbers) > 1) for rows in numbers)


def of_source_seed(spec: Spec, seed: int) -> Spec:
    """Return the spec as it is with source adapters of one seed."""
    return spec.model_copy(update={"source": spec.source.model_copy(update={"seed": seed})})


def of_source(spec: Spec, task: str) -> Spec:
    """Return the spec as a task's adapter of the pool sees it: with what ``[per_task]`` and ``[per_source]`` say."""
    mine, own = spec.of_task(task), spec.per_source.get(task)
    if own is None:
        return mine
    limits = [one for one in (own.max_train_rows, spec.data.max_train_rows) if one is not None]
    data = spec.data.model_copy(update={"max_train_rows": min(limits, default=None)})
    return mine.model_copy(update={"source": own.over(mine.source), "data": data})


def dimensions_of_rows(spec: Spec) -> dict[str, RowDimensions]:
    """Return, by name, what sets every baseline and combiner of a spec's report apart.

    Raises:
        NotFoundError: A plug-in the spec names is not installed.
    """
    found: dict[str, RowDimensions] = {}
    seeds = spec.source.seeds
    for variant in variants_of(spec):
        found |= {
            one.label: RowDimensions(variant.few_rows, method=one.label.removesuffix(variant.mark))
            for one in variant.spec.baseline
        }
        found |= {
            variant.named(one).label: RowDimensions(
                variant.few_rows,
                one.sources,
                None if one.sources is None else one.rule,
                seeds[0] if len(seeds) == 1 and one.joint is None else None,
                one.label,
            )
            for one in study_plans(variant.spec)
        }
    return found


def few_rows_complaint(spec: Spec, tasks: Mapping[str, TaskFacts]) -> Complaint | None:
    """Return what is wrong with a spec that trains on more rows than a target has, as far as that is known.

    Args:
        spec: The spec.
        tasks: What is known of tasks, by full name; others are not looked at.
    """
    has = {
        target: known
        for target in spec.targets.tasks
        if target in tasks and (known := tasks[target].n_train) is not None
    }
    for number, asked in enumerate(spec.data.few_rows):
        short = {target: known for target, known in has.items() if asked is not None and known < asked}
        if short:
            path: Path = ("data", "few_shot")
            said = ", ".join(f"{target} has {known:,}" for target, known in short.items())
            return Complaint(
                (*path, number) if isinstance(spec.data.few_shot, tuple) else path,
                "value",
                f"data.few_shot: {asked:,} rows of each target, but to train on {said}",
                f'take at most {min(short.values()):,}, or "all", or leave out such targets',
            )
    return None


def _variant(spec: Spec, rows: int | None, *, several: bool) -> Variant:
    mark = f" {'all' if rows is None else rows} rows" if several else ""
    changed: dict[str, object] = {"few_shot": rows}
    if rows is None and spec.data.few_shot is not None:
        # Validation is limited where few rows train, see ``data.max_validation_rows``.
        changed |= {"few_shot_draw": "fixed", "max_validation_rows": None}
    update: dict[str, object] = {
        "data": spec.data.model_copy(update=changed),
        "baseline": tuple(one.model_copy(update={"name": one.label + mark}) for one in spec.baseline),
    }
    if rows is None:
        update["few_shot"] = FewShotSpec()
    return Variant(spec.model_copy(update=update), rows, mark)
