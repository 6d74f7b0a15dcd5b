"""Metrics by name, on predictions gathered over a whole split.

scikit-learn and SciPy compute those over single rows; those over groups of rows (all answers of a question, all
candidates for a blank) are written here. Shapes: ``N`` rows, ``C`` classes.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from adapterlab.errors import NotFoundError
from adapterlab.records import Examples, ProblemType

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_CLASSES = ProblemType.CLASSIFICATION
_LABELS = ProblemType.MULTI_LABEL
_CHOICES = ProblemType.MULTIPLE_CHOICE
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True)
class Metric:
    """One way to score predictions; greater is better."""

    compute: Callable[[Any, Any], float]
    """Takes predictions and labels; a grouped one takes :class:`GroupedPredictions` and nothing."""
    problem_types: frozenset[ProblemType]
    """What it is defined for."""
    is_grouped: bool = False
    """Whether it needs groups, outputs or extras beside predictions and labels."""
    of_groups: Callable[[GroupedPredictions], list[float]] | None = None
    """Of a grouped one: its value of each group, in the order of their first rows; the metric is their mean."""
    reads_extras: bool = False
    """Whether it needs extras."""


def _accuracy(predictions: Any, labels: Any) -> float:
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(labels, predictions))


def _f1(predictions: Any, labels: Any) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(labels, predictions, average="binary", pos_label=1, zero_division=0.0))


def _average(name: str, average: str, predictions: Any, labels: Any) -> float:
    import sklearn.metrics

    function = getattr(sklearn.metrics, name)
    return float(function(labels, predictions, average=average, zero_division=0.0))


def _matthews(predictions: Any, labels: Any) -> float:
    import numpy as np
    from sklearn.metrics import matthews_corrcoef

    if len(np.unique(np.concatenate([predictions, labels]))) < 2:
        return 0.0  # scikit-learn answers the same, with a warning
    return float(matthews_corrcoef(labels, predictions))


def _pearson(predictions: Any, labels: Any) -> float:
    from scipy.stats import pearsonr

    return _correlation(pearsonr, predictions, labels)


def _spearman(predictions: Any, labels: Any) -> float:
    from scipy.stats import spearmanr

    return _correlation(spearmanr, predictions, labels)


def _correlation(function: Callable[[Any, Any], Any], predictions: Any, labels: Any) -> float:
    import numpy as np

    x, y = np.asarray(predictions, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    if len(x) < 2 or _flat(x) or _flat(y):
        return 0.0  # undefined: a constant says nothing of the other
    value = float(function(x, y).statistic)
    return value if np.isfinite(value) else 0.0


def _flat(values: NDArray[np.float64]) -> bool:
    """Tell whether values are constant up to rounding; SciPy warns and answers noise for these."""
    return bool(values.max() - values.min() <= 1e-12 * abs(values).max())


@dataclass(frozen=True)
class GroupedPredictions:
    """Predictions on a split, with what grouped metrics read besides."""

    predictions: Any
    """Class ids, (N,)."""
    labels: Any
    """Class ids, (N,)."""
    outputs: Any = None
    """Logits, (N, C)."""
    groups: Any = None
    """Group of each row, (N,); ``None``: each row alone."""
    extras: Sequence[Mapping[str, Any]] | None = None
    """Of each row, N mappings; the entity metrics read ``entity`` and ``answers``."""

    def members(self) -> Iterator[list[int]]:
        """Yield the rows of each group, groups in the order of their first row."""
        if self.groups is None:
            yield from ([row] for row in range(len(self.labels)))
            return
        found: dict[int, list[int]] = {}
        for row, group in enumerate(self.groups.tolist() if hasattr(self.groups, "tolist") else self.groups):
            found.setdefault(group, []).append(row)
        yield from found.values()


def group_accuracy(grouped: GroupedPredictions, _: None = None) -> float:
    """Return the share of groups all of whose rows are right: MultiRC's exact match of a question.

    Source: Khashabi et al. 2018, Looking Beyond the Surface (MultiRC), metric EM0.
    """
    return _mean(_right_groups(grouped))


def entity_f1(grouped: GroupedPredictions, _: None = None) -> float:
    """Return the mean over groups of the chosen entity's token F1 with its best gold answer."""
    return _mean(_entity_f1(grouped))


def entity_em(grouped: GroupedPredictions, _: None = None) -> float:
    """Return the share of groups whose chosen entity is a gold answer, once both are normalised."""
    return _mean(_entity_em(grouped))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _right_groups(grouped: GroupedPredictions) -> list[float]:
    return [
        float(all(grouped.predictions[row] == grouped.labels[row] for row in rows))
        for rows in grouped.members()
    ]


def _entity_f1(grouped: GroupedPredictions) -> list[float]:
    return _over_groups(grouped, token_f1)


def _entity_em(grouped: GroupedPredictions) -> list[float]:
    return _over_groups(grouped, lambda one, gold: float(normalise(one) == normalise(gold)))


def _over_groups(grouped: GroupedPredictions, alike: Callable[[str, str], float]) -> list[float]:
    """Return the best likeness of each group's chosen entity to any of its answers.

    A group without answers counts 0, as no entity can be right.

    Raises:
        ValueError: Outputs of two classes or the entities and answers are missing.

    Source: Zhang et al. 2018, ReCoRD; SuperGLUE's evaluation: the entity with the greatest logit of
    class 1 is the answer, ties go to the greater entity string.
    """
    outputs, extras = grouped.outputs, grouped.extras
    if outputs is None or extras is None or outputs.ndim != 2 or outputs.shape[1] != 2:
        raise ValueError("entity metrics need outputs (N, 2) and each row's entity and answers")
    values = []
    for rows in grouped.members():
        entity, answers = max(
            (
                (float(outputs[row, 1]), str(extras[row]["entity"]), tuple(extras[row]["answers"]))
                for row in rows
            ),
            key=lambda candidate: candidate[:2],
        )[1:]
        values.append(max((alike(entity, gold) for gold in answers), default=0.0))
    return values


def normalise(text: str) -> str:
    """Return an answer without case, punctuation, articles and superfluous white space.

    Source: Rajpurkar et al. 2016, SQuAD; its evaluation script's normalisation.
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def token_f1(answer: str, gold: str) -> float:
    """Return the harmonic mean of precision and recall of an answer's normalised words, in [0, 1]."""
    words, wanted = normalise(answer).split(), normalise(gold).split()
    common = sum((Counter(words) & Counter(wanted)).values())
    return 2 * common / (len(words) + len(wanted)) if common else 0.0


def _metric(function: Callable[..., float], *kinds: ProblemType) -> Metric:
    return Metric(function, frozenset(kinds))


def _grouped(
    function: Callable[..., float],
    of_groups: Callable[[GroupedPredictions], list[float]],
    *,
    reads_extras: bool = False,
) -> Metric:
    return Metric(function, frozenset({_CLASSES}), True, of_groups, reads_extras)


METRICS: Mapping[str, Metric] = {
    "accuracy": _metric(_accuracy, _CLASSES, _CHOICES),
    "f1": _metric(_f1, _CLASSES),
    "f1_macro": _metric(partial(_average, "f1_score", "macro"), _CLASSES, _LABELS),
    "f1_micro": _metric(partial(_average, "f1_score", "micro"), _CLASSES, _LABELS),
    "precision_macro": _metric(partial(_average, "precision_score", "macro"), _CLASSES, _LABELS),
    "recall_macro": _metric(partial(_average, "recall_score", "macro"), _CLASSES, _LABELS),
    "subset_accuracy": _metric(_accuracy, _LABELS),
    "matthews": _metric(_matthews, _CLASSES),
    "pearson": _metric(_pearson, ProblemType.REGRESSION),
    "spearman": _metric(_spearman, ProblemType.REGRESSION),
    "group_accuracy": _grouped(group_accuracy, _right_groups),
    "entity_f1": _grouped(entity_f1, _entity_f1, reads_extras=True),
    "entity_em": _grouped(entity_em, _entity_em, reads_extras=True),
}
"""Every metric by name: ``accuracy``; ``f1`` of class 1; ``f1_macro``, ``precision_macro`` and
``recall_macro``, means over the classes that occur or over all labels; ``f1_micro``, over all
decisions together; ``subset_accuracy``, the share of rows all of whose labels are right; ``matthews``,
``pearson`` and ``spearman`` correlation in [-1, 1]; ``group_accuracy``, ``entity_f1`` and
``entity_em``, see the functions of these names."""


def metrics_for(problem_type: ProblemType) -> tuple[str, ...]:
    """Return the metrics that are defined for a problem type, the common one first; no grouped ones."""
    return tuple(
        name for name, one in METRICS.items() if problem_type in one.problem_types and not one.is_grouped
    )


def score(
    names: Sequence[str], outputs: NDArray[Any], examples: Examples, problem_type: ProblemType
) -> dict[str, float]:
    """Return metrics of a head's outputs on a split.

    Args:
        names: Metrics to compute, keys of :data:`METRICS`.
        outputs: (N, C); (N, 1) for regression, (N, choices) for multiple choice.
        examples: The N examples, with their labels, groups and extras.
        problem_type: What the outputs are.

    Raises:
        NotFoundError: A metric is unknown.
        ValueError: A metric is not defined for these labels, or there is no example.
    """
    return compute(
        names,
        predictions=predictions_of(outputs, problem_type),
        labels=examples.labels,
        outputs=outputs,
        groups=examples.groups,
        extras=examples.extras,
    )


def compute(
    names: Sequence[str],
    *,
    predictions: Any,
    labels: Any,
    outputs: Any = None,
    groups: Any = None,
    extras: Sequence[Mapping[str, Any]] | None = None,
) -> dict[str, float]:
    """Return metrics by name.

    Args:
        names: Metrics to compute, keys of :data:`METRICS`.
        predictions: Class ids, choices or regression outputs, (N,); 0 or 1 a label, (N, C), for
            multi-label; see :func:`predictions_of`.
        labels: Likewise.
        outputs: The head's outputs, (N, C); only grouped metrics read them.
        groups: Group of each row, (N,); ``None``: each row alone.
        extras: What grouped metrics need of each row, N mappings.

    Returns:
        The metrics in the order of ``names``. A correlation with a constant is 0, an F1 without any
        prediction or label of its class is 0. All are ``nan`` when a prediction is not finite.

    Raises:
        NotFoundError: A metric is unknown.
        ValueError: The shapes differ, there is no row, or a metric is not defined for such labels.
    """
    import numpy as np

    unknown = [name for name in names if name not in METRICS]
    if unknown:
        raise NotFoundError(f"no metric named {unknown[0]!r}", remedy=f"Known: {', '.join(METRICS)}.")
    predictions, labels = np.asarray(predictions), np.asarray(labels)
    if predictions.shape != labels.shape or predictions.ndim not in (1, 2) or not len(labels):
        raise ValueError(
            f"predictions {predictions.shape} and labels {labels.shape}: "
            "expected the same (N,), or (N, C) for multi-label, N > 0"
        )
    if not np.isfinite(predictions).all():
        return dict.fromkeys(names, float("nan"))
    if labels.ndim == 2:
        single = [name for name in names if _LABELS not in METRICS[name].problem_types]
        if single:
            raise ValueError(f"metric {single[0]!r} is not defined for multi-label rows")
        labels = labels.astype(np.int64)
    grouped = GroupedPredictions(predictions, labels, outputs, groups, extras)
    return {
        name: METRICS[name].compute(grouped, None)
        if METRICS[name].is_grouped
        else METRICS[name].compute(predictions, labels)
        for name in names
    }


def predictions_of(logits: Any, problem_type: ProblemType) -> NDArray[Any]:
    """Return predictions from a head's outputs.

    Args:
        logits: (N, n_labels); (N, 1) for regression, (N, choices) for multiple choice.
        problem_type: What the outputs are.

    Returns:
        Class ids or choices (int64) or numbers (float64), (N,); for multi-label 1 where the sigmoid
        is above 0.5, else 0 (int64), (N, C). If an output of any row is not finite, every prediction
        is ``nan`` (float64): a diverged run has no classes, and must not seem to.
    """
    import numpy as np

    logits = np.asarray(logits)
    multi_label = problem_type is ProblemType.MULTI_LABEL
    if not np.isfinite(logits).all():
        return np.full(logits.shape if multi_label else len(logits), np.nan)
    if problem_type is ProblemType.REGRESSION:
        return np.asarray(logits.reshape(len(logits)), dtype=np.float64)
    if multi_label:
        return np.asarray(logits > 0, dtype=np.int64)  # sigmoid(z) > 0.5
    return np.asarray(logits.argmax(axis=-1), dtype=np.int64)


def direction(metric: str) -> Literal["maximize"]:
    """Return which way a metric is better; all that are known are better when greater.

    Raises:
        NotFoundError: The metric is unknown.
    """
    if metric not in METRICS:
        raise NotFoundError(f"no metric named {metric!r}", remedy=f"Known: {', '.join(METRICS)}.")
    return "maximize"
