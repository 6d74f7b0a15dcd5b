"""AdapterHub's AdapterFusion format: its configs, and what it calls our tensors, as ``adapters`` 1.3.0 writes them.

A setup is a folder: ``adapter_setup.json`` names the sources and the head, each source has a folder of its
name, and the fusion has one as well, called by all sources' names with commas between.

Shapes: ``L`` layers, ``d`` hidden size.

Source: adapters 1.3.0, ``configuration/adapter_fusion_config.py``, ``methods/modeling.py`` (``BertFusion``),
``loading.py``, ``model_mixin.py``, ``composition.py``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterlab.errors import DataError, NotFoundError
from adapterlab.exporting import adapterhub as hub
from adapterlab.exporting.adapter_folder import (
    FolderAdapter,
    FolderHead,
    read_adapter,
    read_facts,
    read_head,
    read_json,
    weights_of,
)
from adapterlab.train.layers import Tensors
from adapterlab.train.tensor_files import read_tensor_file

COMBINER = "adapterfusion"
"""The combiner this format is known for."""
SETUP = "adapter_setup.json"
CONFIG = "adapter_fusion_config.json"
WEIGHTS, PICKLE = "model_adapter_fusion.safetensors", "pytorch_model_adapter_fusion.bin"
_LONGEST_NAME = 200
"""Letters of a folder's name that every file system takes."""

DYNAMIC: Mapping[str, Any] = {
    "dropout_prob": None,
    "key": True,
    "query": True,
    "query_before_ln": False,
    "regularization": True,
    "residual_before": False,
    "temperature": False,
    "value": True,
    "value_before_softmax": True,
    "value_initialized": True,
}
"""The library's ``dynamic`` fusion with every default."""
_FREE = frozenset({"dropout_prob", "regularization", "value_initialized", "value_before_softmax"})
"""What changes training only; values may be applied before or after the softmax, which is the same sum."""
_PARTS = ("query.weight", "query.bias", "key.weight", "key.bias", "value.weight")
_KEY = re.compile(
    r"(?P<prefix>|[a-z_]+\.)encoder\.layer\.(?P<layer>0|[1-9]\d?\d?\d?)\.output\.adapter_fusion_layer\."
    rf"(?P<name>.+)\.(?P<part>{'|'.join(re.escape(part) for part in _PARTS)})"
)
_NAME = re.compile(r"[^/\\\0.][^/\\\0]*")


@dataclass(frozen=True)
class FolderFusion:
    """A fusion's own tensors, under our names."""

    names: tuple[str, ...]
    """The adapters it was learned on, in their order."""
    architecture: str
    hidden_size: int
    tensors: Tensors
    """``layer.<l>.{query,key}.{weight,bias}`` and ``layer.<l>.value.weight``."""
    layers: int


@dataclass(frozen=True)
class FolderSetup:
    """A whole setup: sources, fusion and head."""

    folder: Path
    sources: tuple[FolderAdapter, ...]
    """In the order of the fusion."""
    fusion: FolderFusion
    head: FolderHead | None
    facts: Mapping[str, Any] | None
    """Contents of ``adapterlab.json``; ``None`` where the folder is not an export of ours."""


# -- writing ----------------------------------------------------------------------------------------


def fusion_name(names: Sequence[str], fallback: str) -> str:
    """Return what a fusion of these adapters is called: their names, or ``fallback`` where that is too long."""
    joined = ",".join(names)
    return joined if len(joined) <= _LONGEST_NAME else fallback


def fusion_config(
    name: str, names: Sequence[str], *, architecture: str, model_name: str, hidden_size: int
) -> dict[str, Any]:
    """Return ``adapter_fusion_config.json``."""
    about = hub.about(name, architecture, model_name, hidden_size)
    return {"adapter_names": list(names), "config": dict(DYNAMIC), **about}


def setup_config(names: Sequence[str], fusion: str, head: str | None) -> dict[str, Any]:
    """Return ``adapter_setup.json``."""
    setup: dict[str, Any] = {
        "type": "Fuse",
        "children": [{"type": "single", "children": [name]} for name in names],
    }
    if fusion != ",".join(names):
        setup["kwargs"] = {"name": fusion}
    return {"adapter_setup": setup, "head_setup": head, "version": hub.LIBRARY_VERSION}


def fusion_tensors(tensors: Tensors, name: str, architecture: str) -> Tensors:
    """Return our AdapterFusion tensors under the library's names."""
    found: Tensors = {}
    for key, tensor in tensors.items():
        _, layer, part = key.split(".", 2)
        prefix = (
            f"{hub.names_of(architecture).prefix}encoder.layer.{layer}.output.adapter_fusion_layer.{name}"
        )
        found[f"{prefix}.{part}"] = tensor
    return found


# -- reading ----------------------------------------------------------------------------------------


def is_setup(folder: Path) -> bool:
    """Return whether a folder is a setup, as ``save_adapter_setup()`` writes it."""
    return (folder / SETUP).is_file()


def read_setup(folder: Path) -> FolderSetup:
    """Read a setup that is one fusion of single adapters, with its head if it has one.

    Raises:
        NotFoundError: A part of it is missing.
        DataError: It is damaged, of another composition, or its parts do not fit each other.
    """
    where = str(folder / SETUP)
    told = read_json(folder / SETUP)
    setup = told.get("adapter_setup") if isinstance(told, Mapping) else None
    if not isinstance(setup, Mapping) or setup.get("type") != "Fuse":
        kind = setup.get("type") if isinstance(setup, Mapping) else None
        raise DataError(f"{where}: a {kind!r} setup, expected one Fuse of single adapters")
    names = _single_names(setup, where)
    kwargs = setup.get("kwargs") or {}
    name = kwargs.get("name") if isinstance(kwargs, Mapping) else None
    fusion = read_fusion(folder / _safe(",".join(names) if name is None else name, where))
    if fusion.names != names:
        raise DataError(
            f"{where}: fuses {', '.join(names)}, but its fusion was learned on {', '.join(fusion.names)}"
        )
    sources = tuple(read_adapter(folder / name) for name in names)
    for source, wanted in zip(sources, names, strict=True):
        _check_source(source, wanted, fusion, where)
    head = told.get("head_setup")
    if head is not None and not isinstance(head, str):
        raise DataError(f"{where}: head_setup is {head!r}, expected one name")
    found = None if head is None else read_head(folder / _safe(head, where))
    if found is not None and found.borrowed:
        raise DataError(f"{where}: its head stands on the backbone's pooler, which no fusion here does")
    return FolderSetup(folder, sources, fusion, found, read_facts(folder))


def read_fusion(folder: Path) -> FolderFusion:
    """Read a fusion's own folder: safetensors, or else a ``.bin`` by torch's restricted unpickler.

    Raises:
        NotFoundError: There is no fusion in it.
        DataError: It is damaged, computes something else than AdapterFusion, or would run code; or tensors
            are missing, misshapen, not finite, or there are others.
    """
    where = str(folder / CONFIG)
    config = read_json(folder / CONFIG)
    names, name, architecture, hidden_size = _described(config, where)
    path = weights_of(folder, WEIGHTS, PICKLE)
    if path is None:
        raise NotFoundError(f"{folder}: no {WEIGHTS} and no {PICKLE}")
    tensors, layers = _our_tensors(read_tensor_file(path), name, architecture, hidden_size, str(path))
    return FolderFusion(names, architecture, hidden_size, tensors, layers)


def _single_names(setup: Mapping[str, Any], where: str) -> tuple[str, ...]:
    children = setup.get("children")
    if not isinstance(children, list) or not children:
        raise DataError(f"{where}: a Fuse without adapters")
    names = []
    for child in children:
        inner = (
            child.get("children") if isinstance(child, Mapping) and child.get("type") == "single" else None
        )
        if not isinstance(inner, list) or len(inner) != 1:
            raise DataError(f"{where}: expected a Fuse of single adapters, got {child!r:.80} in it")
        names.append(_safe(inner[0], where))
    return _distinct(names, where)


def _distinct(names: Sequence[str], where: str) -> tuple[str, ...]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{where}: adapter {twice[0]!r} is there twice")
    return tuple(names)


def _safe(name: Any, where: str) -> str:
    """Return a name that is one folder's, and leads nowhere else."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise DataError(f"{where}: {name!r} is no adapter's name")
    return name


def _described(config: Any, where: str) -> tuple[tuple[str, ...], str, str, int]:
    settings = config.get("config") if isinstance(config, Mapping) else None
    if not isinstance(config, Mapping) or not isinstance(settings, Mapping):
        raise DataError(
            f"{where}: no fusion's config", remedy="Expected a folder as save_adapter_fusion() writes it."
        )
    unknown = sorted(set(settings) - set(DYNAMIC))
    if unknown:
        raise DataError(f"{where}: unknown settings that may change the result: {', '.join(unknown)}")
    for key, wanted in DYNAMIC.items():
        if key not in _FREE and settings.get(key, wanted) != wanted:
            raise DataError(
                f"{where}: {key} = {settings[key]!r}, the fusion of the paper has {wanted!r}",
                remedy='Only "dynamic" fusions can be run here.',
            )
    name, names = config.get("name"), config.get("adapter_names")
    if isinstance(names, str) or (names is None and isinstance(name, str)):
        names = str(names or name).split(",")
    if not isinstance(name, str) or not name or not isinstance(names, list) or not names:
        raise DataError(f"{where}: name {name!r} of adapters {names!r}: expected names")
    architecture, hidden_size = config.get("model_type"), config.get("hidden_size")
    if architecture not in hub.architectures():
        raise DataError(
            f"{where}: made for a {architecture!r} model, expected one of {', '.join(hub.architectures())}"
        )
    if isinstance(hidden_size, bool) or not isinstance(hidden_size, int) or hidden_size < 1:
        raise DataError(f"{where}: hidden_size is {hidden_size!r}, expected a positive whole number")
    return _distinct([_safe(one, where) for one in names], where), name, str(architecture), hidden_size


def _our_tensors(
    found: Tensors, name: str, architecture: str, hidden_size: int, where: str
) -> tuple[Tensors, int]:
    prefixes = ("", hub.names_of(architecture).prefix)
    named: Tensors = {}
    extra, seen = [], set()
    for key, tensor in found.items():
        match = _KEY.fullmatch(key)
        if match is None or match["name"] != name or match["prefix"] not in prefixes:
            extra.append(key)
            continue
        seen.add(match["prefix"])
        named[f"layer.{int(match['layer'])}.{match['part']}"] = tensor
    if extra or len(seen) != 1 or len(named) != len(found):
        odd = ", ".join((extra or list(found))[:4])
        raise DataError(f"{where}: tensors that do not belong to a fusion named {name!r}: {odd}")
    layers = 1 + max(int(key.split(".")[1]) for key in named)
    return check_tensors(named, layers, hidden_size, where), layers


def check_tensors(tensors: Tensors, layers: int, hidden_size: int, where: str) -> Tensors:
    """Check that tensors are those of a fusion under our names, for every layer, and return them.

    Raises:
        DataError: Some are missing or misshapen, or there are others.
    """
    d = hidden_size
    shapes = {
        f"layer.{layer}.{part}": (d,) if part.endswith("bias") else (d, d)
        for layer in range(layers)
        for part in _PARTS
    }
    odd = sorted(set(shapes) ^ set(tensors))
    if odd:
        raise DataError(f"{where}: tensors missing or extra for {layers} layers: {', '.join(odd[:4])}")
    for key, shape in shapes.items():
        if tuple(tensors[key].shape) != shape:
            raise DataError(f"{where}: {key}: expected shape {shape}, got {tuple(tensors[key].shape)}")
    return tensors


def _check_source(source: FolderAdapter, name: str, fusion: FolderFusion, where: str) -> None:
    told = source.described
    if told.name != name:
        raise DataError(f"{where}: the adapter in folder {name!r} is named {told.name!r}")
    if told.method != hub.METHOD:
        raise DataError(
            f"{where}: adapter {name!r} is a {told.method} adapter; fusions of {hub.METHOD} adapters can be run here"
        )
    wanted = (fusion.architecture, fusion.hidden_size, fusion.layers)
    got = (told.architecture, told.hidden_size, source.layers)
    if got != wanted:
        raise DataError(
            f"{where}: adapter {name!r} is for (architecture, hidden size, layers) = {got}, the fusion for {wanted}"
        )
