"""PEFT's folder format for (IA)³ on encoders: its config, and what it calls our tensors.

A module's factors multiply its output, or, where it is named as a feed-forward module, its input. PEFT's default for
BERT and RoBERTa scales keys, values and the inputs of both ``output.dense``: of the attention's and, behind the
activation, of the feed-forward block's. AdapterHub's scales keys, values and the inner units before the activation.

Shapes: ``i`` and ``e`` a map's input and output width.

Source: PEFT 0.21, ``tuners/ia3/layer.py``, ``tuners/ia3/model.py``, ``utils/constants.py``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterlab.errors import BackboneError, DataError
from adapterlab.exporting import adapterhub as hub
from adapterlab.exporting import peft
from adapterlab.exporting.adapter_folder import read_json
from adapterlab.exporting.classifiers import Classifier
from adapterlab.exporting.linear_maps import INPUTS, MODULES, TARGETS, module
from adapterlab.exporting.peft_settings import Ia3Config
from adapterlab.records import BackboneShape
from adapterlab.registry.entry_points import adapter_method
from adapterlab.train.layers import Tensors

METHOD = "ia3"
"""The adapter method this format is known for."""
_MAPS = {site: (site, False) for site in MODULES} | {inner: (site, True) for site, inner in INPUTS.items()}
"""By site: the linear map, and whether its input is scaled."""


@dataclass(frozen=True)
class FolderIa3:
    """An (IA)³ of a folder, under our names."""

    folder: Path
    settings: Any
    tensors: Tensors
    """Of the points that have one; see :meth:`adapter_tensors`."""
    head: Classifier
    prefix: str
    layers: int
    config: Ia3Config

    def adapter_tensors(self, shape: BackboneShape) -> Tensors:
        """Return the factors of every layer of a backbone, 1 where PEFT would have none.

        Raises:
            BackboneError: It was made for another number of layers, or another width.
        """
        sites = adapter_method(METHOD).sites(self.settings)
        maps = [_MAPS[site][0] for site in sites]
        peft.check_layers(self.folder, self.config, self.prefix, maps, self.layers, shape)
        return all_points(self.tensors, sites, shape, str(self.folder))


def all_points(tensors: Tensors, sites: Iterable[str], shape: BackboneShape, where: str) -> Tensors:
    """Return the factors of every layer of a backbone, 1 where there are none.

    Raises:
        BackboneError: Some are as many as the backbone has not.
    """
    some = next(iter(tensors.values()))
    whole: Tensors = {}
    for layer in range(shape.layers):
        for site in sites:
            name, size = scale_name(layer, site), shape.site(site).output
            whole[name] = tensors[name] if name in tensors else some.new_ones(size)
            if whole[name].shape != (size,):
                raise BackboneError(
                    f"{where}: layer {layer}: {len(whole[name])} factors of {TARGETS[site]}, the backbone has {size}"
                )
    return whole


def scale_name(layer: int, site: str) -> str:
    """Return what we call the factors at a point."""
    return f"layer.{layer}.{site}.scale"


def config(sites: Iterable[str], *, base_model: str, architecture: str, has_head: bool) -> dict[str, Any]:
    """Return ``adapter_config.json``.

    Args:
        sites: What is scaled in every layer.
        base_model: The backbone's name.
        architecture: ``model_type`` of the backbone.
        has_head: Whether the head is inside.

    Raises:
        DataError: Both input and output of a map are scaled, which PEFT cannot.
    """
    chosen = list(sites)
    maps = [_MAPS[site][0] for site in chosen]
    if len(set(maps)) < len(maps):
        raise DataError("PEFT's (IA)³ scales the input or the output of a linear map, not both")
    inputs = [_MAPS[site][0] for site in chosen if _MAPS[site][1]]
    return {
        "peft_type": "IA3",
        "task_type": "SEQ_CLS" if has_head else None,
        "base_model_name_or_path": base_model,
        "target_modules": peft.target_modules(maps),
        "feedforward_modules": peft.target_modules(inputs) if inputs else [],
        "modules_to_save": list(hub.names_of(architecture).saved) if has_head else None,
        "fan_in_fan_out": False,
        "init_ia3_weights": True,
        "inference_mode": True,
    }


def peft_tensors(tensors: Tensors, sites: Iterable[str], head: Tensors | None, architecture: str) -> Tensors:
    """Return our tensors under PEFT's names, the head's inside the whole model's: (e, 1) or, of inputs, (1, i)."""
    prefix = hub.names_with_maps(architecture).prefix
    chosen = list(sites)
    found: Tensors = {}
    for key, tensor in tensors.items():
        layer = int(key.split(".")[1])
        site = next(one for one in chosen if key == scale_name(layer, one))
        linear_map, of_input = _MAPS[site]
        shaped = tensor.unsqueeze(0 if of_input else 1).contiguous()
        found[f"base_model.model.{prefix}{module(layer, linear_map)}.ia3_l"] = shaped
    return {**found, **peft.head_tensors(head, architecture)}


def read_ia3(folder: Path) -> FolderIa3:
    """Read an (IA)³ on the linear maps of an encoder's layers, with the head if it has one.

    Raises:
        NotFoundError: There is none in the folder.
        DataError: It is damaged, computes something else, or tensors are missing, misshapen, not finite, or
            there are others.
    """
    where = str(folder / peft.CONFIG)
    config = Ia3Config.of(read_json(folder / peft.CONFIG), where)
    read = peft.contents(folder, config)
    tensors: Tensors = {}
    used = set()
    for layer in range(read.layers):
        for linear_map in MODULES:
            name = f"{read.prefix}{module(layer, linear_map)}"
            parts = read.points.get((layer, linear_map), {})
            if not parts and not config.chooses(name):
                continue
            of_input = config.scales_input(name)
            if set(parts) != {"scale"}:
                raise DataError(f"{where}: {name} has no factors, or has something else")
            if of_input and linear_map not in INPUTS:
                raise DataError(
                    f"{where}: feedforward_modules scales the input of {name}, which is not run here",
                    remedy="Merge it into the model with PEFT.",
                )
            site = INPUTS[linear_map] if of_input else linear_map
            scale = parts["scale"]
            if scale.dim() != 2 or scale.shape[0 if of_input else 1] != 1:
                raise DataError(f"{where}: {name}: factors of shape {tuple(scale.shape)}")
            tensors[scale_name(layer, site)] = scale.flatten()
            used.add(site)
    chosen = adapter_method(METHOD).settings.model_validate(
        {"targets": tuple(TARGETS[site] for site in TARGETS if site in used)}
    )
    return FolderIa3(folder, chosen, tensors, read.head, read.prefix, read.layers, config)
