"""What the core sees of the two-layer heads without importing torch.

They are one head that reads different states: the first token's, as encoders with a ``[CLS]`` token are
trained to have; the last one's, for decoders; or the mean of all, for backbones trained to be pooled.

Source: RoBERTa's classification head, used in both stages of ScaLearn (arXiv 2310.01217).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapterlab.plugin import Head, ProblemType, Reads

if TYPE_CHECKING:
    from adapterlab.plugin import HeadLayer


@dataclass(frozen=True)
class TwoLayerHead(Head):
    """Dropout, dense, tanh, dropout, dense."""

    name: str
    reads: Reads = Reads.FIRST

    def parameters(self, hidden_size: int, outputs: int) -> int:
        """Return ``d² + d + d·C + C``: 592,130 for d = 768 and C = 2."""
        return hidden_size * hidden_size + hidden_size + hidden_size * outputs + outputs

    def layer(self, hidden_size: int, outputs: int, problem_type: ProblemType) -> HeadLayer:
        """Import the torch side."""
        from adapterlab_heads.layer import TwoLayerHeadLayer

        return TwoLayerHeadLayer(hidden_size, outputs, problem_type, self.reads)


CLASSIFICATION = TwoLayerHead("classification")
LAST_TOKEN = TwoLayerHead("last_token", Reads.LAST)
MEAN_TOKEN = TwoLayerHead("mean_token", Reads.MEAN)
