"""Metrics of many bootstrap samples of a split's rows at once.

A thousand samples through scikit-learn take ten seconds. But all its metrics of classes and labels are functions of how
often each pair of answer and truth occurs, and in a sample of the rows these counts are multinomial. So counts
are drawn in place of rows, and every metric is computed for all samples together.

Shapes: ``B`` samples, ``N`` rows, ``U`` different pairs, ``C`` classes or labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapterlab.data import metrics
from adapterlab.records import ProblemType

_Values = NDArray[np.float64]


def resampled(
    names: Sequence[str],
    predictions: NDArray[Any],
    labels: NDArray[Any],
    problem_type: ProblemType,
    *,
    samples: int,
    seed: int,
) -> dict[str, _Values]:
    """Return metrics of bootstrap samples of rows, (B,) each.

    Args:
        names: Metrics of ``data.metrics`` that are computed row by row.
        predictions: As :func:`adapterlab.data.metrics.compute` takes them, (N,) or (N, C).
        labels: Likewise.
        problem_type: What they are.
        samples: B.
        seed: Of the draws.
    """
    draws = np.random.default_rng(seed)
    if problem_type is ProblemType.REGRESSION:
        found: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(samples):
            rows = draws.integers(len(labels), size=len(labels))
            scored = metrics.compute(names, predictions=predictions[rows], labels=labels[rows])
            for name, value in scored.items():
                found[name].append(value)
        return {name: np.asarray(values) for name, values in found.items()}
    rows = np.column_stack([predictions, labels]).astype(np.int64)
    pairs, counts = np.unique(rows, axis=0, return_counts=True)  # (U, 2) or (U, 2·C)
    weights = draws.multinomial(len(rows), counts / len(rows), size=samples).astype(np.float64)  # (B, U)
    return _of_pairs(names, pairs, weights, several=problem_type is ProblemType.MULTI_LABEL)


def weighted(
    name: str,
    predictions: NDArray[Any],
    labels: NDArray[Any],
    problem_type: ProblemType,
    weights: NDArray[np.int64],
) -> _Values:
    """Return a metric of given samples of rows, (B,): the same samples for whatever is to be compared on them.

    Args:
        name: A metric of ``data.metrics`` that is computed row by row.
        predictions: As :func:`adapterlab.data.metrics.compute` takes them, (N,) or (N, C).
        labels: Likewise.
        problem_type: What they are.
        weights: How often each row is in each sample, (B, N).
    """
    if problem_type is ProblemType.REGRESSION:
        rows = np.arange(len(labels))
        drawn = (np.repeat(rows, one) for one in weights)
        return np.array(
            [
                metrics.compute((name,), predictions=predictions[one], labels=labels[one])[name]
                for one in drawn
            ]
        )
    from scipy.sparse import csr_array

    pairs, place = np.unique(
        np.column_stack([predictions, labels]).astype(np.int64), axis=0, return_inverse=True
    )
    count = len(labels)
    member = csr_array((np.ones(count), (place.reshape(-1), np.arange(count))), shape=(len(pairs), count))
    of_pairs = np.asarray(member @ weights.T).T  # (B, U)
    return _of_pairs((name,), pairs, of_pairs, several=problem_type is ProblemType.MULTI_LABEL)[name]


def is_weighted(name: str, problem_type: ProblemType) -> bool:
    """Tell whether :func:`weighted` knows a metric; it knows none of those over groups of rows."""
    if problem_type is ProblemType.REGRESSION:
        return name in metrics.metrics_for(problem_type)
    return name in (_LABELS if problem_type is ProblemType.MULTI_LABEL else _CLASSES)


def _of_pairs(
    names: Sequence[str], pairs: NDArray[np.int64], weights: _Values, *, several: bool
) -> dict[str, _Values]:
    of_samples = _of_labels(pairs, weights) if several else _of_classes(pairs, weights)
    return {name: (_LABELS if several else _CLASSES)[name](of_samples) for name in names}


@dataclass(frozen=True)
class _Counts:
    """What metrics read of each sample."""

    hit: _Values
    """Rows of a class or label that are answered with it, (B, C)."""
    said: _Values
    """Rows answered with it, (B, C)."""
    true: _Values
    """Rows that have it, (B, C)."""
    whole: _Values
    """Rows that are answered right altogether, (B,)."""
    rows: _Values
    """Rows of a sample, (B,): N, but where groups of unequal size are drawn."""


def _of_classes(pairs: NDArray[np.int64], weights: _Values) -> _Counts:
    answers, truths = pairs.T
    classes = np.arange(max(2, 1 + int(pairs.max())))  # class 1, which f1 is of, may not occur
    said, true = (answers[:, None] == classes).astype(float), (truths[:, None] == classes).astype(float)
    right = (answers == truths).astype(float)
    return _Counts(weights @ (said * true), weights @ said, weights @ true, weights @ right, weights.sum(1))


def _of_labels(pairs: NDArray[np.int64], weights: _Values) -> _Counts:
    said, true = np.split(pairs.astype(float), 2, axis=1)
    right = (said == true).all(axis=1).astype(float)
    return _Counts(weights @ (said * true), weights @ said, weights @ true, weights @ right, weights.sum(1))


def _ratio(above: _Values, below: _Values) -> _Values:
    """Return a quotient, 0 where nothing is below, as scikit-learn does for ``zero_division=0``."""
    ratio: _Values = np.divide(above, below, out=np.zeros_like(above), where=below > 0)
    return ratio


def _f1(counts: _Counts) -> _Values:
    return _ratio(2 * counts.hit, counts.said + counts.true)


def _over_present(values: _Values, counts: _Counts) -> _Values:
    """Return the mean over the classes that occur in a sample, as an answer or in truth."""
    present = (counts.said + counts.true) > 0
    means: _Values = (values * present).sum(1) / present.sum(1)
    return means


def _accuracy(counts: _Counts) -> _Values:
    return counts.whole / counts.rows


def _matthews(counts: _Counts) -> _Values:
    """Source: Gorodkin 2004, R_K for any number of classes; 0 where an answer or the truth does not vary."""
    n = counts.rows
    covariance = n * counts.whole - (counts.said * counts.true).sum(1)
    spread = (n * n - (counts.said**2).sum(1)) * (n * n - (counts.true**2).sum(1))
    return _ratio(covariance, np.sqrt(spread))


_CLASSES: Mapping[str, Callable[[_Counts], _Values]] = {
    "accuracy": _accuracy,
    "f1": lambda counts: _f1(counts)[:, 1],
    "f1_macro": lambda counts: _over_present(_f1(counts), counts),
    "f1_micro": _accuracy,
    "precision_macro": lambda counts: _over_present(_ratio(counts.hit, counts.said), counts),
    "recall_macro": lambda counts: _over_present(_ratio(counts.hit, counts.true), counts),
    "matthews": _matthews,
}
_LABELS: Mapping[str, Callable[[_Counts], _Values]] = {
    "f1_macro": lambda counts: _f1(counts).mean(1),
    "f1_micro": lambda counts: _ratio(2 * counts.hit.sum(1), (counts.said + counts.true).sum(1)),
    "precision_macro": lambda counts: _ratio(counts.hit, counts.said).mean(1),
    "recall_macro": lambda counts: _ratio(counts.hit, counts.true).mean(1),
    "subset_accuracy": _accuracy,
}
