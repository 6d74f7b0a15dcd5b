"""What is, or folds into, one adapter: a bottleneck as AdapterHub has it, a LoRA as PEFT, or (IA)³ as either."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from adapterlab.exporting import adapterhub as hub
from adapterlab.exporting import adapterhub_lora, peft, peft_ia3
from adapterlab.exporting.draft import Draft
from adapterlab.exporting.foreign_adapter import read_foreign, weights_in
from adapterlab.exporting.stored_models import placed
from adapterlab.registry.entry_points import adapter_method
from adapterlab.train.adaptation import OwnAdapter, Seat
from adapterlab.train.fold import Folded
from adapterlab.train.heads import head_layer
from adapterlab.train.layers import Backbone, HeadLayer, Tensors


class SingleDraft(Draft):
    """One adapter that stands for a whole combination."""

    @cached_property
    def folded(self) -> Folded:
        """The one adapter."""
        return self.trained.folded(self.origin.loaded.shape, self.wishes.tolerance)

    @property
    def parameters(self) -> int:
        """Parameters of the adapter."""
        return sum(one.numel() for one in self.folded.tensors.values())

    @property
    def kept(self) -> tuple[tuple[int, ...], ...]:
        """Places of the sources at each point."""
        return self.folded.kept

    @property
    def dropped(self) -> tuple[str, ...]:
        """Tasks of sources that are nowhere."""
        return tuple(self.trained.sources[place].label for place in self.folded.dropped)

    @property
    def largest_dropped(self) -> float:
        """Greatest absolute coefficient left out."""
        return self.folded.largest_dropped

    def exact_seat(self) -> Seat | None:
        """Return the adapter with no source left out, where some were."""
        if self.wishes.tolerance == 0:
            return None
        exact = self.trained.folded(self.origin.loaded.shape).tensors
        assert self.trained.folds_into is not None
        method, settings = self.trained.folds_into
        return method_seat(method, settings, {**exact, **self.trained.head}, self.origin.loaded)

    def read_back(self) -> Seat:
        """Read adapter and head, and return how to run them."""
        return seat_of_folder(self.folder, self.origin.loaded)


class AdapterHubDraft(SingleDraft):
    """AdapterHub's ``seq_bn`` or ``double_seq_bn``."""

    format: ClassVar[str] = "adapterhub"

    @property
    def widths(self) -> tuple[int, ...]:
        """Bottleneck width of each layer."""
        return hub.widths(self.folded.tensors, self.origin.loaded.shape.layers)

    def write_adapters(self) -> None:
        """Write the adapter's config and tensors."""
        tensors = hub.adapter_tensors(self.folded.tensors, self.name, self.origin.architecture)
        self.tensors(hub.ADAPTER_WEIGHTS, tensors, pickle=hub.ADAPTER_PICKLE)
        assert self.trained.folds_into is not None
        config = hub.adapter_config(
            self.name,
            architecture=self.origin.architecture,
            model_name=self.base_model,
            hidden_size=self.hidden_size,
            widths=self.widths,
            non_linearity=self.trained.method_settings.non_linearity,
            method=self.trained.folds_into[0],
        )
        config["config"] |= hub.places(tensors)
        self.json(hub.ADAPTER_CONFIG, config)

    def write_head(self) -> None:
        """Write the head beside the adapter."""
        self.write_hub_head()


class PeftDraft(SingleDraft):
    """PEFT's LoRA."""

    format: ClassVar[str] = "peft"

    @property
    def widths(self) -> tuple[int, ...]:
        """Rank at each point."""
        return peft.ranks(self.folded.tensors)

    def write_adapters(self) -> None:
        """Write the config and, with the head inside, the tensors."""
        head = self.trained.head or None
        settings = self.trained.method_settings
        tensors = peft.peft_tensors(self.folded.tensors, head, self.origin.architecture)
        self.tensors(peft.WEIGHTS, tensors)
        config = peft.config(
            self.folded.tensors,
            scale=float(settings.alpha / settings.r),
            base_model=self.base_model,
            architecture=self.origin.architecture,
            has_head=head is not None,
        )
        self.json(peft.CONFIG, config)

    def write_head(self) -> None:
        """Do nothing: PEFT keeps a head among the adapter's own tensors."""


class ScalingDraft(Draft):
    """(IA)³, which is itself and folds into nothing."""

    @property
    def sites(self) -> tuple[str, ...]:
        """What is scaled in every layer."""
        return self.trained.plugin.sites(self.trained.method_settings)

    @property
    def factors(self) -> Tensors:
        """The factors, under our names."""
        return self.trained.adapters[0]

    @property
    def parameters(self) -> int:
        """How many factors there are."""
        return sum(one.numel() for one in self.factors.values())

    def read_back(self) -> Seat:
        """Read factors and head, and return how to run them."""
        return seat_of_folder(self.folder, self.origin.loaded)


class AdapterHubScalingDraft(ScalingDraft):
    """AdapterHub's ``ia3``: outputs of linear maps are scaled, before any activation."""

    format: ClassVar[str] = "adapterhub-ia3"

    def write_adapters(self) -> None:
        """Write the config and the factors."""
        tensors = adapterhub_lora.ia3_tensors(self.factors, self.name, self.origin.architecture)
        self.tensors(hub.ADAPTER_WEIGHTS, tensors, pickle=hub.ADAPTER_PICKLE)
        config = adapterhub_lora.ia3_config(
            self.name,
            self.sites,
            architecture=self.origin.architecture,
            model_name=self.base_model,
            hidden_size=self.hidden_size,
        )
        self.json(hub.ADAPTER_CONFIG, config)

    def write_head(self) -> None:
        """Write the head beside the factors."""
        self.write_hub_head()


class PeftScalingDraft(ScalingDraft):
    """PEFT's (IA)³, which may also scale the inputs of linear maps, behind an activation."""

    format: ClassVar[str] = "peft-ia3"

    def write_adapters(self) -> None:
        """Write the config and, with the head inside, the factors."""
        head, architecture = self.trained.head or None, self.origin.architecture
        config = peft_ia3.config(
            self.sites, base_model=self.base_model, architecture=architecture, has_head=head is not None
        )
        self.json(peft.CONFIG, config)
        self.tensors(peft.WEIGHTS, peft_ia3.peft_tensors(self.factors, self.sites, head, architecture))

    def write_head(self) -> None:
        """Do nothing: PEFT keeps a head among the adapter's own tensors."""


def seat_of_folder(folder: Path, backbone: Backbone) -> Seat:
    """Read an export of one adapter, which has all of its head, and return how to run it."""
    read = read_foreign(folder)
    head = {} if read.head is None else read.head.tensors
    own = read.adapter(backbone.shape, weights_in(backbone))
    return method_seat(read.method, read.settings, {**own, **head}, backbone)


def method_seat(method: str, settings: Any, tensors: Tensors, backbone: Backbone) -> Seat:
    """Return how to run one adapter of a method, with its head if there is one among the tensors."""
    layer = adapter_method(method).layer(settings, backbone.shape)
    return placed(OwnAdapter(layer), tensors, backbone, plain_head(tensors, backbone))


def plain_head(tensors: Tensors, backbone: Backbone) -> HeadLayer | None:
    """Return the two-layer head that other libraries' formats hold; ``None`` where tensors have none."""
    if "head.out.bias" not in tensors:
        return None
    outputs = len(tensors["head.out.bias"])
    return head_layer(outputs=outputs, hidden_size=backbone.shape.hidden_size)
