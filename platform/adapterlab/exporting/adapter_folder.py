"""A folder that holds one adapter, as AdapterHub or ``platform export`` wrote it, read and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from adapterlab.errors import DataError, NotFoundError
from adapterlab.exporting import adapterhub as hub
from adapterlab.exporting import adapterhub_reading as reading
from adapterlab.exporting.classifiers import Classifier
from adapterlab.given_files import read_json_file, shortened
from adapterlab.records import ProblemType
from adapterlab.registry.entry_points import adapter_method
from adapterlab.train.layers import Tensors
from adapterlab.train.tensor_files import read_tensor_file

FACTS = "adapterlab.json"
"""What ``platform export`` adds of its own: where the adapter comes from, and how to run it."""
FACTS_FORMAT = 1
_LONGEST_CONFIG = 1 << 24


@dataclass(frozen=True)
class FolderAdapter:
    """One adapter of a folder, under our names."""

    folder: Path
    described: reading.Description
    tensors: Tensors
    layers: int
    facts: Mapping[str, Any] | None
    """Contents of ``adapterlab.json``; ``None`` where the folder is not an export of ours."""

    @property
    def backbone_digest(self) -> str | None:
        """sha256 of the weights of the backbone it was trained on, if the folder says so."""
        return digest_in(self.facts)


@dataclass(frozen=True, kw_only=True)
class FolderHead(Classifier):
    """The head beside an adapter, under our names."""

    labels: tuple[str, ...]
    """Names of classes or choices in the order of their ids; empty for a regression."""
    problem_type: ProblemType | None = None
    """What it answers, where it says more than classes or a number."""


def read_adapter(folder: Path) -> FolderAdapter:
    """Read the bottleneck adapter of a folder: safetensors, or else a ``.bin`` by torch's restricted unpickler.

    Raises:
        NotFoundError: There is no adapter in it.
        DataError: It is damaged, not a bottleneck adapter that runs here, or would run code.
    """
    described = reading.describe(read_json(folder / hub.ADAPTER_CONFIG), str(folder / hub.ADAPTER_CONFIG))
    path = weights_of(folder, hub.ADAPTER_WEIGHTS, hub.ADAPTER_PICKLE)
    if path is None:
        raise NotFoundError(f"{folder}: no {hub.ADAPTER_WEIGHTS} and no {hub.ADAPTER_PICKLE}")
    tensors = reading.our_tensors(read_tensor_file(path), described, str(path))
    layers = 1 + max(int(name.split(".")[1]) for name in tensors)
    return FolderAdapter(folder, described, tensors, layers, read_facts(folder))


def bottleneck_settings(adapters: Sequence[FolderAdapter]) -> Any:
    """Return the settings that bottleneck adapters of folders share.

    Raises:
        DataError: They differ in method or non-linearity, or have one that is not known.
    """
    kinds = {(one.described.method, one.described.non_linearity): one.folder for one in adapters}
    if len(kinds) > 1:
        told = ", ".join(f"{folder} has {kind} ({method})" for (method, kind), folder in kinds.items())
        raise DataError(f"adapters of one pool must share their non-linearity: {told}")
    (method, kind), folder = next(iter(kinds.items()))
    try:
        return adapter_method(method).settings.model_validate({"non_linearity": kind})
    except ValidationError as error:
        raise DataError(f"{folder}: non_linearity {kind!r}: {error.errors()[0]['msg']}") from None


def read_head(folder: Path) -> FolderHead | None:
    """Read the head of a folder; ``None`` if it has none.

    Raises:
        DataError: It is damaged, or another kind of head than ours.
    """
    path = weights_of(folder, hub.HEAD_WEIGHTS, hub.HEAD_PICKLE)
    if path is None:
        return None
    config = read_json(folder / hub.HEAD_CONFIG)
    found = read_tensor_file(path)
    if reading.is_static_head(config):
        static, labels = reading.static_head(found, config, str(path))
        return FolderHead(tensors=static.tensors, borrowed=static.borrowed, labels=labels)
    tensors, labels = reading.our_head(found, config, str(path))
    return FolderHead(tensors=tensors, labels=labels, problem_type=reading.problem_type(config))


def read_json(path: Path) -> Any:
    """Return a JSON file's contents.

    Raises:
        NotFoundError: It does not exist.
        DataError: It is no JSON.
    """
    try:
        return read_json_file(path, limit=_LONGEST_CONFIG)
    except NotFoundError as error:
        raise NotFoundError(
            error.message, remedy="Expected an adapter's folder, as save_adapter() writes it."
        ) from None


def weights_of(folder: Path, safe: str, pickled: str) -> Path | None:
    """Return a folder's file of tensors, the pickle only where there is no other; ``None`` if it has neither."""
    return next((folder / name for name in (safe, pickled) if (folder / name).is_file()), None)


def digest_in(facts: Mapping[str, Any] | None) -> str | None:
    """Return the sha256 of the backbone's weights that an export of ours names; ``None`` for another's folder."""
    return None if facts is None else str(facts["backbone"]["digest"])


def read_facts(folder: Path) -> Mapping[str, Any] | None:
    """Return what ``platform export`` wrote of its own into a folder; ``None`` where it did not.

    Raises:
        DataError: It is malformed.
    """
    if not (folder / FACTS).is_file():
        return None
    facts: Mapping[str, Any] = read_json(folder / FACTS)
    backbone = facts.get("backbone") if isinstance(facts, Mapping) else None
    if not isinstance(backbone, Mapping) or facts.get("format") != FACTS_FORMAT or not backbone.get("digest"):
        raise DataError(
            f"{folder / FACTS}: expected format {FACTS_FORMAT} with the backbone's digest",
            remedy="Export it again, or delete this file to use the folder as a plain AdapterHub folder.",
        )
    source = backbone.get("source")
    if source is not None and not isinstance(source, str):
        raise DataError(f"{folder / FACTS}: backbone.source is {shortened(repr(source))}, expected text")
    return facts
