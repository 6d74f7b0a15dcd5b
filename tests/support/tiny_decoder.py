"""A tiny decoder with grouped queries: causal, LayerNorm before each sub-block, sites of three widths."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from adapterlab.plugin import Backbone, BackboneShape, Hook, Pass, Site

VOCABULARY, POSITIONS = 40, 64


class TinyDecoder(Backbone):
    """A frozen backbone of random weights; computed sequence by sequence, as plainly as can be.

    Args:
        heads: Of queries, each four wide.
        groups: Heads of keys and values; they are narrower than queries where these are fewer.
        layers: Transformer layers.
        inner: Inner width of the feed-forward block.
        seed: Of the weights.
    """

    def __init__(
        self, *, heads: int = 4, groups: int = 2, layers: int = 2, inner: int = 24, seed: int = 0
    ) -> None:
        self.heads, self.groups = heads, groups
        d, narrow = 4 * heads, 4 * groups
        self.dtype, self.device = torch.float64, torch.device("cpu")
        self.shape = BackboneShape(
            layers,
            d,
            (
                Site("attention.query", d, d),
                Site("attention.key", d, narrow),
                Site("attention.value", d, narrow),
                Site("attention.out", d, d),
                Site("ffn.up", d, inner),
                Site("ffn.out", d, d),
                Site("ffn", d, d),
            ),
        )
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return 0.3 * torch.randn(*shape, dtype=self.dtype, generator=generator)

        self._words, self._positions = normal(VOCABULARY, d), normal(POSITIONS, d)
        self._layers = [
            {
                "query": normal(d, d), "key": normal(narrow, d), "value": normal(narrow, d),
                "out": normal(d, d), "up": normal(inner, d), "down": normal(d, inner),
            }
            for _ in range(layers)
        ]  # fmt: skip

    @property
    def max_length(self) -> int:
        """Longest row in tokens."""
        return POSITIONS

    def to(self, *, dtype: torch.dtype, device: torch.device | str) -> TinyDecoder:
        """Return itself: it has one precision and one place."""
        assert (dtype, torch.device(device)) == (self.dtype, self.device)
        return self

    def forward(
        self, batch: Pass, hook: Hook | None = None, generators: object = None, *, rows: Tensor | None = None
    ) -> Tensor:
        """Return the last hidden states, (N, d), or of the wanted rows."""
        del generators  # there is no dropout in it
        lengths = [int(one) for rectangle in batch.rectangles for one in rectangle.lengths]
        columns = torch.cat([torch.arange(one) for one in lengths])
        ids = torch.cat([one.packed(one.token_ids) for one in batch.rectangles])
        h = F.embedding(ids, self._words) + F.embedding(columns, self._positions)
        for layer, weights in enumerate(self._layers):
            x = _norm(h)
            attended = F.linear(self._attend(x, weights, lengths, hook, layer), weights["out"])
            h = h + _added(hook, "attention.out", layer, attended, attended)
            x = _norm(h)
            up = _added(hook, "ffn.up", layer, x, F.linear(x, weights["up"]))
            f = F.linear(F.gelu(up), weights["down"])
            h = h + _added(hook, "ffn.out", layer, f, f)
            h = _added(hook, "ffn", layer, _norm(h), h)
        h = _norm(h)
        return h if rows is None else h[rows]

    def _attend(
        self, x: Tensor, weights: Mapping[str, Tensor], lengths: list[int], hook: Hook | None, layer: int
    ) -> Tensor:
        projected = [
            _added(hook, f"attention.{part}", layer, x, F.linear(x, weights[part]))
            for part in ("query", "key", "value")
        ]
        repeats = self.heads // self.groups
        parts = []
        for sequence in zip(*(one.split(lengths) for one in projected), strict=True):
            q, k, v = (one.view(len(one), -1, 4).transpose(0, 1) for one in sequence)  # (H or groups, S, 4)
            k, v = k.repeat_interleave(repeats, 0), v.repeat_interleave(repeats, 0)
            gathered = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            parts.append(gathered.transpose(0, 1).flatten(1))  # (S, d)
        return torch.cat(parts)


def _norm(x: Tensor) -> Tensor:
    return F.layer_norm(x, (x.shape[1],))


def _added(hook: Hook | None, site: str, layer: int, x: Tensor, y: Tensor) -> Tensor:
    if hook is None or site not in hook.sites:
        return y
    addition = hook(site, layer, x, y)
    return y if addition is None else y + addition
