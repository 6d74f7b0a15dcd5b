"""HyperFormer and HyperFormer++: hyper-networks that generate a task's adapters, and their LayerNorm.

Shapes: ``N`` token rows, ``d`` hidden size, ``r`` bottleneck width, ``L`` layers, ``E`` task embedding, ``H`` inner
width of the projector, ``P`` projected embedding.

Source: HyperFormer (arXiv 2106.04489), section 2; ScaLearn (arXiv 2310.01217), section 4.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from adapterlab.plugin import BackboneShape, JointLayer, MethodLayer, Tensors
from adapterlab_bottleneck import bottleneck
from adapterlab_joint.plugin import HyperFormerPPSettings, HyperFormerSettings

_SITES = ("ffn",)
_EMBEDDING_EPS = 1e-6  # of the LayerNorm over the projected embedding, as in the official code
_CONDITIONAL_EPS = 1e-5


class ConditionalLayer(MethodLayer):
    """A bottleneck a layer with a LayerNorm on its output, ``γ ⊙ norm(W_up σ(W_down x + b_down) + b_up) + β``."""

    reads = frozenset("x")

    def __init__(self, settings: HyperFormerSettings, shape: BackboneShape) -> None:
        super().__init__(shape, _SITES)
        self.settings = settings

    @property
    def alike(self) -> Hashable:
        """Adapters of any widths: an inner unit of zeros adds nothing."""
        return type(self), self.settings.non_linearity

    def initial(self, generator: torch.Generator) -> Tensors:
        """Return one adapter as it is without a hyper-network: weights N(0, 0.02), biases 0, LayerNorm 1 and 0."""
        (site,) = self.sites
        tensors: Tensors = {}
        for layer in range(self.shape.layers):
            base = f"layer.{layer}."
            tensors |= bottleneck.initial(site, self.settings.width(site.output), generator).named(base)
            tensors[f"{base}norm.weight"] = torch.ones(site.output)
            tensors[f"{base}norm.bias"] = torch.zeros(site.output)
        return tensors

    def forward(self, tensors: Mapping[str, Tensor], site: str, layer: int, x: Tensor, y: Tensor) -> Tensor:
        """Return ``u``, (N, d) -> (N, d); of lanes (K, R, d) -> (K, R, d)."""
        del site, y  # one site, and u depends on x alone
        base = f"layer.{layer}."
        u = bottleneck.forward(bottleneck.read(tensors, base), self.settings.non_linearity, x)
        normed = F.layer_norm(u, u.shape[-1:], eps=_CONDITIONAL_EPS)
        weight, bias = tensors[f"{base}norm.weight"], tensors[f"{base}norm.bias"]  # (d,) or (K, d)
        return weight.unsqueeze(-2) * normed + bias.unsqueeze(-2)


class HyperFormerLayer(JointLayer):
    """Task embeddings, a projector and generators; with settings of HyperFormer++ one set of these for all layers."""

    def __init__(self, settings: HyperFormerSettings, shape: BackboneShape, tasks: Sequence[str]) -> None:
        super().__init__(ConditionalLayer(settings, shape), tasks)
        self.settings = settings
        (site,) = self.method.sites
        self._down, self._up = (
            (settings.width(site.output), site.input),
            (site.output, settings.width(site.output)),
        )

    @property
    def by_layer(self) -> bool:
        """Whether a layer is known by its embedding, not by generators of its own."""
        return isinstance(self.settings, HyperFormerPPSettings)

    def initial(self, generator: torch.Generator) -> Tensors:
        """Return task embeddings N(0, 1), weights N(0, ``init_std``), biases 0, and the projector's LayerNorm 1, 0."""
        settings, layers = self.settings, self.method.shape.layers
        e, hidden, z = settings.task_embedding, settings.hidden, settings.projected

        def normal(*size: int, std: float) -> Tensor:
            return torch.empty(size).normal_(0.0, std, generator=generator)

        tensors = {f"task_embedding.{task}": normal(e, std=1.0) for task in self.tasks}
        if isinstance(settings, HyperFormerPPSettings):
            tensors["layer_embedding"] = normal(layers, e, std=settings.layer_std)
        linears = {"project.in": (2 * e if self.by_layer else e, hidden), "project.out": (hidden, z)}
        for base in [""] if self.by_layer else [f"layer.{layer}." for layer in range(layers)]:
            linears |= {f"hyper.{base}{part}_gen": (z, size) for part, size in self._generated.items()}
        for name, (read, written) in linears.items():
            tensors[f"{name}.weight"] = normal(written, read, std=settings.init_std)
            tensors[f"{name}.bias"] = torch.zeros(written)
        return tensors | {"project.norm.weight": torch.ones(z), "project.norm.bias": torch.zeros(z)}

    def adapter(self, tensors: Mapping[str, Tensor], task: str) -> Tensors:
        """Return the adapter that the hyper-networks generate for a task, every layer's."""
        made: Tensors = {}
        shared = None if self.by_layer else self.projected(tensors, task, 0)
        for layer in range(self.method.shape.layers):
            z = self.projected(tensors, task, layer) if shared is None else shared
            base = "hyper." if self.by_layer else f"hyper.layer.{layer}."
            for part in self._generated:
                made[f"layer.{layer}.{part}"] = _linear(tensors, f"{base}{part}_gen", z)
            for part, size in (("down.weight", self._down), ("up.weight", self._up)):
                name = f"layer.{layer}.{part}"
                made[name] = made[name].view(size)
        return made

    def projected(self, tensors: Mapping[str, Tensor], task: str, layer: int) -> Tensor:
        """Return the normalised embedding that a layer's adapter is generated from, (P,)."""
        v = tensors[f"task_embedding.{task}"]
        if self.by_layer:
            v = torch.cat([v, tensors["layer_embedding"][layer]])  # (2E,)
        z = _linear(tensors, "project.out", torch.relu(_linear(tensors, "project.in", v)))
        norm = tensors["project.norm.weight"], tensors["project.norm.bias"]
        return F.layer_norm(z, z.shape, *norm, eps=_EMBEDDING_EPS)

    @property
    def _generated(self) -> dict[str, int]:
        """The parts of a layer's adapter and how many numbers each has."""
        (site,) = self.method.sites
        r = self._down[0]
        return {
            "down.weight": r * site.input,
            "down.bias": r,
            "up.weight": site.output * r,
            "up.bias": site.output,
            "norm.weight": site.output,
            "norm.bias": site.output,
        }


def _linear(tensors: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    return F.linear(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"])
