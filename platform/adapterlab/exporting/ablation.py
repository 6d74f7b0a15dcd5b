"""What each source contributes to a stored transfer: its metric without that source, split by split.

All of it is one evaluation: the transfer as it is and without each source are lanes of the same passes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from adapterlab.catalog.records import TransferRecord
from adapterlab.catalog.store import Catalog
from adapterlab.errors import DataError, UsageError
from adapterlab.exporting import backbone_references as backbones
from adapterlab.exporting.stored_models import Trained, need_source, open_trained, spec_of
from adapterlab.records import BackboneFacts, Examples, TaskData
from adapterlab.registry.entry_points import combiner
from adapterlab.train import finite
from adapterlab.train.ablation import without_each
from adapterlab.train.adaptation import Seat
from adapterlab.train.combination import Combination
from adapterlab.train.evaluate import Evaluation, evaluate
from adapterlab.train.layers import Backbone

if TYPE_CHECKING:
    from adapterlab.data.task_library import TaskLibrary

Split = Literal["validation", "test"]
SPLITS: tuple[Split, ...] = ("validation", "test")
_LANES = 16
"""Lanes of one pass at most; more sources take several passes."""


@dataclass(frozen=True)
class Contribution:
    """The transfer without one source."""

    task: str
    """Full name of the source task."""
    key: str
    """The source adapter's."""
    mean_coefficient: float
    """Over layers and dimensions; mean attention where coefficients depend on the token."""
    metrics: Mapping[str, float]
    """Without it."""
    loss: float
    """Without it, mean over rows."""
    difference: float
    """Leading metric without it minus with all: below 0 where it helps."""
    changed: int
    """Rows whose prediction is another one without it; for a regression, whose number differs."""


@dataclass(frozen=True)
class Contributions:
    """Every source's contribution to one transfer."""

    key: str
    task: str
    combiner: str
    seed: int
    split: str
    rows: int
    metric: str
    metrics: Mapping[str, float]
    """With all sources."""
    loss: float
    recorded: float
    """The leading metric on this split as it was recorded when the transfer was trained."""
    removal: str
    """How a source is removed: ``"zeroed"``, or ``"masked"`` out of a softmax over sources."""
    sources: tuple[Contribution, ...]
    """In coefficient order."""

    @property
    def value(self) -> float:
        """The leading metric with all sources."""
        return self.metrics[self.metric]

    @property
    def is_as_recorded(self) -> bool:
        """Whether evaluating again gave the recorded metric, up to rounding of near ties."""
        return math.isclose(self.value, self.recorded, rel_tol=0, abs_tol=max(1e-4, 1.5 / self.rows))

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON-able mapping."""
        return asdict(self)

    def table(self) -> dict[str, list[Any]]:
        """Return it as MLflow stores tables: columns, and rows in their order."""
        names = list(self.metrics)
        columns = ["source", "mean coefficient", *names, "loss", f"{self.metric} difference", "changed rows"]
        whole = ["(all)", None, *(self.metrics[name] for name in names), self.loss, 0.0, 0]
        data = [
            [
                one.task,
                one.mean_coefficient,
                *(one.metrics[name] for name in names),
                one.loss,
                one.difference,
                one.changed,
            ]
            for one in self.sources
        ]
        return {"columns": columns, "data": [whole, *data]}


def contributions(
    catalog: Catalog,
    key: str,
    *,
    split: Split = "validation",
    backbone: str | None = None,
    data_root: Path | None = None,
    cache: Path,
) -> Contributions:
    """Evaluate a transfer with all its sources and without each of them.

    Args:
        catalog: The open catalog.
        key: Key of a transfer, or a unique beginning of it.
        split: What to evaluate on; test only where it is asked for by name.
        backbone: Where the backbone is; ``None``: where it was when it was trained.
        data_root: Folder of real tasks; ``None``: where it was.
        cache: Folder of this machine's caches.

    Raises:
        NotFoundError: There is no such transfer, or its backbone or data is not at hand.
        UsageError: The key is no transfer's.
        BackboneError: The backbone is another one.
        DataError: The task's data has changed.
    """
    trained = open_trained(catalog, key)
    if not isinstance(trained.record, TransferRecord):
        raise UsageError(
            f"{trained.record.key[:12]} is a source adapter, which is made of no others",
            remedy="Name a transfer; `platform catalog list --kind transfer` shows them.",
        )
    facts = backbones.locate(need_source(trained, backbone), cache=cache)
    backbones.check_digest(facts, trained.record.backbone_digest, f"transfer {trained.record.key[:12]}")
    task = _task(catalog, trained, facts, data_root, cache)
    loaded = backbones.load(facts)
    examples = task.validation if split == "validation" else task.test
    seats = _seats(trained, loaded)
    found = _evaluated(loaded, seats, examples, task)
    coefficients = trained.coefficients(loaded.shape)
    assert coefficients is not None
    means = coefficients.means.double().mean(0).tolist()
    return _result(trained, trained.record, means, split, task, examples, found)


def _seats(trained: Trained, backbone: Backbone) -> list[Seat]:
    """Return the transfer as it is, then without each source."""
    whole = trained.seat(backbone)
    assert isinstance(whole.adaptation, Combination)
    reduced = without_each(whole.adaptation, trained.learned, trained.pooled(backbone.shape), backbone)
    return [whole, *(replace(whole, adaptation=one) for one in reduced)]


def _evaluated(
    backbone: Backbone, seats: Sequence[Seat], examples: Examples, task: TaskData
) -> list[Evaluation]:
    found: list[Evaluation] = []
    for start in range(0, len(seats), _LANES):
        some = seats[start : start + _LANES]
        found += evaluate(backbone, some, [examples] * len(some), [task.facts] * len(some))
    for one in found:
        bad = finite.rows_without_answer(one.outputs)
        if bad:
            raise DataError(f"{task.facts.task}: {finite.told(bad)}", remedy=finite.OVERFLOW)
    return found


def _task(
    catalog: Catalog, trained: Trained, facts: BackboneFacts, data_root: Path | None, cache: Path
) -> TaskData:
    """Return the target's data, the very rows it was trained and evaluated on."""
    from adapterlab.data.task_data import load_task

    spec = spec_of(catalog, trained.record.key) or {"data": {}}
    told = spec["data"].get("root")
    root = data_root or (None if told is None else Path(told))
    task = load_task(
        _library(spec, root, cache),
        trained.record.task,
        backbone_folder=Path(str(facts.folder)),
        max_length=spec["data"].get("max_length", 128),
    )
    if task.facts.content_digest != trained.record.task_digest:
        raise DataError(
            f"{trained.record.task} has other rows now (digest {str(task.facts.content_digest)[:12]}) than when "
            f"{trained.record.key[:12]} was trained ({trained.record.task_digest[:12]})",
            remedy="Name the folder of the data it was trained on: --data-root DIR.",
        )
    return replace(task, validation=task.validation.first(spec["data"].get("max_validation_rows")))


def _library(spec: Mapping[str, Any], root: Path | None, cache: Path) -> TaskLibrary:
    """Return where the sweep's rows are; of a spec that is not known, suites' tasks below ``root`` alone."""
    from adapterlab.data.task_library import TaskLibrary
    from adapterlab.spec.model import Spec

    try:
        known = Spec.model_validate_json(json.dumps(spec))
    except ValueError:
        return TaskLibrary(cache, root)
    return TaskLibrary.of_spec(known, root=root, own_folder=Path.cwd(), cache=cache)


def _result(
    trained: Trained,
    record: TransferRecord,
    means: Sequence[float],
    split: Split,
    task: TaskData,
    examples: Examples,
    found: Sequence[Evaluation],
) -> Contributions:

    from adapterlab.data.metrics import predictions_of

    whole, *reduced = found
    kind = task.facts.problem_type
    before = predictions_of(whole.outputs, kind)
    sources = []
    for entry, mean, one in zip(trained.sources, means, reduced, strict=True):
        after = predictions_of(one.outputs, kind)
        differs = np.atleast_2d((after != before).T).any(axis=0)
        sources.append(
            Contribution(
                task=entry.label,
                key=entry.key,
                mean_coefficient=mean,
                metrics=one.metrics,
                loss=one.loss,
                difference=one.metrics[record.metric] - whole.metrics[record.metric],
                changed=int(differs.sum()),
            )
        )
    return Contributions(
        key=record.key,
        task=record.task,
        combiner=record.combiner,
        seed=record.seed,
        split=split,
        rows=len(examples),
        metric=record.metric,
        metrics=whole.metrics,
        loss=whole.loss,
        recorded=record.validation_value if split == "validation" else record.test_value,
        removal="masked" if combiner(record.combiner).token_dependent else "zeroed",
        sources=tuple(sources),
    )
