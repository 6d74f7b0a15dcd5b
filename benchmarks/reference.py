"""The usual way to combine adapters, to measure against: T outputs stacked, everything padded.

What the papers' code computes, written down plainly on transformers' own model: each of the T
adapters is a module of its own, their outputs are stacked to (B, S, T, d), scaled or attended over,
and summed. Eager attention and the backbone's own dropout, as there.

Source: ScaLearn (arXiv 2310.01217), equations 3 to 6; AdapterFusion (arXiv 2005.00247), equation 5.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KINDS = ("scalearn", "adapterfusion", "adapter")


class Bottleneck(nn.Module):
    """One adapter: ``W_up relu(W_down x + b) + c``."""

    def __init__(self, d: int, r: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(d, r), nn.Linear(r, d)

    def forward(self, x: Tensor) -> Tensor:
        """Return the adapter's output, (B, S, d)."""
        out: Tensor = self.up(F.relu(self.down(x)))
        return out


class Fusion(nn.Module):
    """AdapterFusion over stacked outputs."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(d, d), nn.Linear(d, d)
        self.value = nn.Linear(d, d, bias=False)

    def forward(self, x: Tensor, stacked: Tensor) -> Tensor:
        """Return the attended sum, (B, S, d), of (B, S, T, d)."""
        scores = (self.query(x).unsqueeze(2) * self.key(stacked)).sum(-1)
        weights = F.dropout(scores, 0.1, self.training).softmax(-1)
        return (weights.unsqueeze(-1) * self.value(stacked)).sum(2)


class CombinedOutput(nn.Module):
    """A layer's output block with T adapters behind the feed-forward block."""

    def __init__(self, block: nn.Module, kind: str, sources: int, width: int, dropout: float) -> None:
        super().__init__()
        self.dense, self.norm, self.drop = block.dense, block.LayerNorm, block.dropout
        d = self.norm.weight.shape[0]
        self.kind, self.omega_dropout = kind, dropout
        self.adapters = nn.ModuleList(Bottleneck(d, width) for _ in range(sources))
        self.adapters.requires_grad_(kind == "adapter")
        if kind == "scalearn":
            self.omega = nn.Parameter(torch.full((sources, d), 2 / sources))
        elif kind == "adapterfusion":
            self.fusion = Fusion(d)

    def forward(self, hidden: Tensor, residual: Tensor) -> Tensor:
        """Return LN(f + a + Σ_t …), with the pre-trained LayerNorm applied twice."""
        f = self.drop(self.dense(hidden))
        x = self.norm(f + residual)
        stacked = torch.stack([adapter(x) for adapter in self.adapters], dim=2)
        if self.kind == "scalearn":
            u = (stacked * F.dropout(self.omega, self.omega_dropout, self.training)).sum(2)
        elif self.kind == "adapterfusion":
            u = self.fusion(x, stacked)
        else:
            u = stacked[:, :, 0]
        out: Tensor = self.norm(f + residual + u)
        return out


class Reference(nn.Module):
    """A transformers encoder with combined adapters and the two-layer head.

    Args:
        encoder: A ``BertModel`` or ``RobertaModel`` with eager attention; it is frozen in place.
        kind: One of :data:`KINDS`.
        sources: Adapters a layer, T.
        width: Their bottleneck width, r.
        outputs: Outputs of the head.
        dropout: On the coefficients.
    """

    def __init__(
        self,
        encoder: nn.Module,
        kind: str,
        *,
        sources: int,
        width: int,
        outputs: int = 2,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        self.encoder = encoder.requires_grad_(False)
        for layer in encoder.encoder.layer:
            layer.output = CombinedOutput(
                layer.output, kind, 1 if kind == "adapter" else sources, width, dropout
            )
        d = encoder.config.hidden_size
        self.head = nn.Sequential(
            nn.Dropout(0.1), nn.Linear(d, d), nn.Tanh(), nn.Dropout(0.1), nn.Linear(d, outputs)
        )

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """Return logits, (B, outputs)."""
        states = self.encoder(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        ).last_hidden_state
        logits: Tensor = self.head(states[:, 0])
        return logits

    def trainable(self) -> list[nn.Parameter]:
        """Return what an optimizer gets."""
        return [one for one in self.parameters() if one.requires_grad]
