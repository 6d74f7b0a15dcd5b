"""``platform evaluate``: how good an adapter, a transfer or an exported folder is on labelled rows.

Shapes: ``N`` rows, ``C`` classes, labels or choices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from adapterlab.data import metrics
from adapterlab.data.columns import RowMaker
from adapterlab.data.formats import Fault
from adapterlab.data.resampled_metrics import resampled
from adapterlab.errors import DataError, UsageError
from adapterlab.exporting.answers import Answers, with_own_columns
from adapterlab.exporting.prediction import AnsweredRows, AnsweringModel, NumberedRow, Prediction
from adapterlab.records import ProblemType
from adapterlab.registry.task_definitions import TaskDefinition

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES = 1000
"""Bootstrap samples of the rows behind an interval."""
_LEVEL = 0.95
_SEED = 0


@dataclass(frozen=True)
class Score:
    """One metric on the rows."""

    value: float
    low: float
    """Lower end of the 95 % interval: percentiles over bootstrap samples of the rows."""
    high: float
    """Upper end of it."""


@dataclass(frozen=True)
class WrongRow:
    """A row whose answer is not the right one; of a regression every row is."""

    where: str
    """File and line, or its number."""
    prediction: Prediction
    right: str | tuple[str, ...] | float
    """The right class or choice, the right labels, or the number."""

    @property
    def confidence(self) -> float:
        """How sure the wrong answer was: its probability; of a number, how far it is off."""
        answer = self.prediction
        if answer.value is not None:
            return abs(answer.value - float(self.right))  # type: ignore[arg-type]
        if answer.label is not None:
            return answer.probabilities[answer.label]
        right = self.right if isinstance(self.right, tuple) else ()
        return max(abs(chance - (name in right)) for name, chance in answer.probabilities.items())

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON-able mapping."""
        right = list(self.right) if isinstance(self.right, tuple) else self.right
        return {"where": self.where, "right": right, **self.prediction.to_json()}


@dataclass(frozen=True)
class Evaluated:
    """What was found on all rows."""

    name: str
    """Of what was evaluated."""
    task: str | None
    problem_type: ProblemType
    rows: int
    scores: Mapping[str, Score]
    """By metric, the task's own first."""
    labels: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Rows by right class (line) and answer (column), (C, C); of a multi-label task for each label its rows
    (right and answered, answered only, right only), (C, 3); of a regression empty."""
    wrong: tuple[WrongRow, ...]
    """Rows that were not answered right, the surest first."""
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON-able mapping."""
        return {
            "name": self.name,
            "task": self.task,
            "problem_type": str(self.problem_type),
            "rows": self.rows,
            "scores": {name: asdict(score) for name, score in self.scores.items()},
            "interval": {"level": _LEVEL, "resamples": RESAMPLES, "over": "rows"},
            "labels": list(self.labels),
            "confusion": [list(row) for row in self.confusion],
            "wrong": [one.to_json() for one in self.wrong],
            "notes": list(self.notes),
        }


def evaluate(
    model: AnsweringModel,
    rows: Iterable[NumberedRow],
    *,
    label: str | None = None,
    delimiter: str | None = None,
    wanted: Sequence[str] = (),
    progress: Callable[[int], None] = lambda _: None,
) -> Evaluated:
    """Answer labelled rows, and compare.

    Args:
        model: What answers.
        rows: With the task's own columns or the general ones, and the right answer.
        label: Column of the right answer; ``None``: the task's own.
        delimiter: What stands between the labels of a multi-label cell of text.
        wanted: Metrics; empty: the task's own, and the usual ones of its kind.
        progress: Told how many rows are answered.

    Raises:
        DataError: A row is malformed or has no right answer, or there is none.
        UsageError: A metric is not defined for such a task.
    """
    answers = model.answers if label is None else replace(model.answers, label=label, label_columns=())
    names, notes = _metrics(answers.problem_type, answers.metric, wanted)
    reader = _Labels(answers, delimiter)
    right: list[Any] = []
    outputs: list[NDArray[np.float64]] = []
    wrong: list[WrongRow] = []
    for some in model.answer(reader.noting(rows, right)):
        outputs.append(_by_row(some, answers.problem_type))
        start = len(right) - len(some.rows)
        for (where, _), answer, truth in zip(some.rows, some.predictions, right[start:], strict=True):
            said = reader.in_words(truth)
            if answer.value is not None or said != (answer.labels if answer.label is None else answer.label):
                wrong.append(WrongRow(where, answer, said))
        progress(len(right))
    if not right:
        raise DataError("no rows", remedy="A file to evaluate on needs at least one row.")
    predictions = metrics.predictions_of(np.concatenate(outputs), answers.problem_type)
    truths = reader.stacked(right)
    return Evaluated(
        name=model.name,
        task=answers.task,
        problem_type=answers.problem_type,
        rows=len(right),
        scores=_scores(names, predictions, truths, answers.problem_type),
        labels=answers.labels,
        confusion=_confusion(answers.problem_type, predictions, truths, len(answers.labels)),
        wrong=tuple(sorted(wrong, key=lambda one: -one.confidence)),
        notes=notes,
    )


class _Labels:
    """Reads the right answer of rows, as a task's own files are read."""

    def __init__(self, answers: Answers, delimiter: str | None) -> None:
        self.answers = answers
        definition = TaskDefinition(
            name=answers.task or "the task",
            text=answers.columns or ("text",),
            label=answers.label,
            problem_type=answers.problem_type,
            labels=answers.labels,
            metrics=(),
            label_columns=answers.label_columns,
        )
        # Rows may be cells of a table, where numbers are text.
        self._maker = RowMaker(definition, by_name=True, separator=delimiter, cells=True)
        self._columns = definition.label_columns or (definition.label,)

    def noting(self, rows: Iterable[NumberedRow], right: list[Any]) -> Iterator[NumberedRow]:
        """Yield rows, each one's right answer appended to a list."""
        for where, row in rows:
            made = with_own_columns(row, self.answers)
            missing = [name for name in self._columns if name not in made]
            if missing:
                raise DataError(
                    f"{where}: no column {missing[0]!r}, which holds the right answer; it has {', '.join(row)}",
                    remedy="Name the column: --label COLUMN.",
                )
            try:
                right.append(self._maker.label(made))
            except Fault as fault:
                raise DataError(f"{where}: {fault}") from None
            yield where, row

    def in_words(self, truth: Any) -> Any:
        """Return a right answer as a prediction says it."""
        if isinstance(truth, tuple):
            return tuple(self.answers.labels[one] for one in truth)
        return truth if self.answers.problem_type is ProblemType.REGRESSION else self.answers.labels[truth]

    def stacked(self, right: Sequence[Any]) -> NDArray[Any]:
        """Return all right answers as metrics take them, (N,), or (N, C) of 0 and 1."""
        if self.answers.problem_type is not ProblemType.MULTI_LABEL:
            return np.asarray(right)
        hot = np.zeros((len(right), len(self.answers.labels)), dtype=np.int64)
        for row, ids in enumerate(right):
            hot[row, list(ids)] = 1
        return hot


def _metrics(
    kind: ProblemType, own: str | None, wanted: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    known = metrics.metrics_for(kind)
    if unknown := [name for name in wanted if name not in known]:
        raise UsageError(
            f"{unknown[0]} is no metric of a {kind} task that is computed row by row",
            remedy=f"Known: {', '.join(known)}.",
        )
    if wanted:
        return tuple(dict.fromkeys(wanted)), ()
    usual = {
        ProblemType.CLASSIFICATION: ("accuracy", "f1_macro", "matthews"),
        ProblemType.MULTI_LABEL: ("f1_macro", "f1_micro", "subset_accuracy"),
    }.get(kind, known)
    first = (own,) if own in known else ()
    notes = () if own is None or first else (f"{own}, the task's own metric, needs groups of rows: left out",)
    return tuple(dict.fromkeys((*first, *usual))), notes


def _by_row(some: AnsweredRows, kind: ProblemType) -> NDArray[np.float64]:
    """Return the outputs of each row, (N, C); of multiple choice one a choice."""
    return some.logits.reshape(len(some.rows), -1) if kind is ProblemType.MULTIPLE_CHOICE else some.logits


def _scores(
    names: Sequence[str], predictions: NDArray[Any], truths: NDArray[Any], kind: ProblemType
) -> dict[str, Score]:
    whole = metrics.compute(names, predictions=predictions, labels=truths)
    samples = resampled(names, predictions, truths, kind, samples=RESAMPLES, seed=_SEED)
    ends = (100 * (1 - _LEVEL) / 2, 100 * (1 + _LEVEL) / 2)
    return {name: Score(whole[name], *map(float, np.percentile(samples[name], ends))) for name in names}


def _confusion(
    kind: ProblemType, predictions: NDArray[Any], truths: NDArray[Any], labels: int
) -> tuple[tuple[int, ...], ...]:
    if kind is ProblemType.REGRESSION:
        return ()
    if kind is ProblemType.MULTI_LABEL:
        said, right = predictions.astype(bool), truths.astype(bool)
        counts = np.stack([(said & right).sum(0), (said & ~right).sum(0), (right & ~said).sum(0)], axis=1)
    else:
        from sklearn.metrics import confusion_matrix

        counts = confusion_matrix(truths, predictions, labels=range(labels))
    return tuple(tuple(map(int, row)) for row in counts)
