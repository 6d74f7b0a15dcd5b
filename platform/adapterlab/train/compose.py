"""A backbone with a combined pool as an ordinary module, without any sweep.

The same engine as in training: the frozen backbone, the stacked pool, and the combiner's folded
form. Only the combiner's tensors are parameters.

Shapes: ``B`` rows, ``S`` tokens, ``L`` layers, ``T`` sources, ``d`` hidden size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from adapterlab.errors import DataError, UsageError
from adapterlab.train.adaptation import Seat, SourcePool, hidden_states
from adapterlab.train.combination import Combination, pool_for
from adapterlab.train.finite import OVERFLOW, rows_without_answer, told
from adapterlab.train.layers import (
    Backbone,
    CombinerLayer,
    FrozenPool,
    MethodLayer,
    PoolContext,
    Tensors,
)
from adapterlab.train.rng import stream
from adapterlab.train.tensor_files import is_plain
from adapterlab.train.weights import is_finite

if TYPE_CHECKING:
    from transformers.modeling_outputs import BaseModelOutput


class Composition(nn.Module):
    """A frozen backbone whose frozen source adapters are combined; made by :func:`compose`.

    There is no dropout in it, neither in the backbone nor on the coefficients: ``train()`` and
    ``eval()`` compute the same.
    """

    def __init__(
        self,
        backbone: Backbone,
        pool: SourcePool,
        combiner: CombinerLayer,
        tensors: Mapping[str, Tensor],
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.adaptation = Combination(pool, combiner)
        self._names = {name: name.replace(".", "_") for name in tensors}
        for name, tensor in tensors.items():
            if tensor.requires_grad:
                setattr(self, self._names[name], tensor)  # a Parameter is registered, others stay as they are
            else:
                self.register_buffer(self._names[name], tensor)

    @property
    def coefficients(self) -> Tensor:
        """The coefficients: the parameter to train, or the tensor that was given with a gradient.

        Raises:
            UsageError: The combiner has several tensors; see ``named_parameters()``.
        """
        if len(self._names) != 1:
            raise UsageError(f"this combiner has several tensors: {', '.join(self._names.values())}")
        return next(iter(self._tensors().values()))

    def _tensors(self) -> dict[str, Tensor]:
        return {name: getattr(self, attribute) for name, attribute in self._names.items()}

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Composition:
        """Move the frozen parts as well, which are no parameters: ``to()``, ``double()``, ``cuda()``."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        here = torch.empty(0, dtype=self.backbone.dtype, device=self.backbone.device)
        there = fn(here)
        if (there.dtype, there.device) != (here.dtype, here.device):
            pool = self.adaptation.pool
            moved = tuple(
                FrozenPool({name: fn(one) for name, one in layer.inner.items()}, fn(layer.up), fn(layer.bias))
                for layer in pool.points
            )
            self.backbone = self.backbone.to(dtype=there.dtype, device=there.device)
            self.adaptation = replace(self.adaptation, pool=replace(pool, points=moved))
        return self

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
    ) -> BaseModelOutput:
        """Return the last hidden state, (B, S, d), as the usual Hugging Face output.

        Args:
            input_ids: (B, S).
            attention_mask: 1 where a token may be looked at, (B, S), padding anywhere; ``None``: everywhere.
            token_type_ids: (B, S); ``None``: zeros.

        Raises:
            DataError: A shape, an id or the mask makes no sense for this backbone, or a row's states are not
                finite: finite weights can overflow together.
        """
        from transformers.modeling_outputs import BaseModelOutput

        rectangle = self.backbone.rectangle(input_ids, attention_mask, token_type_ids)
        tensors = {
            name: tensor.to(dtype=self.backbone.dtype, device=self.backbone.device)
            for name, tensor in self._tensors().items()
        }
        (states,) = hidden_states(self.backbone, [Seat(self.adaptation, tensors)], [rectangle])
        if not bool(torch.isfinite(states).all()):
            raise DataError(
                told(rows_without_answer(states.detach().double().cpu().numpy())), remedy=OVERFLOW
            )
        return BaseModelOutput(last_hidden_state=states)

    def extra_repr(self) -> str:
        """Return what ``print`` shows."""
        shape, pool = self.backbone.shape, self.adaptation.pool
        return f"layers={shape.layers}, hidden_size={shape.hidden_size}, sources={pool.sources}"


def compose(
    backbone: Backbone,
    method: MethodLayer,
    adapters: Sequence[Mapping[str, Tensor]],
    combiner: CombinerLayer,
    coefficients: Tensor | Mapping[str, Tensor] | None = None,
    *,
    names: Sequence[str] = (),
) -> Composition:
    """Return a backbone with a combined pool as a module.

    Args:
        backbone: The frozen backbone.
        method: Torch side of the adapters' method, on this backbone.
        adapters: The T source adapters in coefficient order.
        combiner: Torch side of the combiner, for a pool of T adapters.
        coefficients: Its one tensor, or its tensors by name. A tensor that requires a gradient is used
            itself, so that the gradient reaches it; any other becomes a parameter of the module, or a
            buffer where the combiner's coefficients are fixed. ``None``: what a training run of seed 0
            starts from, N(2 / T, 0.001) for scaling coefficients.
        names: Names of the adapters, the target's own last, for combiners that ask for them.

    Raises:
        DataError: The coefficients have another shape than the combiner's, or are not finite.
        UsageError: The combiner's coefficients must be given.
    """
    if combiner.needs_context:
        count = combiner.pool.sources
        sources = tuple(names) or tuple(f"adapter {number}" for number in range(count))
        own = [dict(one) for one in adapters]
        context = PoolContext(sources, target=sources[-1], method=method, adapters=own)
        tensors = _fixed(combiner, coefficients, context)
    else:
        fresh = combiner.initial(stream(0, "combiner init"))
        tensors = {
            name: tensor if tensor.requires_grad else nn.Parameter(_placed(tensor, backbone))
            for name, tensor in _checked(_named(coefficients, fresh), fresh).items()
        }
    pool = pool_for(combiner, tensors, method, adapters, backbone)
    placed = {
        name: tensor if tensor.requires_grad else _placed(tensor, backbone)
        for name, tensor in tensors.items()
    }
    return Composition(backbone, pool, combiner, placed)


def _fixed(
    combiner: CombinerLayer, coefficients: Tensor | Mapping[str, Tensor] | None, context: PoolContext
) -> Tensors:
    if coefficients is None:
        return combiner.fixed(context)
    wanted = {"omega": torch.empty(1, combiner.pool.sources, 1)}  # one number per source, the same everywhere
    return _checked(_named(coefficients, wanted), wanted)


def _placed(tensor: Tensor, backbone: Backbone) -> Tensor:
    return tensor.detach().clone().to(dtype=backbone.dtype, device=backbone.device)


def _checked(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Tensors:
    """Return the given tensors, the wanted ones where none is given, if their shapes are the wanted ones."""
    tensors = {name: given.get(name, fresh) for name, fresh in wanted.items()}
    for name, tensor in tensors.items():
        if tuple(tensor.shape) != tuple(wanted[name].shape):
            what = (
                "(layers or 1, sources, hidden size or 1)" if name == "omega" else "what the combiner makes"
            )
            raise DataError(
                f"{'coefficients' if name == 'omega' else name}: expected shape "
                f"{tuple(wanted[name].shape)} = {what}, got {tuple(tensor.shape)}"
            )
        if not is_plain(tensor):
            raise DataError(
                f"{name}: expected a dense tensor of numbers, got {tensor.layout} of {tensor.dtype}"
            )
        if not is_finite(tensor):
            raise DataError("coefficients: some are not finite")
    return tensors


def _named(
    coefficients: Tensor | Mapping[str, Tensor] | None, fresh: Mapping[str, Tensor]
) -> Mapping[str, Tensor]:
    if coefficients is None:
        return {}
    if not isinstance(coefficients, Mapping):
        if len(fresh) > 1:
            raise DataError(f"coefficients: this combiner has several tensors, name them: {', '.join(fresh)}")
        return {next(iter(fresh)): torch.as_tensor(coefficients)}
    if set(coefficients) != set(fresh):
        raise DataError(
            f"coefficients: expected tensors named {', '.join(fresh)}, got {', '.join(coefficients)}"
        )
    return {name: torch.as_tensor(tensor) for name, tensor in coefficients.items()}
