"""Losses by the kind of task, which heads use unless they bring their own.

Shapes: ``B`` examples, ``C`` outputs (classes or labels; 1 for regression and for multiple choice, whose
examples have ``K`` sequences each, ``K = 1`` else).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from adapterlab.records import ProblemType


def loss(problem_type: ProblemType, outputs: Tensor, labels: Tensor, *, reduction: str = "mean") -> Tensor:
    """Return the loss of a task's outputs.

    Squared error for regression; cross-entropy over classes, or over an example's choices; for
    multi-label tasks binary cross-entropy, of an example its mean over the labels.

    Args:
        problem_type: What the labels are.
        outputs: (B·K, C).
        labels: Class ids, right choices or targets, (B,); 0 or 1 per label, (B, C), for multi-label.
        reduction: ``"mean"`` or ``"sum"`` over examples, or ``"none"``, (B,).

    Source: ScaLearn (arXiv 2310.01217), methods: MSE for STS-B, BCE with logits for HumSet, and
    cross-entropy over the scores of COPA's two choices.
    """
    if problem_type is ProblemType.REGRESSION:
        return F.mse_loss(outputs.squeeze(-1), labels.to(outputs.dtype), reduction=reduction)
    if problem_type is ProblemType.MULTI_LABEL:
        each = F.binary_cross_entropy_with_logits(outputs, labels.to(outputs.dtype), reduction=reduction)
        if reduction == "none":
            return each.mean(1)
        return each / outputs.shape[1] if reduction == "sum" else each
    return F.cross_entropy(outputs.view(len(labels), -1), labels, reduction=reduction)  # (B·K, 1) -> (B, K)
