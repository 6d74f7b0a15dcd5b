"""Few rows of a task, drawn anew for every seed.

The first of the seed's draws that can teach something is taken: of classes at least two occur, of
targets and label sets not all are equal. Classes are not forced into proportion, as in the papers'
own draw; with few rows some may be absent.
"""

from __future__ import annotations

from adapterlab.data.splits import SPLIT_SEED
from adapterlab.errors import DataError
from adapterlab.records import Examples, ProblemType

_ATTEMPTS = 1000


def drawn_rows(where: str, examples: Examples, problem_type: ProblemType, rows: int, draw: int) -> Examples:
    """Return some rows of a split, the same for the same draw.

    Args:
        where: What to call the rows in an error.
        examples: The split.
        problem_type: What its labels are.
        rows: How many, at most as many as there are.
        draw: Seed of the draw.

    Raises:
        DataError: No draw has two different labels.
    """
    import numpy as np

    for attempt in range(_ATTEMPTS):
        generator = np.random.default_rng([SPLIT_SEED, draw, attempt])
        chosen = generator.permutation(len(examples))[:rows]
        labels = np.asarray(examples.labels[chosen])
        if problem_type is ProblemType.MULTIPLE_CHOICE or (labels != labels[0]).any():
            return examples.take(chosen.tolist())
    raise DataError(
        f"{where}: {_ATTEMPTS} draws of {rows} rows had one label only",
        remedy="Raise data.few_shot: one label teaches nothing.",
    )
