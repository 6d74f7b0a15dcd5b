"""The head a task asks for, made for one backbone."""

from __future__ import annotations

from adapterlab.records import DEFAULT_HEAD, ProblemType, TaskFacts
from adapterlab.registry import entry_points
from adapterlab.train.layers import HeadLayer


def head_of(facts: TaskFacts, hidden_size: int) -> HeadLayer:
    """Return the head a task asks for, on a backbone of a hidden size.

    Raises:
        NotFoundError: No head of that name is installed.
        UsageError: It cannot answer the task.
    """
    return head_layer(facts.head, facts.problem_type, facts.n_labels, hidden_size, task=facts.task)


def head_layer(
    name: str = DEFAULT_HEAD,
    problem_type: ProblemType = ProblemType.CLASSIFICATION,
    outputs: int = 2,
    hidden_size: int = 768,
    *,
    task: str = "the task",
) -> HeadLayer:
    """Return a head's torch side.

    Args:
        name: Of the plug-in.
        problem_type: What the labels are.
        outputs: Classes, labels or numbers.
        hidden_size: Of the backbone.
        task: Named in errors.

    Raises:
        NotFoundError: No head of that name is installed.
        UsageError: It cannot answer the task.
    """
    plugin = entry_points.head_for(name, problem_type, outputs, task=task)
    return plugin.layer(hidden_size, outputs, problem_type)
