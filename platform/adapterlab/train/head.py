"""The classification head: two layers on the first token, for classes or one number.

Shapes: ``B`` rows, ``d`` hidden size, ``C`` outputs (classes, or 1 for regression).

Source: RoBERTa's classification head, used in both stages; methods of ScaLearn (arXiv 2310.01217).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from adapterlab.records import ProblemType
from adapterlab.train.protocols import Tensors
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
        first: State of each row's first token, (B, d).
        p: Dropout probability, in [0, 1).
        generator: The lane's dropout stream; ``None`` in evaluation.

    Returns:
        Logits or predictions, (B, C).
    """
    x = dropout(first, p, generator)
    x = torch.tanh(F.linear(x, tensors["head.dense.weight"], tensors["head.dense.bias"]))
    x = dropout(x, p, generator)
    return F.linear(x, tensors["head.out.weight"], tensors["head.out.bias"])


def loss(problem_type: ProblemType, outputs: Tensor, labels: Tensor, *, reduction: str = "mean") -> Tensor:
    """Return cross-entropy for classes, squared error for regression.

    Args:
        problem_type: What the labels are.
        outputs: (B, C).
        labels: Class ids or targets, (B,).
        reduction: ``"mean"`` or ``"sum"`` over rows.
    """
    if problem_type is ProblemType.REGRESSION:
        return F.mse_loss(outputs.squeeze(-1), labels.to(outputs.dtype), reduction=reduction)
    return F.cross_entropy(outputs, labels, reduction=reduction)
