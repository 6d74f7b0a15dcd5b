"""The frozen post-LayerNorm encoder, forward over a pass of many lanes.

Weights never change, so they are prepared once and no gradient is ever computed for them. All
products run over the packed rows of every lane; attention, which must not look from one sequence into
another, runs over all sequences that lie next to each other and are padded alike, whosesoever they are.
Dropout inside the frozen backbone, where wanted, acts on all lanes at once, by numbers that are each
lane's own. Padding is computed nowhere but inside attention. Where one token of each sequence is read,
the last layer computes nothing else for the other tokens than the keys and values they are looked at by.

Shapes: ``N`` packed token rows, ``B`` sequences, ``S`` tokens, ``H`` heads, ``d`` hidden size.

Source: BERT (arXiv 1810.04805), RoBERTa (arXiv 1907.11692), XLM-R (arXiv 1911.02116), CamemBERT (arXiv
1911.03894), ELECTRA (arXiv 2003.10555), DistilBERT (arXiv 1910.01108).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from adapterlab.plugin import ACTIVATIONS, Backbone, Hook, Numbers, Pass, Rectangle, Tensors, pick, spread
from adapterlab_encoder import inputs
from adapterlab_encoder.attention import attention
from adapterlab_encoder.config import EncoderConfig
from adapterlab_encoder.prefix import PrefixCache
from adapterlab_encoder.weights import Block, Pair, Weights, reader

_EMBEDDED, _ATTENDED, _PROBABILITIES, _FED = range(4)
"""Where a layer drops, as sites of the lanes' numbers; the embeddings count as a layer of their own."""
_TYPES = (0, 1)
"""Token types that a tokenizer gives, where the model has no table that says how many there are."""
_Added = Callable[[str, Tensor, Tensor], Tensor]
"""``added(site, x, y)`` gives ``y`` with what the lanes add at a site of the layer."""


class Encoder(Backbone):
    """A frozen encoder. Its only trainable parts are what a hook adds.

    Args:
        config: Shape and constants.
        weights: Tensors by their Hugging Face names, with or without the prefix (``bert.``, ``roberta.``) of a
            model with a head.
        dtype: Precision to hold and compute in.
        device: Where to hold them and compute.

    Raises:
        BackboneError: A tensor is missing or has another shape than the config says.
    """

    def __init__(
        self,
        config: EncoderConfig,
        weights: Mapping[str, Tensor],
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config = config
        self.shape = config.shape
        self.dtype = dtype
        self.device = torch.device(device)
        self._weights = Weights.read(reader(weights, config, dtype, self.device), config)
        self._prefixes: PrefixCache | None = self._new_cache()

    @property
    def max_length(self) -> int:
        """Longest row in tokens."""
        return self.config.max_length

    def to(self, *, dtype: torch.dtype, device: torch.device | str) -> Encoder:
        """Return the same encoder in another precision or place."""
        other = copy(self)
        other.dtype, other.device = dtype, torch.device(device)
        other._weights = self._weights.to(dtype=dtype, device=device)
        other._prefixes = other._new_cache()
        return other

    def weights(self) -> Tensors:
        """Return copies of all tensors by their Hugging Face names, without a model prefix."""
        return self._weights.named(self.config)

    def with_weights(self, weights: Mapping[str, Tensor]) -> Encoder:
        """Return this encoder with other tensors, through which gradients flow.

        Args:
            weights: Named as :meth:`weights` names them, in this encoder's precision and place; more
                are passed over.
        """
        other = copy(self)
        other._weights = Weights.read(lambda name: weights[name], self.config)
        other._prefixes = None  # weights that train give other states every step
        return other

    def forward(
        self,
        batch: Pass,
        hook: Hook | None = None,
        generators: Numbers | None = None,
        *,
        rows: Tensor | None = None,
    ) -> Tensor:
        """Return the last hidden states of every lane, packed.

        Args:
            batch: The lanes' rectangles.
            hook: Gives what is added at the sites it names; ``None``: the plain backbone.
            generators: The lanes' numbers for dropout; ``None``: no backbone dropout.
            rows: Which token rows are wanted, one per sequence, (Σ B,); ``None``: all.

        Returns:
            Hidden states, (N, d); of the wanted rows only, (Σ B, d).
        """
        last = self.shape.layers - 1
        if self._prefixes is not None and last > 0 and _starts_at_ffn(hook, generators):
            h = self._after_ffn(self._known_prefix(batch), hook, 0)
            rest = range(1, last + 1)
        else:
            h = self._embed(batch, generators)
            rest = range(last + 1)
        for layer in rest:
            z = self._to_ffn(h, batch, generators, hook, layer, rows=rows if layer == last else None)
            h = self._after_ffn(z, hook, layer)
        return h

    def _new_cache(self) -> PrefixCache:
        return PrefixCache(self.shape.hidden_size, self.dtype, self.device)

    def _known_prefix(self, batch: Pass) -> Tensor:
        """Return the first layer's ``f + a``, (N, d), computed once for every row of a split."""
        assert self._prefixes is not None

        def compute(rectangle: Rectangle) -> Tensor:
            alone = Pass((rectangle,))
            with torch.no_grad():
                return self._to_ffn(self._embed(alone, None), alone, None, None, 0, rows=None)

        parts = self._prefixes.rows(batch.rectangles, compute)
        return parts[0] if len(parts) == 1 else torch.cat(list(parts))

    def _to_ffn(
        self,
        h: Tensor,
        batch: Pass,
        numbers: Numbers | None,
        hook: Hook | None,
        layer: int,
        *,
        rows: Tensor | None,
    ) -> Tensor:
        """Return a layer's ``f + a``, of which its output is the LayerNorm."""
        block, added = self._weights.blocks[layer], partial(_added, hook, layer)
        looking = h if rows is None else h.index_select(0, rows)
        keep, share = self._kept(batch, numbers, layer, one_row=looking is not h)
        gathered = self._attend(block, looking, h, batch.merged, added, keep, share)
        gathered = added("attention.context", gathered, gathered)
        attended = added("attention.dense", gathered, F.linear(gathered, *block.attention_out))
        attended = self._drop(attended, batch, numbers, (layer, _ATTENDED))
        a = self._layer_norm(added("attention.out", attended, attended) + looking, block.attention_norm)
        inner = ACTIVATIONS[self.config.activation](added("ffn.up", a, F.linear(a, *block.up)))
        inner = added("ffn.inner", inner, inner)
        down = added("ffn.down", inner, F.linear(inner, *block.down))
        f = self._drop(down, batch, numbers, (layer, _FED))
        return added("ffn.out", f, f) + a

    def _after_ffn(self, z: Tensor, hook: Hook | None, layer: int) -> Tensor:
        """Return a layer's output of its ``f + a``, with what is added at ``"ffn"``."""
        norm = self._weights.blocks[layer].norm
        h = self._layer_norm(z, norm)
        if hook is not None and "ffn" in hook.sites:
            # The pre-trained LayerNorm is applied twice: once to make the adapter's input, and
            # once over f + a + u. Source: AdapterFusion, "original_ln_before" of the official code.
            h = self._layer_norm(_added(hook, layer, "ffn", h, z), norm)
        return h

    def rectangle(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> Rectangle:
        """Return a batch as transformers' own models take it: any mask, positions counted as there.

        BERT numbers columns, whatever the mask; RoBERTa numbers the tokens that are not the padding
        token. So padding may stand anywhere, and left padding gives what those models give.

        Args:
            input_ids: (B, S).
            attention_mask: 1 where a token may be looked at, (B, S); ``None``: everywhere.
            token_type_ids: (B, S); ``None``: zeros.

        Raises:
            DataError: A shape, an id or the mask makes no sense for this backbone.
        """
        ids = input_ids.to(self.device)
        types = torch.zeros_like(ids) if token_type_ids is None else token_type_ids.to(self.device)
        inputs.check_ids("input_ids", ids, ids, self._weights.words.shape[0])
        # A model without a table of types passes over them.
        inputs.check_ids("token_type_ids", types, ids, self.config.type_vocab_size or len(_TYPES))
        rows, size = ids.shape
        positions = inputs.positions(ids, self.config.position_base)
        inputs.check_positions(positions, self.config.max_positions, self.max_length)
        return Rectangle(
            token_ids=ids,
            type_ids=types,
            lengths=torch.full((rows,), size, device=self.device),
            labels=torch.zeros(rows, dtype=torch.int64, device=self.device),
            rows=np.arange(rows),
            given_mask=inputs.as_mask(attention_mask, ids),
            position_ids=positions,
        )

    def _position_ids(self, rectangle: Rectangle) -> Tensor:
        if rectangle.position_ids is not None:
            return rectangle.position_ids
        rows, size = rectangle.token_ids.shape
        positions = torch.arange(size, device=rectangle.token_ids.device).expand(rows, size)
        base = self.config.position_base
        if base is None:
            return positions
        real = positions < rectangle.lengths[:, None]
        return torch.where(real, positions + 1, 0) + base

    def _embed(self, batch: Pass, numbers: Numbers | None) -> Tensor:
        weights, runs = self._weights, batch.merged.rectangles
        token_ids = torch.cat([one.packed(one.token_ids) for one in runs])
        positions = torch.cat([one.packed(self._position_ids(one)) for one in runs])
        h = F.embedding(token_ids, weights.words) + F.embedding(positions, weights.positions)
        if self.config.type_vocab_size > 1:
            type_ids = torch.cat([one.packed(one.type_ids) for one in runs])
            h = h + F.embedding(type_ids, _there(weights.types))
        elif weights.types is not None:
            h = h + weights.types[0]
        if weights.projection is not None and not self.config.rules.projects_normed:
            h = F.linear(h, *weights.projection)  # (N, e) -> (N, d)
        h = self._drop(self._layer_norm(h, weights.norm), batch, numbers, (0, _EMBEDDED))
        if weights.projection is not None and self.config.rules.projects_normed:
            h = F.linear(h, *weights.projection)  # (N, e) -> (N, d)
        return h

    def _attend(
        self,
        block: Block,
        looking: Tensor,
        h: Tensor,
        runs: Pass,
        added: _Added,
        keep: Sequence[Tensor | None],
        share: float,
    ) -> Tensor:
        """Return what the rows of ``looking`` gather from all tokens of their sequences.

        Args:
            block: The layer's weights.
            looking: Rows that look, (N, d), or one a sequence, (Σ B, d).
            h: All rows, (N, d).
            runs: The rows as few rectangles.
            added: What the lanes add at the layer's sites.
            keep: Which probabilities of each run are kept, flat; ``None``: all.
            share: How many of them.
        """
        heads, d = self.config.heads, self.shape.hidden_size
        query, key, value = self._project(block, looking, h)
        query = added("attention.query", looking, query)
        key, value = added("attention.key", h, key), added("attention.value", h, value)
        parts = []
        for rectangle, own, kept in zip(
            runs.rectangles, zip(*map(runs.split, (query, key, value)), strict=True), keep, strict=True
        ):
            sequences, cells = len(rectangle.token_ids), rectangle.cells
            grids = list(own)
            if cells is not None:  # attention is the one place that needs the padded grid
                size = rectangle.token_ids.numel()
                whole = grids if looking is h else grids[1:]
                grids = [*grids[: 3 - len(whole)], *(spread(one, cells, size) for one in whole)]
            q, k, v = (one.view(sequences, -1, heads, d // heads).transpose(1, 2) for one in grids)
            mask = None if rectangle.mask is None else rectangle.mask[:, None, None, :]
            chosen = None if kept is None else kept.view(sequences, heads, q.shape[2], k.shape[2])
            attended = attention(q, k, v, mask, chosen, share)
            gathered = attended.transpose(1, 2).reshape(-1, d)  # (B, H, S or 1, d/H) -> (B·S or B, d)
            parts.append(gathered if cells is None or looking is not h else pick(gathered, cells))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _kept(
        self, batch: Pass, numbers: Numbers | None, layer: int, *, one_row: bool
    ) -> tuple[Sequence[Tensor | None], float]:
        """Return which attention probabilities of each run are kept, flat, and how many of them."""
        runs = batch.merged.rectangles
        p = self.config.attention_dropout
        if numbers is None or p == 0:
            return [None] * len(runs), 1.0

        def entries(rectangle: Rectangle) -> int:
            sequences, size = rectangle.token_ids.shape
            return sequences * self.config.heads * size * (1 if one_row else size)

        sizes = [entries(one) for one in batch.rectangles]
        mask, chances = numbers.at(layer, _PROBABILITIES).keep(sizes, p)
        return torch.split(mask, [entries(one) for one in runs]), chances[0]

    def _project(self, block: Block, looking: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries of ``looking``, keys and values of ``h``; one product where these are the same."""
        weight, bias = block.qkv
        if looking is h:
            query, key, value = F.linear(h, weight, bias).chunk(3, dim=1)
            return query, key, value
        d = self.shape.hidden_size
        key, value = F.linear(h, weight[d:], bias[d:]).chunk(2, dim=1)
        return F.linear(looking, weight[:d], bias[:d]), key, value

    def _drop(self, x: Tensor, batch: Pass, numbers: Numbers | None, site: tuple[int, int]) -> Tensor:
        p = self.config.hidden_dropout
        if numbers is None or p == 0:
            return x
        sizes = [rows * x.shape[1] for rows in batch.sizes_of(x)]
        mask, chances = numbers.at(*site).keep(sizes, p)
        return (x * mask.view(x.shape)).mul_(1 / chances[0])

    def _layer_norm(self, x: Tensor, norm: Pair) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], *norm, eps=self.config.layer_norm_eps)


def _there(tensor: Tensor | None) -> Tensor:
    assert tensor is not None
    return tensor


def _starts_at_ffn(hook: Hook | None, numbers: Numbers | None) -> bool:
    """Return whether no lane changes anything before the first layer's ``"ffn"`` site."""
    return hook is not None and hook.sites <= {"ffn"} and numbers is None


def _added(hook: Hook | None, layer: int, site: str, x: Tensor, y: Tensor) -> Tensor:
    """Return ``y`` with what the hook adds at a site; ``y`` itself where no lane uses the site."""
    if hook is None or site not in hook.sites:
        return y
    addition = hook(site, layer, x, y)
    return y if addition is None else y + addition
