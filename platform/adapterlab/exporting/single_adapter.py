"""What is, or folds into, one adapter: a bottleneck as AdapterHub has it, or a LoRA as PEFT has it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

from pydantic import ValidationError

from adapterlab.errors import DataError
from adapterlab.exporting import adapterhub as hub
from adapterlab.exporting import peft
from adapterlab.exporting.adapter_folder import FolderAdapter, read_adapter, read_head
from adapterlab.exporting.draft import Draft
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


class AdapterHubDraft(SingleDraft):
    """AdapterHub's ``seq_bn``."""

    format: ClassVar[str] = "adapterhub"

    @property
    def widths(self) -> tuple[int, ...]:
        """Bottleneck width of each layer."""
        layers = range(self.origin.loaded.shape.layers)
        return tuple(int(self.folded.tensors[f"layer.{layer}.down.bias"].shape[0]) for layer in layers)

    def write_adapters(self) -> None:
        """Write the adapter's config and tensors."""
        tensors = hub.adapter_tensors(self.folded.tensors, self.name, self.origin.architecture)
        self.tensors(hub.ADAPTER_WEIGHTS, tensors, pickle=hub.ADAPTER_PICKLE)
        config = hub.adapter_config(
            self.name,
            architecture=self.origin.architecture,
            model_name=self.base_model,
            hidden_size=self.hidden_size,
            widths=self.widths,
            non_linearity=self.trained.method_settings.non_linearity,
        )
        self.json(hub.ADAPTER_CONFIG, config)

    def write_head(self) -> None:
        """Write the head beside the adapter."""
        self.write_hub_head()

    def read_back(self) -> Seat:
        """Read adapter and head, and return how to run them."""
        back, head = read_adapter(self.folder), read_head(self.folder)
        tensors = {**back.tensors, **({} if head is None else head.tensors)}
        return method_seat(hub.METHOD, pfeiffer_settings([back]), tensors, self.origin.loaded)


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
        scale = float(settings.alpha / settings.r)
        tensors = peft.peft_tensors(self.folded.tensors, head, self.origin.architecture)
        self.tensors(peft.WEIGHTS, tensors)
        config = peft.config(
            self.folded.tensors,
            scale=scale,
            targets=settings.targets,
            base_model=self.base_model,
            architecture=self.origin.architecture,
            has_head=head is not None,
        )
        self.json(peft.CONFIG, config)

    def write_head(self) -> None:
        """Do nothing: PEFT keeps a head among the adapter's own tensors."""

    def read_back(self) -> Seat:
        """Read the LoRA and its head, and return how to run them."""
        back = peft.read_lora(self.folder)
        loaded = self.origin.loaded
        return method_seat(peft.METHOD, back.settings, back.seat_tensors(loaded.shape.layers, ()), loaded)


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


def pfeiffer_settings(adapters: Sequence[FolderAdapter]) -> Any:
    """Return the settings that bottleneck adapters of folders share.

    Raises:
        DataError: They differ in their non-linearity, or have one that is not known.
    """
    kinds = {one.described.non_linearity: one.folder for one in adapters}
    if len(kinds) > 1:
        told = ", ".join(f"{folder} has {kind}" for kind, folder in kinds.items())
        raise DataError(f"adapters of one pool must share their non-linearity: {told}")
    kind, folder = next(iter(kinds.items()))
    try:
        return adapter_method(hub.METHOD).settings.model_validate({"non_linearity": kind})
    except ValidationError as error:
        raise DataError(f"{folder}: non_linearity {kind!r}: {error.errors()[0]['msg']}") from None
