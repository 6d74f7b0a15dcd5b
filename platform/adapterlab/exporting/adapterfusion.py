"""An AdapterFusion transfer as AdapterHub's setup: every source, the fusion, and the head."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

from adapterlab.exporting import adapterfusion_format as fusion
from adapterlab.exporting import adapterhub as hub
from adapterlab.exporting.draft import Draft, slug
from adapterlab.exporting.stored_models import placed
from adapterlab.registry.entry_points import adapter_method, combiner
from adapterlab.train import tensor_files as foreign
from adapterlab.train.adaptation import Seat, SourcePool
from adapterlab.train.combination import Combination, combiner_layer
from adapterlab.train.layers import MEAN_COEFFICIENTS, Backbone, Tensors


class FusionDraft(Draft):
    """Sources stay apart: attention weighs them for every token anew, so they are no one adapter."""

    format: ClassVar[str] = "adapterhub-fusion"

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The sources' names inside AdapterHub: their tasks', made distinct."""
        tasks = [source.task for source in self.trained.sources]
        short = [slug(task.rsplit("/", 1)[-1]) for task in tasks]
        found: list[str] = []
        for task, name, source in zip(tasks, short, self.trained.sources, strict=True):
            own = name if short.count(name) == 1 else slug(*task.split("/"))
            taken = own in found or own in foreign.RESERVED_NAMES or own == self.name
            found.append(slug(own, source.key[:8]) if taken else own)
        return tuple(found)

    @cached_property
    def fused(self) -> Tensors:
        """The fusion's tensors under our names."""
        return {name: one for name, one in self.trained.learned.items() if name != MEAN_COEFFICIENTS}

    @property
    def parameters(self) -> int:
        """Parameters of the sources and of the fusion."""
        parts = (*self.trained.adapters, self.fused)
        return sum(one.numel() for tensors in parts for one in tensors.values())

    def write_adapters(self) -> None:
        """Write one folder a source, one for the fusion, and what holds them together."""
        about: dict[str, Any] = {
            "architecture": self.origin.architecture,
            "model_name": self.base_model,
            "hidden_size": self.hidden_size,
        }
        layers = range(self.origin.loaded.shape.layers)
        for name, tensors in zip(self.names, self.trained.adapters, strict=True):
            theirs = hub.adapter_tensors(tensors, name, self.origin.architecture)
            self.tensors(f"{name}/{hub.ADAPTER_WEIGHTS}", theirs, pickle=hub.ADAPTER_PICKLE)
            widths = [int(tensors[f"layer.{layer}.down.bias"].shape[0]) for layer in layers]
            config = hub.adapter_config(
                name, widths=widths, non_linearity=self.trained.method_settings.non_linearity, **about
            )
            self.json(f"{name}/{hub.ADAPTER_CONFIG}", config)
        name = fusion.fusion_name(self.names, self.name)
        theirs = fusion.fusion_tensors(self.fused, name, self.origin.architecture)
        self.tensors(f"{name}/{fusion.WEIGHTS}", theirs, pickle=fusion.PICKLE)
        self.json(f"{name}/{fusion.CONFIG}", fusion.fusion_config(name, self.names, **about))
        head = self.name if self.trained.head else None
        self.json(fusion.SETUP, fusion.setup_config(self.names, name, head))

    def write_head(self) -> None:
        """Write the head into a folder of its own, where ``load_adapter_setup`` looks for it."""
        self.write_hub_head(f"{self.name}/")

    def read_back(self) -> Seat:
        """Read the setup and return how to run it."""
        return seat_of(fusion.read_setup(self.folder), self.origin.loaded)


def seat_of(setup: fusion.FolderSetup, backbone: Backbone) -> Seat:
    """Return how to run a setup on a backbone, with its head if it has one.

    Args:
        setup: As it was read.
        backbone: It must have the setup's depth and width.
    """
    from adapterlab.exporting.adapter_folder import bottleneck_settings
    from adapterlab.exporting.single_adapter import plain_head

    method = adapter_method(hub.METHOD).layer(bottleneck_settings(setup.sources), backbone.shape)
    pool = SourcePool.build(method, [source.tensors for source in setup.sources], backbone)
    plugin = combiner(fusion.COMBINER)
    layer = combiner_layer(plugin, plugin.settings(), pool.shape)
    head = {} if setup.head is None else setup.head.tensors
    tensors = {**setup.fusion.tensors, **head}
    return placed(
        Combination(pool, layer, token_dependent=True), tensors, backbone, plain_head(tensors, backbone)
    )
