"""The split of the papers: validation is cut from train, the public validation split is the test.

The cut is ``datasets.Dataset.train_test_split(test_size=0.1, seed=42)`` of the library itself, on an
index column, stratified by class where the task says so.

Source: CPJKU/ScaLearn@81d77ea8, glue/dataset.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING

from adapterlab.errors import DataError
from adapterlab.fingerprint import Json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VALIDATION_SHARE = 0.1
"""Part of the train file that becomes the validation split, rounded up."""
SPLIT_SEED = 42
"""The papers' seed; the same for every run, so that seeds differ in training only."""


def split_rule(stratify: bool) -> dict[str, Json]:
    """Return the rule as a key holds it."""
    return {
        "rule": "holdout",
        "version": 1,
        "share": VALIDATION_SHARE,
        "seed": SPLIT_SEED,
        "stratify": stratify,
    }


def validation_rows(rows: int) -> int:
    """Return how many of ``rows`` train rows become the validation split."""
    return ceil(VALIDATION_SHARE * rows)


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
    from datasets import ClassLabel, Dataset, Features, Value

    rows = len(labels)
    held_out = validation_rows(rows)
    least = min(Counter(labels).values()) if stratify else rows
    if rows - held_out < 1 or (stratify and (least < 2 or min(held_out, rows - held_out) < len(classes))):
        raise DataError(
            f"{where}: {rows} rows are too few to cut {held_out} for validation"
            + (f" in proportion to {len(classes)} classes (the rarest has {least})" if stratify else ""),
            remedy="Add rows: each class needs at least two, and a tenth of all at least one a class.",
        )
    features = Features({"row": Value("int64")})
    columns: dict[str, Sequence[float]] = {"row": range(rows)}
    if stratify:
        features["label"] = ClassLabel(names=list(classes))
        columns["label"] = labels
    cut = Dataset.from_dict(columns, features=features).train_test_split(
        test_size=VALIDATION_SHARE,
        shuffle=True,
        seed=SPLIT_SEED,
        stratify_by_column="label" if stratify else None,
    )
    train, validation = (
        np.asarray(cut[part].with_format("numpy")["row"], dtype=np.int64) for part in ("train", "test")
    )
    return train, validation
