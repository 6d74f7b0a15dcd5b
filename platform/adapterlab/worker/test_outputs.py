"""What a final run gave on the test split, stored so that every metric can be computed again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from adapterlab.data.metrics import predictions_of
from adapterlab.records import ProblemType, TaskData

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def outputs_document(outputs: NDArray[np.float64], task: TaskData) -> dict[str, Any]:
    """Return the contents of ``test_outputs.json``; row ``i`` of each list is test example ``i``.

    Args:
        outputs: The head's outputs, (N, C); for multiple choice one a choice, (N, K).
        task: The task; its test examples are N.

    Returns:
        ``outputs``; ``labels``, class ids, right choices or numbers, for multi-label a list of 0 and 1
        each; ``problem_type``, ``label_names`` and ``metrics``; where metrics need them, ``groups`` and
        ``extras``.
    """
    test, facts = task.test, task.facts
    labels = test.labels
    if facts.problem_type is ProblemType.MULTI_LABEL:
        labels = labels.astype("int64")
    return {
        "outputs": outputs.tolist(),
        "labels": labels.tolist(),
        "problem_type": str(facts.problem_type),
        "label_names": list(facts.labels),
        "metrics": list(facts.metrics),
        **({} if test.groups is None else {"groups": test.groups.tolist()}),
        **({} if test.extras is None else {"extras": [dict(one) for one in test.extras]}),
    }


def label_scores(outputs: NDArray[np.float64], task: TaskData) -> tuple[list[float], list[int]] | None:
    """Return each label's test F1 and how many test rows have it; ``None`` unless the task is multi-label.

    Args:
        outputs: Logits, (N, C).
        task: The task; its test examples are N.
    """
    import numpy as np

    if task.facts.problem_type is not ProblemType.MULTI_LABEL or not np.isfinite(outputs).all():
        return None
    from sklearn.metrics import f1_score

    labels = task.test.labels.astype(np.int64)
    scores = f1_score(
        labels, predictions_of(outputs, task.facts.problem_type), average=None, zero_division=0.0
    )
    return [float(score) for score in scores], [int(count) for count in labels.sum(axis=0)]
