"""Metrics by name, on predictions gathered over a whole split; scikit-learn and SciPy compute them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from adapterlab.errors import NotFoundError
from adapterlab.records import ProblemType

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def _accuracy(predictions: Any, labels: Any) -> float:
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(labels, predictions))


def _f1(predictions: Any, labels: Any) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(labels, predictions, average="binary", pos_label=1, zero_division=0.0))


def _f1_macro(predictions: Any, labels: Any) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(labels, predictions, average="macro", zero_division=0.0))


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


METRICS: Mapping[str, Callable[[Any, Any], float]] = {
    "accuracy": _accuracy,
    "f1": _f1,
    "f1_macro": _f1_macro,
    "matthews": _matthews,
    "pearson": _pearson,
    "spearman": _spearman,
}
"""Every metric by name: ``accuracy``; ``f1`` of class 1; ``f1_macro``, the mean over the
classes that occur; ``matthews``, ``pearson`` and ``spearman`` correlation in [-1, 1]."""


def compute(names: Sequence[str], *, predictions: Any, labels: Any) -> dict[str, float]:
    """Return metrics by name.

    Args:
        names: Metrics to compute, keys of :data:`METRICS`.
        predictions: Class ids or regression outputs, (N,); see :func:`predictions_of`.
        labels: Class ids or regression targets, (N,).

    Returns:
        The metrics in the order of ``names``. A correlation with a constant is 0, an F1 without any
        prediction or label of its class is 0. All are ``nan`` when a prediction is not finite.

    Raises:
        NotFoundError: A metric is unknown.
        ValueError: The lengths differ, or there is no row.
    """
    import numpy as np

    unknown = [name for name in names if name not in METRICS]
    if unknown:
        raise NotFoundError(f"no metric named {unknown[0]!r}", remedy=f"Known: {', '.join(METRICS)}.")
    predictions, labels = np.asarray(predictions), np.asarray(labels)
    if predictions.shape != labels.shape or predictions.ndim != 1 or not len(labels):
        raise ValueError(
            f"predictions {predictions.shape} and labels {labels.shape}: expected the same (N,), N > 0"
        )
    if not np.isfinite(predictions).all():
        return dict.fromkeys(names, float("nan"))
    return {name: METRICS[name](predictions, labels) for name in names}


def predictions_of(logits: Any, problem_type: ProblemType) -> NDArray[Any]:
    """Return predictions from a head's outputs.

    Args:
        logits: (N, n_labels); (N, 1) for regression.
        problem_type: What the outputs are.

    Returns:
        Class ids (int64) or numbers (float64), (N,). If an output of any row is not finite, every
        prediction is ``nan`` (float64): a diverged run has no classes, and must not seem to.
    """
    import numpy as np

    logits = np.asarray(logits)
    if not np.isfinite(logits).all():
        return np.full(len(logits), np.nan)
    if problem_type is ProblemType.REGRESSION:
        return np.asarray(logits.reshape(len(logits)), dtype=np.float64)
    return np.asarray(logits.argmax(axis=-1), dtype=np.int64)


def direction(metric: str) -> Literal["maximize"]:
    """Return which way a metric is better; all that are known are better when greater.

    Raises:
        NotFoundError: The metric is unknown.
    """
    if metric not in METRICS:
        raise NotFoundError(f"no metric named {metric!r}", remedy=f"Known: {', '.join(METRICS)}.")
    return "maximize"
