"""The classification head: two layers on the first token, for classes, labels, choices or one number.

Shapes: ``B`` examples, ``d`` hidden size, ``C`` outputs (classes or labels; 1 for regression and for
multiple choice, whose examples have ``K`` sequences each, ``K = 1`` else).

Source: RoBERTa's classification head, used in both stages; methods of ScaLearn (arXiv 2310.01217).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from adapterlab.records import ProblemType
from adapterlab.train.layers import Tensors
from adapterlab.train.rng import dropout

_INIT_STD = 0.02


def initial(hidden_size: int, outputs: int, generator: torch.Generator) -> Tensors:
    """Return a fresh head: weights N(0, 0.02), biases 0."""
    return {
        "head.dense.weight": torch.empty(hidden_size, hidden_size).normal_(
            0.0, _INIT_STD, generator=generator
        ),
        "head.dense.bias": torch.zeros(hidden_size),
        "head.out.weight": torch.empty(outputs, hidden_size).normal_(0.0, _INIT_STD, generator=generator),
        "head.out.bias": torch.zeros(outputs),
    }


def forward(
    tensors: Mapping[str, Tensor], first: Tensor, p: float, generator: torch.Generator | None
) -> Tensor:
    """Return outputs for the first tokens' states: dropout, dense, tanh, dropout, out.

    Args:
        tensors: The lane's tensors; only ``head.*`` are read.
        first: State of each sequence's first token, (B·K, d).
        p: Dropout probability, in [0, 1).
        generator: The lane's dropout stream; ``None`` in evaluation.

    Returns:
        Logits or predictions, (B·K, C).
    """
    x = dropout(first, p, generator)
    x = torch.tanh(F.linear(x, tensors["head.dense.weight"], tensors["head.dense.bias"]))
    x = dropout(x, p, generator)
    return F.linear(x, tensors["head.out.weight"], tensors["head.out.bias"])


def loss(problem_type: ProblemType, outputs: Tensor, labels: Tensor, *, reduction: str = "mean") -> Tensor:
    """Return the loss of a task's outputs.

    Squared error for regression; cross-entropy over classes, or over an example's choices; for
    multi-label tasks binary cross-entropy, of an example its mean over the labels.

    Args:
        problem_type: What the labels are.
        outputs: (B·K, C).
        labels: Class ids, right choices or targets, (B,); 0 or 1 a label, (B, C), for multi-label.
        reduction: ``"mean"`` or ``"sum"`` over examples.

    Source: ScaLearn (arXiv 2310.01217), methods: MSE for STS-B, BCE with logits for HumSet, and
    cross-entropy over the scores of COPA's two choices.
    """
    if problem_type is ProblemType.REGRESSION:
        return F.mse_loss(outputs.squeeze(-1), labels.to(outputs.dtype), reduction=reduction)
    if problem_type is ProblemType.MULTI_LABEL:
        each = F.binary_cross_entropy_with_logits(outputs, labels.to(outputs.dtype), reduction=reduction)
        return each / outputs.shape[1] if reduction == "sum" else each
    return F.cross_entropy(outputs.view(len(labels), -1), labels, reduction=reduction)  # (B·K, 1) -> (B, K)
