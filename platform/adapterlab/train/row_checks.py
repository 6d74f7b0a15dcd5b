"""Do rows fit a backbone and a head, asked before they reach the device.

On a GPU an id without a row in its table is an assertion of the device, after which the process can compute nothing more:
the results of all lanes beside it would be lost.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from adapterlab.errors import DataError
from adapterlab.records import Examples, ProblemType, TaskData
from adapterlab.train.layers import Backbone


def check_task(backbone: Backbone, task: TaskData) -> None:
    """Check that a backbone takes a task's rows, and that a head has an output for every label.

    Raises:
        DataError: A row is too long, or an id or label is out of range.
    """
    facts = task.facts
    for split in (task.train, task.validation, task.test):
        check_examples(backbone, split, facts.task)
        kinds = {ProblemType.CLASSIFICATION: facts.n_labels, ProblemType.MULTIPLE_CHOICE: split.choices}
        if facts.problem_type in kinds:
            _check(
                split.labels,
                kinds[facts.problem_type],
                f"{facts.task}: labels",
                "Prepare the task again; its labels are counted from 0.",
            )


def check_examples(backbone: Backbone, examples: Examples, where: str) -> None:
    """Check that a backbone takes rows: no longer than it can, ids in its tables.

    Args:
        backbone: The backbone.
        examples: The rows; labels are not looked at.
        where: Named in errors.

    Raises:
        DataError: A row is too long, or an id is out of range.
    """
    longest = int(examples.lengths.max(initial=0))
    if longest > backbone.max_length:
        raise DataError(
            f"{where}: a row has {longest} tokens, the backbone takes {backbone.max_length}",
            remedy=f"Set data.max_length to {backbone.max_length} or less.",
        )
    remedy = "Tokenise the rows with this backbone's own tokenizer."
    _check(examples.token_ids, backbone.words, f"{where}: token ids", remedy)
    _check(examples.type_ids, backbone.types, f"{where}: token type ids", remedy)


def _check(numbers: NDArray[Any], count: int | None, what: str, remedy: str) -> None:
    """Check that whole numbers are in [0, count); ``None``: any are."""
    if count is None or not numbers.size:
        return
    least, most = int(numbers.min()), int(numbers.max())
    if least < 0 or most >= count:
        raise DataError(f"{what} from {least} to {most}, expected 0 to {count - 1}", remedy=remedy)
