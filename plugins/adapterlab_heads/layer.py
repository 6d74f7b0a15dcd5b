"""The two-layer head on one state per sequence, for classes, labels, choices or one number.

Shapes: ``B`` examples, ``d`` hidden size, ``C`` outputs (classes or labels; 1 for regression and for
multiple choice, whose examples have ``K`` sequences each, ``K = 1`` else).

Source: RoBERTa's classification head, used in both stages; methods of ScaLearn (arXiv 2310.01217).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import torch
from torch import Tensor

from adapterlab.plugin import Draws, HeadLayer, ProblemType, Reads, Tensors, linear
from adapterlab.plugin import dropout as drop

_INIT_STD = 0.02


class TwoLayerHeadLayer(HeadLayer):
    """Dropout, dense, tanh, dropout, dense."""

    def __init__(self, hidden_size: int, outputs: int, problem_type: ProblemType, reads: Reads) -> None:
        super().__init__(problem_type, reads)
        self.hidden_size, self.n_outputs = hidden_size, outputs

    @property
    def alike(self) -> Hashable:
        """Heads that read the same state; their outputs are in the shapes of their tensors."""
        return self.reads

    def initial(self, generator: torch.Generator) -> Tensors:
        """Return a fresh head: weights N(0, 0.02), biases 0."""
        d, count = self.hidden_size, self.n_outputs
        return {
            "head.dense.weight": torch.empty(d, d).normal_(0.0, _INIT_STD, generator=generator),
            "head.dense.bias": torch.zeros(d),
            "head.out.weight": torch.empty(count, d).normal_(0.0, _INIT_STD, generator=generator),
            "head.out.bias": torch.zeros(count),
        }

    def forward(
        self,
        tensors: Mapping[str, Tensor],
        states: Tensor,
        lengths: Tensor,
        *,
        dropout: float | Sequence[float],
        generator: torch.Generator | Draws | None,
    ) -> Tensor:
        """Return logits or predictions, (B·K, d) -> (B·K, C); of lanes with a leading axis of them."""
        del lengths  # one state per sequence
        x = drop(states, dropout, generator)
        x = torch.tanh(linear(x, tensors["head.dense.weight"], tensors["head.dense.bias"]))
        x = drop(x, dropout, generator)
        return linear(x, tensors["head.out.weight"], tensors["head.out.bias"])
