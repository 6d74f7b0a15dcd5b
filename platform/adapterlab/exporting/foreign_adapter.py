"""One adapter of a folder, whichever library's format it has: AdapterHub's or PEFT's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from adapterlab.errors import BackboneError, NotFoundError
from adapterlab.exporting import adapterhub as hub
from adapterlab.exporting import adapterhub_lora, peft, peft_ia3
from adapterlab.exporting import adapterhub_reading as reading
from adapterlab.exporting.adapter_folder import (
    FolderHead,
    bottleneck_settings,
    digest_in,
    read_adapter,
    read_facts,
    read_head,
    read_json,
)
from adapterlab.exporting.classifiers import Classifier
from adapterlab.records import BackboneShape
from adapterlab.train.layers import Backbone, Tensors
from adapterlab.train.tensor_files import named_tensors

Weights = peft.Weights


@dataclass(frozen=True)
class ForeignAdapter:
    """An adapter of a folder, before it is known which backbone it is for."""

    folder: Path
    format: str
    """``"adapterhub"`` or ``"peft"``."""
    method: str
    settings: Any
    """The method's, validated; of a bottleneck without its width, which its tensors say."""
    architectures: tuple[str, ...]
    """Values of ``model_type`` it fits."""
    hidden_size: int | None
    """D of its backbone; ``None``: its tensors are checked one by one."""
    adapter: Callable[[BackboneShape, Weights], Tensors]
    """Gives the adapter's tensors for a backbone; raises ``BackboneError`` or ``DataError`` where it does not fit."""
    head: FolderHead | None
    facts: Mapping[str, Any] | None
    """Contents of ``adapterlab.json``; ``None`` where the folder is not an export of ours."""
    name: str | None = None
    """In its config."""
    base_model: str | None = None
    """In its config."""
    made_with: str | None = None

    @property
    def backbone_digest(self) -> str | None:
        """sha256 of its backbone's weights, if the folder says so."""
        return digest_in(self.facts)

    def whole(self, shape: BackboneShape, model_files: Sequence[Path]) -> Tensors:
        """Return all tensors for a backbone, the head's among them.

        Args:
            shape: Of the backbone.
            model_files: Its safetensors files.

        Raises:
            BackboneError: It was made for another one.
            DataError: Its tensors do not fit.
        """
        if self.hidden_size is not None and self.hidden_size != shape.hidden_size:
            raise BackboneError(
                f"{self.folder} was made for a hidden size of {self.hidden_size}, the backbone has {shape.hidden_size}"
            )
        own = self.adapter(shape, partial(named_tensors, model_files))
        return own if self.head is None else {**own, **self.head.whole(model_files, str(self.folder))}


def weights_in(backbone: Backbone) -> Weights:
    """Return what looks tensors up in a loaded backbone."""

    def look_up(wanted: Mapping[str, Sequence[str]]) -> Tensors:
        there = backbone.weights()
        found = {ours: next((one for one in names if one in there), None) for ours, names in wanted.items()}
        return {ours: there[name].float().cpu() for ours, name in found.items() if name is not None}

    return look_up


def read_foreign(folder: Path) -> ForeignAdapter:
    """Read the adapter of a folder: AdapterHub's bottleneck, LoRA or (IA)³, or PEFT's LoRA, DoRA or (IA)³.

    Raises:
        NotFoundError: There is none.
        DataError: It is damaged, would compute something else, would run code, or is of a kind that is not read.
    """
    kind = peft.peft_type(folder)
    if kind == "IA3":
        return _peft_ia3(folder)
    if kind is not None:
        return _peft_lora(folder)
    config = read_json(folder / hub.ADAPTER_CONFIG)
    if isinstance(config, Mapping) and "peft_type" in config:
        raise NotFoundError(f"{folder}: no {peft.WEIGHTS} and no {peft.PICKLE}")
    return _hub_lora(folder, config) if adapterhub_lora.is_lora(config) else _bottleneck(folder, config)


def _peft_lora(folder: Path) -> ForeignAdapter:
    read = peft.read_lora(folder)
    return ForeignAdapter(
        folder=folder,
        format="peft",
        method=peft.METHOD,
        settings=read.settings,
        architectures=read.architectures,
        hidden_size=read.hidden_size,
        adapter=read.adapter_tensors,
        head=_unnamed(read.head),
        facts=read_facts(folder),
        base_model=_text(read.config.settings.get("base_model_name_or_path")),
        made_with=_peft_version(read.config.settings),
    )


def _peft_ia3(folder: Path) -> ForeignAdapter:
    read = peft_ia3.read_ia3(folder)
    return ForeignAdapter(
        folder=folder,
        format="peft",
        method=peft_ia3.METHOD,
        settings=read.settings,
        architectures=peft.architectures_with(read.prefix),
        hidden_size=None,
        adapter=lambda shape, _weights: read.adapter_tensors(shape),
        head=_unnamed(read.head),
        facts=read_facts(folder),
        base_model=_text(read.config.settings.get("base_model_name_or_path")),
        made_with=_peft_version(read.config.settings),
    )


def _hub_lora(folder: Path, config: Mapping[str, Any]) -> ForeignAdapter:
    read = adapterhub_lora.read_hub_lora(folder)
    return ForeignAdapter(
        folder=folder,
        format="adapterhub",
        method=read.method,
        settings=read.settings,
        architectures=(read.architecture,),
        hidden_size=read.hidden_size,
        adapter=lambda shape, _weights: read.adapter_tensors(shape),
        head=read_head(folder),
        facts=read_facts(folder),
        name=read.name,
        base_model=read.model_name or None,
        made_with=_text(config.get("version")),
    )


def _bottleneck(folder: Path, config: Any) -> ForeignAdapter:
    read = read_adapter(folder)

    def adapter(shape: BackboneShape, _weights: Weights) -> Tensors:
        if read.layers != shape.layers:
            raise BackboneError(
                f"{folder} was made for {read.layers} layers, the backbone has {shape.layers}"
            )
        reading.check_tensors(
            read.tensors, shape.layers, shape.hidden_size, str(folder), read.described.method
        )
        return read.tensors

    return ForeignAdapter(
        folder=folder,
        format="adapterhub",
        method=read.described.method,
        settings=bottleneck_settings([read]),
        architectures=(read.described.architecture,),
        hidden_size=read.described.hidden_size,
        adapter=adapter,
        head=read_head(folder),
        facts=read.facts,
        name=read.described.name,
        base_model=read.described.model_name or None,
        made_with=_text(config.get("version")),
    )


def _unnamed(head: Classifier) -> FolderHead | None:
    """Return a head whose folder names no classes; ``None``: it is none."""
    if not head.outputs:
        return None
    return FolderHead(
        tensors=head.tensors, borrowed=head.borrowed, added=head.added, labels=peft.unnamed_labels(head)
    )


def _peft_version(settings: Mapping[str, Any]) -> str | None:
    return f"peft {settings['peft_version']}" if _text(settings.get("peft_version")) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= 200 else None
