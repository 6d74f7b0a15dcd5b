"""AdapterHub's folder format for LoRA and (IA)³, which the library has under one roof.

A LoRA of ``composition_mode = "add"`` is ours; one of ``"scale"`` is (IA)³: factors on the outputs of linear maps, before any
activation, times ``alpha``.

Shapes: ``i`` and ``e`` a map's input and output width, ``r`` rank.

Source: adapters 1.3.0, ``configuration/adapter_config.py`` (``LoRAConfig``, ``IA3Config``), ``methods/lora.py``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from adapterlab.errors import BackboneError, DataError, NotFoundError
from adapterlab.exporting import adapterhub as hub
from adapterlab.exporting import adapterhub_reading as reading
from adapterlab.exporting import peft, peft_ia3
from adapterlab.exporting.adapter_folder import read_json, weights_of
from adapterlab.exporting.linear_maps import MODULES, SITES, TARGETS, module
from adapterlab.records import BackboneShape
from adapterlab.registry.entry_points import adapter_method
from adapterlab.train.layers import Tensors
from adapterlab.train.tensor_files import read_tensor_file

IA3: Mapping[str, Any] = {
    "alpha": 1,
    "architecture": "lora",
    "attn_matrices": ["k", "v"],
    "composition_mode": "scale",
    "dropout": 0.0,
    "dtype": None,
    "init_weights": "ia3",
    "init_weights_seed": None,
    "intermediate_lora": True,
    "leave_out": [],
    "output_lora": False,
    "r": 1,
    "selfattn_lora": True,
    "use_dora": False,
    "use_gating": False,
    "vera_b": None,
    "vera_d": None,
}
"""The library's ``ia3`` with every default."""
_ATTENTION = {"q": "attention.query", "k": "attention.key", "v": "attention.value"}
_ELSEWHERE = {"intermediate_lora": "ffn.up", "output_lora": "ffn.down"}
_OF_TRAINING = frozenset({"dropout", "dtype", "init_weights", "init_weights_seed"})
_OF_PLACES = frozenset(
    {
        "alpha",
        "architecture",
        "attn_matrices",
        "composition_mode",
        "leave_out",
        "r",
        "selfattn_lora",
        *_ELSEWHERE,
    }
)
_DEFAULTS = {"selfattn_lora": True, "intermediate_lora": False, "output_lora": False}
_KEY = re.compile(
    r"(?P<prefix>|[a-z_]+\.)encoder\.layer\.(?P<layer>0|[1-9]\d{0,3})\."
    rf"(?P<module>{'|'.join(map(re.escape, SITES))})\.loras\.(?P<name>.+)\.(?P<part>lora_A|lora_B)"
)
WRITABLE = frozenset({*_ATTENTION.values(), *_ELSEWHERE.values()})
"""Sites where the library can have a LoRA, or factors."""


@dataclass(frozen=True)
class FolderHubLora:
    """A LoRA or (IA)³ of a folder, under our names."""

    folder: Path
    method: str
    settings: Any
    tensors: Tensors
    """Of the points that have one."""
    architecture: str
    name: str
    model_name: str
    hidden_size: int
    layers: int
    """Layers that it was made for."""

    def adapter_tensors(self, shape: BackboneShape) -> Tensors:
        """Return the adapter of every layer of a backbone, with what changes nothing where the library has none.

        Raises:
            BackboneError: It was made for another number of layers, or another width.
        """
        if shape.layers != self.layers:
            raise BackboneError(
                f"{self.folder} was made for {self.layers} layers, the backbone has {shape.layers}"
            )
        sites = adapter_method(self.method).sites(self.settings)
        if self.method == peft_ia3.METHOD:
            return peft_ia3.all_points(self.tensors, sites, shape, str(self.folder))
        some = next(iter(self.tensors.values()))
        tensors: Tensors = {}
        for layer in range(shape.layers):
            for one in sites:
                site = shape.site(one)
                a, b = f"layer.{layer}.{one}.a", f"layer.{layer}.{one}.b"
                tensors[a] = self.tensors.get(a, some.new_zeros(1, site.input))
                tensors[b] = self.tensors.get(b, some.new_zeros(site.output, 1))
                if (tensors[b].shape[0], tensors[a].shape[1]) != (site.output, site.input):
                    raise BackboneError(f"{self.folder}: {MODULES[one]} was made for a map of another size")
        return tensors


def is_lora(config: Any) -> bool:
    """Return whether an ``adapter_config.json`` is of this family, LoRA or (IA)³."""
    settings = config.get("config") if isinstance(config, Mapping) else None
    return isinstance(settings, Mapping) and settings.get("architecture") == "lora"


def ia3_config(
    name: str, sites: Iterable[str], *, architecture: str, model_name: str, hidden_size: int
) -> dict[str, Any]:
    """Return ``adapter_config.json`` of an (IA)³ at some of :data:`WRITABLE`."""
    chosen = set(sites)
    letters = [letter for letter, site in _ATTENTION.items() if site in chosen]
    settings = {
        **IA3,
        "selfattn_lora": bool(letters),
        "attn_matrices": letters,
        **{key: site in chosen for key, site in _ELSEWHERE.items()},
    }
    return {"config": settings, **hub.about(name, architecture, model_name, hidden_size)}


def ia3_tensors(tensors: Tensors, name: str, architecture: str) -> Tensors:
    """Return our factors under the library's names, (e, 1)."""
    prefix = hub.names_with_maps(architecture).prefix
    found: Tensors = {}
    for key, tensor in tensors.items():
        _, layer, rest = key.split(".", 2)
        place = module(int(layer), rest.removesuffix(".scale"))
        found[f"{prefix}{place}.loras.{name}.lora_B"] = tensor.unsqueeze(1).contiguous()
    return found


def read_hub_lora(folder: Path) -> FolderHubLora:
    """Read a LoRA or (IA)³.

    Raises:
        NotFoundError: There is none in the folder.
        DataError: It is damaged, computes something else, or tensors are missing, misshapen, not finite, or
            there are others.
    """
    where = str(folder / hub.ADAPTER_CONFIG)
    config = read_json(folder / hub.ADAPTER_CONFIG)
    settings = config["config"]
    _check_settings(settings, where)
    about = reading.about(config, where)
    path = weights_of(folder, hub.ADAPTER_WEIGHTS, hub.ADAPTER_PICKLE)
    if path is None:
        raise NotFoundError(f"{folder}: no {hub.ADAPTER_WEIGHTS} and no {hub.ADAPTER_PICKLE}")
    points = _points(read_tensor_file(path), about, str(path))
    left_out = reading.left_out(settings, where)
    layers = 1 + max([*(layer for layer, _ in points), *left_out])
    sites = _sites(settings)
    wanted = {(layer, site) for layer in range(layers) if layer not in left_out for site in sites}
    if odd := sorted(wanted ^ set(points)):
        told = ", ".join(f"layer {layer}, {MODULES[site]}" for layer, site in odd[:3])
        raise DataError(f"{path}: the config and the tensors differ at {told}")
    scales = settings.get("composition_mode", "add") == "scale"
    method = peft_ia3.METHOD if scales else peft.METHOD
    rank, alpha = _number(settings, "r", 8, where), _number(settings, "alpha", 8, where)
    tensors = _scales(points, alpha, str(path)) if scales else _additions(points, int(rank), str(path))
    targets = tuple(TARGETS[site] for site in sites)
    chosen = {"targets": targets} if scales else {"r": int(rank), "alpha": float(alpha), "targets": targets}
    try:
        validated = adapter_method(method).settings.model_validate(chosen)
    except ValidationError as error:
        raise DataError(f"{where}: {error.errors()[0]['msg']}") from None
    return FolderHubLora(
        folder,
        method,
        validated,
        tensors,
        about.architecture,
        about.name,
        about.model_name,
        about.hidden_size,
        layers,
    )


def _check_settings(settings: Mapping[str, Any], where: str) -> None:
    for key, value in settings.items():
        if key in _OF_TRAINING or key in _OF_PLACES or value is None or value is False:
            continue
        raise DataError(
            f"{where}: {key} = {value!r} may change what the adapter computes",
            remedy="Read here: plain LoRA and (IA)³. Merge it into the model with the library that made it.",
        )
    mode = settings.get("composition_mode", "add")
    if mode not in ("add", "scale"):
        raise DataError(f"{where}: composition_mode = {mode!r}, expected 'add' or 'scale'")
    letters = settings.get("attn_matrices", ["q", "v"])
    if not isinstance(letters, list) or not set(map(str, letters)) <= set(_ATTENTION):
        raise DataError(f"{where}: attn_matrices is {letters!r}, expected some of q, k and v")
    for key in _DEFAULTS:
        if not isinstance(settings.get(key, False), bool):
            raise DataError(f"{where}: {key} = {settings[key]!r}, expected true or false")


def _sites(settings: Mapping[str, Any]) -> tuple[str, ...]:
    said = {key: settings.get(key, usual) for key, usual in _DEFAULTS.items()}
    letters = settings.get("attn_matrices", ["q", "v"]) if said["selfattn_lora"] else []
    chosen = {_ATTENTION[letter] for letter in letters} | {
        site for key, site in _ELSEWHERE.items() if said[key]
    }
    return tuple(site for site in MODULES if site in chosen)


def _number(settings: Mapping[str, Any], key: str, usual: float, where: str) -> float:
    value = settings.get(key, usual)
    plain = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not plain or not 0 < value < 1e9 or (key == "r" and not float(value).is_integer()):
        raise DataError(f"{where}: {key} is {value!r}, expected a positive number")
    return float(value)


def _points(found: Tensors, about: reading.About, where: str) -> dict[tuple[int, str], Tensors]:
    prefixes = ("", hub.names_of(about.architecture).prefix)
    points: dict[tuple[int, str], Tensors] = {}
    extra, seen = [], set()
    for key, tensor in found.items():
        match = _KEY.fullmatch(key)
        if match is None or match["name"] != about.name or match["prefix"] not in prefixes:
            extra.append(key)
            continue
        seen.add(match["prefix"])
        points.setdefault((int(match["layer"]), SITES[match["module"]]), {})[match["part"]] = tensor
    if extra or len(seen) != 1:
        odd: Sequence[str] = extra or list(found)
        raise DataError(
            f"{where}: tensors that do not belong to a LoRA or (IA)³ named {about.name!r}: {', '.join(odd[:4])}"
        )
    return points


def _scales(points: Mapping[tuple[int, str], Tensors], alpha: float, where: str) -> Tensors:
    tensors: Tensors = {}
    for (layer, site), parts in points.items():
        factors = parts.get("lora_B")
        if set(parts) != {"lora_B"} or factors is None or factors.dim() != 2 or factors.shape[1] != 1:
            raise DataError(f"{where}: layer {layer}, {MODULES[site]}: no factors of shape (outputs, 1)")
        tensors[peft_ia3.scale_name(layer, site)] = factors.flatten() * alpha
    return tensors


def _additions(points: Mapping[tuple[int, str], Tensors], rank: int, where: str) -> Tensors:
    tensors: Tensors = {}
    for (layer, site), parts in points.items():
        a, b = parts.get("lora_A"), parts.get("lora_B")
        if a is None or b is None or a.dim() != 2 or b.dim() != 2 or not a.shape[0] == b.shape[1] == rank:
            raise DataError(
                f"{where}: layer {layer}, {MODULES[site]}: tensors are missing or not of rank {rank}"
            )
        tensors[f"layer.{layer}.{site}.a"], tensors[f"layer.{layer}.{site}.b"] = a, b
    return tensors
