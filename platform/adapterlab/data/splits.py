"""The split of the papers: validation is cut from train, the public validation split is the test.

The cut is that of ``datasets.Dataset.train_test_split(test_size=0.1, seed=42)``, stratified by class
where the task says so, made with that library's own function. Calling ``train_test_split`` itself
reads the rows one by one: 50 s for SST-2. A test holds the two equal.

Few rows of the train split (``data.few_shot``) may be drawn anew for every seed: :func:`draw_rows`.

Source: CPJKU/ScaLearn@81d77ea8, glue/dataset.py; huggingface/datasets, ``Dataset.train_test_split``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import ceil
from typing import TYPE_CHECKING, Any

from adapterlab.errors import DataError
from adapterlab.fingerprint import Json
from adapterlab.records import Examples, ProblemType, Splits
from adapterlab.registry.task_definitions import TaskDefinition

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VALIDATION_SHARE = 0.1
"""Part of the train file that becomes the validation split, rounded up."""
SPLIT_SEED = 42
"""The papers' seed; the same for every run, so that seeds differ in training only."""
_ATTEMPTS = 1000
"""Draws of few rows before they are given up as having one label only."""


def split_rule(stratify: bool, splits: Splits = Splits.HOLDOUT) -> dict[str, Json]:
    """Return the rule as a key holds it."""
    if splits in (Splits.OWN, Splits.SHARED):
        return {"rule": str(splits), "version": 1}
    return {
        "rule": str(splits),
        "version": 1,
        "share": VALIDATION_SHARE,
        "seed": SPLIT_SEED,
        "stratify": stratify,
    }


def validation_rows(rows: int) -> int:
    """Return how many of ``rows`` train rows become the validation split."""
    return ceil(VALIDATION_SHARE * rows)


def split_counts(splits: Splits, rows: Sequence[int]) -> tuple[int, int, int]:
    """Return the rows that train, validate and test.

    Args:
        splits: Where the splits come from.
        rows: Rows of each split that has rows of its own, train first.
    """
    if splits is Splits.OWN:
        train, validation, test = rows
        return train, validation, test
    if splits is Splits.SHARED:
        return rows[0], rows[1], rows[1]
    test = rows[1] if splits is Splits.HOLDOUT else validation_rows(rows[0])
    left = rows[0] if splits is Splits.HOLDOUT else rows[0] - test
    held_out = validation_rows(left)
    return left - held_out, held_out, test


def split_rows(where: str, definition: TaskDefinition, labels: NDArray[Any]) -> dict[str, NDArray[np.int64]]:
    """Return which rows of the train file train, validate and test; a split with its own rows is absent.

    Args:
        where: What to call the rows in an error.
        definition: The task's.
        labels: Labels of the train file, (N,) or (N, C).

    Raises:
        DataError: There are too few rows to cut.
    """
    import numpy as np

    if definition.splits in (Splits.OWN, Splits.SHARED):
        return {"train": np.arange(len(labels), dtype=np.int64)}
    stratify = cuts_by_class(definition)
    rest = np.arange(len(labels), dtype=np.int64)
    rows: dict[str, NDArray[np.int64]] = {}
    for split in ("test", "validation") if definition.splits is Splits.CUT else ("validation",):
        classes = labels[rest].tolist() if stratify else range(len(rest))
        kept, cut = split_indices(where, classes, definition.labels, stratify=stratify)
        rest, rows[split] = rest[kept], rest[cut]
    return {"train": rest, **rows}


def check_cuts(where: str, definition: TaskDefinition, labels: Mapping[Any, int], rows: int) -> None:
    """Check, before anything is cut, that a train file has rows enough for it.

    Of two cuts the second is only checked for its rows: which classes are left is decided by the first.

    Args:
        where: What to call the rows in an error.
        definition: The task's.
        labels: How many rows have each label, where it is cut in proportion to them.
        rows: How many there are.

    Raises:
        DataError: There are too few.
    """
    if definition.splits in (Splits.OWN, Splits.SHARED):
        return
    _check_cut(where, rows, min(labels.values()) if cuts_by_class(definition) else None, definition.labels)
    if definition.splits is Splits.CUT:
        _check_cut(where, rows - validation_rows(rows), None, definition.labels)


def cuts_by_class(definition: TaskDefinition) -> bool:
    """Return whether a task's rows are cut in proportion to its classes."""
    single = (ProblemType.CLASSIFICATION, ProblemType.MULTIPLE_CHOICE)
    return definition.stratify and definition.problem_type in single


def _check_cut(where: str, rows: int, rarest: int | None, classes: Sequence[str]) -> None:
    """Refuse too few rows; ``rarest`` is how many the rarest class has, ``None`` where classes do not count."""
    held_out = validation_rows(rows)
    too_few = rarest is not None and (rarest < 2 or min(held_out, rows - held_out) < len(classes))
    if rows - held_out < 1 or too_few:
        raise DataError(
            f"{where}: {rows} rows are too few to cut {held_out} for validation"
            + (
                ""
                if rarest is None
                else f" in proportion to {len(classes)} classes (the rarest has {rarest})"
            ),
            remedy="Add rows: each class needs at least two, and a tenth of all at least one a class.",
        )


def split_indices(
    where: str, labels: Sequence[int] | Sequence[float], classes: Sequence[str], *, stratify: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of the train file that train and that validate, in the split's own order.

    Args:
        where: What to call the rows in an error.
        labels: Label of every row, (N,).
        classes: Class names; empty for regression.
        stratify: Cut in proportion to the classes.

    Raises:
        DataError: There are too few rows to cut.
    """
    import numpy as np

    rows = len(labels)
    held_out = validation_rows(rows)
    _check_cut(where, rows, min(Counter(labels).values()) if stratify else None, classes)
    generator = np.random.default_rng(SPLIT_SEED)
    if stratify:
        from datasets.utils.stratify import stratified_shuffle_split_generate_indices

        cuts = stratified_shuffle_split_generate_indices(
            np.asarray(labels), rows - held_out, held_out, rng=generator
        )
        train, validation = next(cuts)
    else:
        shuffled = generator.permutation(rows)
        train, validation = shuffled[held_out:], shuffled[:held_out]
    return np.asarray(train, dtype=np.int64), np.asarray(validation, dtype=np.int64)


def fold_rows(examples: Examples, problem_type: ProblemType, folds: int) -> list[tuple[Examples, Examples]]:
    """Return what trains and what validates of a split, fold by fold; every row validates once.

    Rows of one group stay together; else classes are in proportion where each has a row for every fold.

    Args:
        examples: The split.
        problem_type: What its labels are.
        folds: How many, >= 2.

    Raises:
        DataError: There are fewer rows, or groups, than folds.
    """
    import numpy as np
    from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold

    rows = np.arange(len(examples))
    parts = len(rows) if examples.groups is None else len(np.unique(examples.groups))
    if parts < folds:
        what = "rows" if examples.groups is None else "groups of rows"
        raise DataError(
            f"{parts} {what} are too few for {folds} folds",
            remedy="Lower search.folds, or use search.seeds_per_trial.",
        )
    if examples.groups is not None:
        cuts = GroupKFold(folds).split(rows, groups=examples.groups)
    elif (
        problem_type is ProblemType.CLASSIFICATION
        and min(Counter(examples.labels.tolist()).values()) >= folds
    ):
        maker = StratifiedKFold(folds, shuffle=True, random_state=SPLIT_SEED)
        cuts = maker.split(rows, examples.labels)
    else:
        cuts = KFold(folds, shuffle=True, random_state=SPLIT_SEED).split(rows)
    return [(examples.take(train.tolist()), examples.take(held_out.tolist())) for train, held_out in cuts]


def draw_rows(where: str, examples: Examples, problem_type: ProblemType, rows: int, draw: int) -> Examples:
    """Return a few rows of a split, the same for the same draw.

    The first attempt that can teach something is taken: of classes at least two occur, of targets and label
    sets not all are equal. Classes are not forced into proportion, as in the papers' own draw; with few rows
    some may be absent.

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
