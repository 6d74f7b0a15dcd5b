"""Outputs of one lane on rows without labels: for predictions, and for checking an export."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from adapterlab.records import Examples, ProblemType
from adapterlab.train.adaptation import Seat
from adapterlab.train.evaluate import MAX_TOKENS, answers_that_fit
from adapterlab.train.layers import Backbone
from adapterlab.train.passes import evaluation_rectangles
from adapterlab.train.row_checks import check_examples


@torch.inference_mode()
def outputs(backbone: Backbone, seat: Seat, examples: Examples) -> NDArray[np.float64]:
    """Return the head's outputs in the examples' order, (N, C): logits of classes or labels, or one number.

    For examples of several choices it is one logit a choice, (N, K).

    Args:
        backbone: The frozen backbone.
        seat: What is added to it, the head and their tensors; without a key.
        examples: The rows; labels are not read.

    Raises:
        DataError: A row is too long for the backbone, or an id is out of range.
        TrainingError: A single row does not fit into memory.
    """
    check_examples(backbone, examples, "rows")
    found: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = []
    for one in evaluation_rectangles(examples, MAX_TOKENS):
        for answer in answers_that_fit(backbone, [seat], [one.to(backbone.device)]):
            (rectangle,) = answer.rectangles
            logits = answer.outputs.double().cpu()
            found.append((rectangle.rows, logits.view(len(rectangle.rows), -1).numpy()))
    order = np.concatenate([rows for rows, _ in found])
    gathered: NDArray[np.float64] = np.empty((len(examples), found[0][1].shape[1]))
    gathered[order] = np.concatenate([values for _, values in found])
    return gathered


def probabilities(logits: NDArray[np.float64], problem_type: ProblemType) -> NDArray[np.float64] | None:
    """Return probabilities, (N, C), or ``None`` for a regression.

    Of classes and of choices they sum to 1 in each row; of a multi-label task each is its label's own.
    """
    if problem_type is ProblemType.REGRESSION:
        return None
    if problem_type is ProblemType.MULTI_LABEL:
        own: NDArray[np.float64] = np.exp(-np.logaddexp(0.0, -logits))  # sigmoid, without overflow
        return own
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    chances: NDArray[np.float64] = shifted / shifted.sum(axis=1, keepdims=True)
    return chances


def examples_of(
    token_ids: Sequence[Sequence[int]], type_ids: Sequence[Sequence[int]], choices: int = 1
) -> Examples:
    """Return rows of token ids as one split without labels (zeros).

    Args:
        token_ids: Ids of each sequence, at least one, none of them empty.
        type_ids: Segment ids of each sequence.
        choices: Sequences of an example, which follow one another.
    """
    lengths = [len(row) for row in token_ids]
    return Examples(
        token_ids=np.concatenate([np.asarray(row, dtype=np.int32) for row in token_ids]),
        type_ids=np.concatenate([np.asarray(row, dtype=np.int32) for row in type_ids]),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        labels=np.zeros(len(lengths) // choices, dtype=np.int64),
        choices=choices,
    )
