"""The frozen post-LayerNorm encoder, forward over a pass of many lanes.

Weights never change, so they are prepared once and no gradient is ever computed for them. All
products run over the packed rows of every lane; attention, which must not look from one sequence into
another, runs over all sequences that lie next to each other and are padded alike, whosesoever they are.
Dropout inside the frozen backbone, where wanted, acts on all lanes at once, by numbers that are each
lane's own. On a GPU attention and dropout are kernels over the packed rows, which keep no mask and need
no padding. Padding is computed nowhere but inside a CPU's attention. Where one token of each sequence is read,
the last layer computes nothing else for the other tokens than the keys and values they are looked at by.

Shapes: ``N`` packed token rows, ``B`` sequences, ``S`` tokens, ``H`` heads, ``d`` hidden size.

Source: BERT (arXiv 1810.04805), RoBERTa (arXiv 1907.11692), XLM-R (arXiv 1911.02116), CamemBERT (arXiv
1911.03894), ELECTRA (arXiv 2003.10555), DistilBERT (arXiv 1910.01108), MPNet (arXiv 2004.09297), DeBERTa (arXiv
2006.03654), ALBERT (arXiv 1909.11942).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from adapterlab.plugin import (
    ACTIVATIONS,
    Backbone,
    Hook,
    Numbers,
    Pass,
    Rectangle,
    Tensors,
    on_gpu_path,
    packed_attention,
    packed_dropout,
    pick,
    spread,
)
from adapterlab_encoder import inputs
from adapterlab_encoder.attention import Bias, attention, biased_attention
from adapterlab_encoder.config import EncoderConfig
from adapterlab_encoder.prefix import PrefixCache
from adapterlab_encoder.relative import (
    disentangled_rows,
    disentangled_scale,
    disentangled_scores,
    query_rows,
    shared_bias,
)
from adapterlab_encoder.weights import Block, Pair, Weights, reader

_EMBEDDED, _ATTENDED, _PROBABILITIES, _FED, _DISTANCES, _CONVOLVED = range(6)
"""Where a layer drops, as sites of the lanes' numbers; the embeddings count as a layer of their own."""
_OUTPUTS = {_ATTENDED: "attention.out", _FED: "ffn.out"}
"""The sites of a hook where what drops is a sub-block's output."""
_TYPES = (0, 1)
"""Token types that a tokenizer gives, where the model has no table that says how many there are."""
_Seen = Callable[[int, Tensor, Tensor], Bias]
"""``seen(run, q, k)`` gives what is added to a run's scores."""
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

    @property
    def words(self) -> int:
        """Rows of the word table."""
        return len(self._weights.words)

    @property
    def types(self) -> int | None:
        """Rows of the table of token types; a single one is every token's, whatever its type."""
        return self.config.type_vocab_size if self.config.type_vocab_size > 1 else None

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
            wanted = rows if layer == last else None
            z = self._to_ffn(h, batch, generators, hook, layer, rows=wanted)
            out = self._after_ffn(z, hook, layer)
            if layer == 0 and self.config.convolution is not None:
                out = self._convolved(h, out, batch, generators, rows=wanted)
            h = out
        return h

    def _convolved(
        self, embedded: Tensor, h: Tensor, batch: Pass, numbers: Numbers | None, *, rows: Tensor | None
    ) -> Tensor:
        """Return the first layer's output with the convolution of its input, (N, d), or (Σ B, d) of wanted rows."""
        convolution, weights = self.config.convolution, self._weights
        assert convolution is not None
        parts = []
        for rectangle, own in zip(batch.merged.rectangles, batch.merged.split(embedded), strict=True):
            cells, size = rectangle.cells, rectangle.token_ids.shape[1]
            grid = own if cells is None else spread(own, cells, rectangle.token_ids.numel())
            grid = grid.view(-1, size, grid.shape[1])  # (B, S, d)
            if rectangle.given_mask is not None:
                grid = grid * rectangle.given_mask.unsqueeze(2)
            found = F.conv1d(
                grid.transpose(1, 2),
                *_both(weights.convolution),
                padding=convolution.kernel // 2,
                groups=convolution.groups,
            )
            flat = found.transpose(1, 2).reshape(-1, grid.shape[2])
            parts.append(flat if cells is None else pick(flat, cells))
        out = parts[0] if len(parts) == 1 else torch.cat(parts)
        out = out if rows is None else out.index_select(0, rows)
        out = ACTIVATIONS[convolution.activation](self._drop(out, batch, numbers, (0, _CONVOLVED)))
        return self._layer_norm(h + out, _both(weights.convolution_norm))

    def _new_cache(self) -> PrefixCache | None:
        if self.config.convolution is not None:
            return None  # which also needs the embeddings, behind the first layer
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
        seen = self._distances(layer, batch, numbers, rows)
        gathered = self._attend(block, (looking, h), batch, added, (numbers, layer), seen)
        gathered = added("attention.context", gathered, gathered)
        attended = added("attention.dense", gathered, F.linear(gathered, *block.attention_out))
        a = self._onto(looking, attended, batch, numbers, (layer, _ATTENDED), hook)
        a = self._layer_norm(a, block.attention_norm)
        inner = ACTIVATIONS[self.config.activation](added("ffn.up", a, F.linear(a, *block.up)))
        inner = added("ffn.inner", inner, inner)
        down = added("ffn.down", inner, F.linear(inner, *block.down))
        return self._onto(
            a, down, batch, numbers if self.config.rules.drops_fed else None, (layer, _FED), hook
        )

    def _onto(
        self,
        residual: Tensor,
        x: Tensor,
        batch: Pass,
        numbers: Numbers | None,
        site: tuple[int, int],
        hook: Hook | None,
    ) -> Tensor:
        """Return a sub-block's output ``x`` with dropout and what is added to it, on its input."""
        layer, where = site
        name = _OUTPUTS[where]
        if hook is None or name not in hook.sites:
            return self._drop(x, batch, numbers, site, onto=residual)
        x = self._drop(x, batch, numbers, site)
        return _added(hook, layer, name, x, x) + residual

    def _goes_packed(self, batch: Pass) -> bool:
        """Return whether rows are computed as they lie, by operations over all of them."""
        return batch.is_packed and on_gpu_path(self.device)

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
        h = F.embedding(token_ids, weights.words)
        if weights.positions is not None:
            positions = torch.cat([one.packed(self._position_ids(one)) for one in runs])
            h = h + F.embedding(positions, weights.positions)
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
        rows: tuple[Tensor, Tensor],
        batch: Pass,
        added: _Added,
        drawn: tuple[Numbers | None, int],
        seen: _Seen | None,
    ) -> Tensor:
        """Return what rows gather from all tokens of their sequences, (N, d) or (Σ B, d).

        Args:
            block: The layer's weights.
            rows: Those that look, (N, d), or one a sequence, (Σ B, d), and all, (N, d).
            batch: What they are.
            added: What the lanes add at the layer's sites.
            drawn: The lanes' numbers, if probabilities drop, and the layer.
            seen: What is added to a run's scores for the distances of tokens; ``None``: nothing is.
        """
        (looking, h), (numbers, layer) = rows, drawn
        heads, d = self.config.heads, self.shape.hidden_size
        query, key, value = self._project(block, looking, h)
        query = added("attention.query", looking, query)
        key, value = added("attention.key", h, key), added("attention.value", h, value)
        if seen is None and self._goes_packed(batch):
            p = self.config.attention_dropout
            dropping = None if numbers is None or p == 0 else (numbers, (layer, _PROBABILITIES), p)
            return packed_attention(query, key, value, heads, batch.packed, dropping)
        keep, share = self._kept(batch, numbers, layer, one_row=looking is not h)
        runs, parts = batch.merged, []
        grids_of_runs = zip(*map(runs.split, (query, key, value)), strict=True)
        for number, (rectangle, own, flat) in enumerate(
            zip(runs.rectangles, grids_of_runs, keep, strict=True)
        ):
            sequences, cells = len(rectangle.token_ids), rectangle.cells
            grids = list(own)
            if cells is not None:  # attention is the one place that needs the padded grid
                size = rectangle.token_ids.numel()
                whole = grids if looking is h else grids[1:]
                grids = [*grids[: 3 - len(whole)], *(spread(one, cells, size) for one in whole)]
            q, k, v = (one.view(sequences, -1, heads, d // heads).transpose(1, 2) for one in grids)
            mask = None if rectangle.mask is None else rectangle.mask[:, None, None, :]
            chosen = None if flat is None else flat.view(sequences, heads, q.shape[2], k.shape[2])
            if seen is None:
                attended = attention(q, k, v, mask, chosen, share)
            else:
                attended = biased_attention(q, k, v, mask, seen(number, q, k), chosen, share)
            gathered = attended.transpose(1, 2).reshape(-1, d)  # (B, H, S or 1, d/H) -> (B·S or B, d)
            parts.append(gathered if cells is None or looking is not h else pick(gathered, cells))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _distances(
        self, layer: int, batch: Pass, numbers: Numbers | None, rows: Tensor | None
    ) -> _Seen | None:
        """Return what a layer's attention adds for the distances of tokens, run by run; ``None``: nothing."""
        kind, table = self.config.disentangled, self._weights.distances
        columns = _columns(batch, rows)
        sizes = [one.token_ids.shape[1] for one in batch.merged.rectangles]
        if self.config.distance_buckets:
            return lambda number, q, _: Bias(
                shared_bias(_there(table), sizes[number], columns[number]), 1 / math.sqrt(q.shape[-1])
            )
        if kind is None:
            return None
        scale = disentangled_scale(self.shape.hidden_size // self.config.heads, 1 + len(kind.terms))
        if not kind.looks or not kind.terms:
            return lambda _, q, __: Bias(q.new_zeros(()), scale)
        maps = self._positions_of_lanes(layer, batch, numbers)
        lanes = (
            _lanes(batch) if len(maps) > 1 else [[(len(one.token_ids), 0)] for one in batch.merged.rectangles]
        )

        def seen(number: int, q: Tensor, k: Tensor) -> Bias:
            found = query_rows(disentangled_rows(sizes[number], q.device, kind), columns[number])
            parts, first = [], 0
            for count, lane in lanes[number]:
                own = slice(first, first + count)
                rows_of_lane = found if columns[number] is None else found[own]
                parts.append(disentangled_scores(q[own], k[own], *maps[lane], rows_of_lane))
                first += count
            return Bias((parts[0] if len(parts) == 1 else torch.cat(parts)) * scale, scale)

        return seen

    def _positions_of_lanes(
        self, layer: int, batch: Pass, numbers: Numbers | None
    ) -> list[tuple[Tensor | None, Tensor | None]]:
        """Return keys and queries of the distances, (H, P, e) each: one pair, or one a lane where lanes drop."""
        kind, block, d = self.config.disentangled, self._weights.blocks[layer], self.shape.hidden_size
        assert kind is not None
        table, p = _there(self._weights.distances), self.config.hidden_dropout
        if self._weights.distances_norm is not None:
            table = self._layer_norm(table, self._weights.distances_norm)
        tables = table.unsqueeze(0)  # (1, P, d)
        if numbers is not None and p > 0:
            lanes = len(batch.rectangles)
            mask, chances = numbers.at(layer, _DISTANCES).keep([table.numel()] * lanes, p)
            tables = tables * mask.view(lanes, *table.shape) / chances[0]  # (K, P, d)
        weight, bias = block.qkv
        key, query = block.position_key, block.position_query
        if kind.shares_maps:
            query, key = (weight[:d], bias[:d]), (weight[d : 2 * d], bias[d : 2 * d])

        def mapped(pair: Pair | None, term: str) -> Sequence[Tensor | None]:
            if pair is None or term not in kind.terms:
                return [None] * len(tables)
            found = F.linear(tables, *pair)  # (1 or K, P, d) -> (1 or K, H, P, e)
            return list(found.view(*found.shape[:2], self.config.heads, -1).transpose(1, 2))

        return list(zip(mapped(key, "c2p"), mapped(query, "p2c"), strict=True))

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

    def _drop(
        self,
        x: Tensor,
        batch: Pass,
        numbers: Numbers | None,
        site: tuple[int, int],
        *,
        onto: Tensor | None = None,
    ) -> Tensor:
        """Return ``x`` with dropout, where lanes drop, added onto another tensor, if one is given."""
        p = self.config.hidden_dropout
        if numbers is not None and p > 0:
            if self._goes_packed(batch):
                return packed_dropout(x, onto, batch.packed, numbers, site, p)
            sizes = [rows * x.shape[1] for rows in batch.sizes_of(x)]
            mask, chances = numbers.at(*site).keep(sizes, p)
            x = (x * mask.view(x.shape)).mul_(1 / chances[0])
        return x if onto is None else x + onto

    def _layer_norm(self, x: Tensor, norm: Pair) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], *norm, eps=self.config.layer_norm_eps)


def _columns(batch: Pass, rows: Tensor | None) -> Sequence[Tensor | None]:
    """Return the column of each sequence's wanted row, run by run, (B,) each; ``None``: all rows are wanted."""
    runs = batch.merged.rectangles
    if rows is None:
        return [None] * len(runs)
    starts, first = [], 0
    for one in runs:
        starts.append(one.starts + first)
        first += one.tokens
    return torch.split(rows - torch.cat(starts), [len(one) for one in starts])


def _lanes(batch: Pass) -> list[list[tuple[int, int]]]:
    """Return of each run how many sequences each of its lanes has, with the lane's number."""
    left = [(len(one.token_ids), lane) for lane, one in enumerate(batch.rectangles)]
    found = []
    for run in batch.merged.rectangles:
        own: list[tuple[int, int]] = []
        while sum(count for count, _ in own) < len(run.token_ids):
            own.append(left.pop(0))
        found.append(own)
    return found


def _both(pair: Pair | None) -> Pair:
    assert pair is not None
    return pair


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
