"""What stands behind a report's numbers: learning curves, confusion matrices, what a constant answer gives.

Read from the runs in MLflow, which keep every epoch's metrics and the head's outputs on every test row, and where MLflow
has none, from the predictions that the catalog keeps. What is not at hand is left out, and said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from adapterlab.errors import AdapterlabError
from adapterlab.records import ProblemType
from adapterlab.registry.entry_points import task_definition
from adapterlab.reporting.intervals import Read
from adapterlab.reporting.summary import Cell, Summary

if TYPE_CHECKING:
    from adapterlab.data.run_predictions import KeptPredictions
    from adapterlab.tracking.reading import RunReader

_OUTPUTS = "test_outputs.json"
_MOST_CLASSES = 40
"""A matrix of more is not drawn."""


@dataclass(frozen=True)
class Curve:
    """One run's leading metric on validation, epoch by epoch."""

    target: str
    method: str
    seed: int
    epochs: tuple[int, ...]
    """From 1."""
    values: tuple[float, ...]


@dataclass(frozen=True)
class Confusion:
    """What one method answered on a target's test rows, all seeds together."""

    target: str
    method: str
    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    """Of true label (row) and answer (column); of several labels at once one row a label: found rightly, found
    wrongly, missed."""
    runs: int
    is_multi_label: bool = False


@dataclass(frozen=True)
class Evidence:
    """Everything that was at hand."""

    curves: tuple[Curve, ...] = ()
    confusions: tuple[Confusion, ...] = ()
    majority: Mapping[str, float] | None = None
    """By target: its leading metric on test if always the most frequent class of the test rows is answered."""
    missing: str | None = None
    """Why something is not there; ``None``: nothing is missing."""

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON-able mapping."""
        return {
            "curves": [asdict(one) for one in self.curves],
            "confusions": [asdict(one) for one in self.confusions],
            "majority": dict(self.majority or {}),
        }


def gather(summary: Summary, tracking: str, read: Read | None = None) -> Evidence:
    """Return what the runs of a report keep.

    Args:
        summary: The results.
        tracking: MLflow tracking URI.
        read: From a run's key to the predictions that the catalog keeps of it, where MLflow has none; absent: MLflow alone.
    """
    from adapterlab.tracking.reading import RunReader

    reader: RunReader | None = None
    away = ""
    try:
        reader = RunReader(tracking)
    except AdapterlabError as error:
        if read is None:
            return Evidence(missing=f"Learning curves and confusion matrices are not shown: {error.message}.")
        away = f"Learning curves are not shown: {error.message}."
    curves: list[Curve] = []
    confusions: list[Confusion] = []
    majority: dict[str, float] = {}
    without = 0
    for cell in summary.cells:
        runs = [(seed, run) for seed, run in zip(cell.seeds, cell.run_ids, strict=False) if run is not None]
        if reader is not None:
            curves += _curves(cell, runs, reader)
        documents = list(_documents(cell, reader, read))
        without += len(cell.test) - len(documents)
        found = _confusion(cell, documents)
        if found is not None:
            confusions.append(found)
        if documents and cell.target not in majority:
            value = _majority(documents[0], cell.metric)
            if value is not None:
                majority[cell.target] = value
    counted = f"{without} run{'s' if without > 1 else ''}"
    lacking = (
        f"There are no test outputs of {counted}: confusion matrices are without them." if without else ""
    )
    missing = " ".join(filter(None, (away, lacking)))
    return Evidence(tuple(curves), tuple(confusions), majority, missing or None)


def majorities(summary: Summary, read: Read) -> dict[str, float]:
    """Return, by target, what always answering the most frequent class gives, from predictions that are kept."""
    found: dict[str, float] = {}
    for cell in summary.cells:
        if cell.target in found:
            continue
        document = next(_documents(cell, None, read), None)
        value = None if document is None else _majority(document, cell.metric)
        if value is not None:
            found[cell.target] = value
    return found


def _majority(document: Mapping[str, Any], metric: str) -> float | None:
    # Kept predictions lack what entity metrics read of the texts, which is a TypeError there.
    with suppress(ValueError, KeyError, TypeError, AdapterlabError):
        return constant_score(document, metric)
    return None


def _documents(cell: Cell, reader: RunReader | None, read: Read | None) -> Iterator[Mapping[str, Any]]:
    """Yield what each run answered, as ``test_outputs.json`` has it; runs that nobody knows it of are left out."""
    runs = cell.run_ids or (None,) * len(cell.keys)
    for run, key in zip_longest(runs, cell.keys):
        found = None if reader is None or run is None else reader.document(run, _OUTPUTS)
        if found is None and read is not None and key is not None:
            kept = read(key)
            found = None if kept is None else _document(kept, cell.target)
        if found is not None:
            yield found


def _document(kept: KeptPredictions, task: str) -> dict[str, Any]:
    names: Sequence[str] = ()
    with suppress(AdapterlabError):
        names = task_definition(task).labels or ()
    classes = kept.outputs.shape[1]
    whole = len(names) == classes
    return {
        "outputs": kept.outputs,
        "labels": kept.labels,
        "problem_type": str(kept.problem_type),
        "label_names": list(names) if whole else list(map(str, range(classes))),
        **({} if kept.groups is None else {"groups": kept.groups}),
    }


def _curves(cell: Cell, runs: Iterable[tuple[int, str]], reader: RunReader) -> Iterable[Curve]:
    for seed, run in runs:
        points = reader.history(run, f"validation/{cell.metric}")
        if points:
            epochs, values = zip(*points, strict=True)
            yield Curve(cell.target, cell.combiner, seed, epochs, values)


def _confusion(cell: Cell, documents: Iterable[Mapping[str, Any]]) -> Confusion | None:
    total: Any = None
    labels: tuple[str, ...] = ()
    runs, several = 0, False
    for document in documents:
        counted = confusion_counts(document)
        if counted is None:
            return None
        total = counted if total is None else total + counted
        labels = tuple(map(str, document["label_names"]))
        several = document["problem_type"] == str(ProblemType.MULTI_LABEL)
        runs += 1
    if total is None:
        return None
    return Confusion(
        cell.target, cell.combiner, labels, tuple(tuple(map(int, row)) for row in total), runs, several
    )


def confusion_counts(document: Mapping[str, Any]) -> Any:
    """Return the counts of one run's answers, see :class:`Confusion`; ``None`` where the task has no classes.

    Args:
        document: Of ``test_outputs.json``.

    Returns:
        (C, C), or (C, 3) for several labels at once.
    """
    import numpy as np

    from adapterlab.data.metrics import predictions_of

    kind = ProblemType(document["problem_type"])
    names = document["label_names"]
    if kind is ProblemType.REGRESSION or not 2 <= len(names) <= _MOST_CLASSES:
        return None
    predictions = predictions_of(document["outputs"], kind)
    truths = np.asarray(document["labels"])
    if not np.isfinite(predictions).all():
        return None
    if kind is ProblemType.MULTI_LABEL:
        said, right = predictions.astype(bool), truths.astype(bool)  # (N, C)
        return np.stack([(said & right).sum(0), (said & ~right).sum(0), (right & ~said).sum(0)], axis=1)
    counts = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(counts, (truths, predictions), 1)
    return counts


def constant_score(document: Mapping[str, Any], metric: str) -> float | None:
    """Return a metric of always answering the most frequent class of the rows; ``None`` without classes.

    Of several labels at once each is answered as most rows have it.

    Args:
        document: Of ``test_outputs.json``; only what it says of the rows is read.
        metric: Its name.
    """
    import numpy as np

    from adapterlab.data.metrics import compute

    kind = ProblemType(document["problem_type"])
    if kind is ProblemType.REGRESSION:
        return None
    truths = np.asarray(document["labels"])  # (N,), or (N, C)
    classes = np.asarray(document["outputs"]).shape[1]
    if kind is ProblemType.MULTI_LABEL:
        answers = np.tile((truths.mean(0) > 0.5).astype(np.int64), (len(truths), 1))
        outputs = answers.astype(np.float64)
    else:
        most = int(np.bincount(truths, minlength=classes).argmax())
        answers = np.full(len(truths), most)
        outputs = np.tile(np.eye(classes)[most], (len(truths), 1))
    found = compute(
        (metric,),
        predictions=answers,
        labels=truths,
        outputs=outputs,
        groups=None if document.get("groups") is None else np.asarray(document["groups"]),
        extras=document.get("extras"),
    )
    return found[metric]
