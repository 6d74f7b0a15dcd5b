"""A folder that answers, whatever its format: one adapter of AdapterHub or PEFT, or a fusion of adapters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterlab.backbones.weight_files import weight_files
from adapterlab.errors import BackboneError
from adapterlab.exporting import adapterfusion_format as fusion
from adapterlab.exporting.adapter_folder import FolderHead
from adapterlab.exporting.adapterfusion import seat_of
from adapterlab.exporting.foreign_adapter import read_foreign
from adapterlab.exporting.single_adapter import method_seat
from adapterlab.records import ProblemType
from adapterlab.train.adaptation import Seat
from adapterlab.train.layers import Backbone


@dataclass(frozen=True)
class OpenedFolder:
    """What a folder holds, ready for a backbone."""

    architectures: tuple[str, ...]
    """Values of ``model_type`` it fits."""
    facts: Mapping[str, Any] | None
    """Contents of ``adapterlab.json``; ``None`` where the folder is not an export of ours."""
    outputs: int
    """Outputs of its head, 0 if it has none."""
    labels: tuple[str, ...]
    """Names of the head's classes; empty for one output, or where the folder does not say."""
    seat: Callable[[Backbone, Path], Seat]
    """Returns how to run it on a backbone and its folder; raises ``DataError`` or ``BackboneError`` where it does not
    fit."""
    problem_type: ProblemType | None = None
    """What the head answers, where it says more than classes or a number."""


def open_folder(folder: Path) -> OpenedFolder:
    """Read a folder as ``platform export``, AdapterHub or PEFT wrote it.

    Raises:
        NotFoundError: There is nothing in it that can be run.
        DataError: It is damaged, of another kind, or would run code.
    """
    if fusion.is_setup(folder):
        return _setup(folder)
    read = read_foreign(folder)

    def seat(backbone: Backbone, backbone_folder: Path) -> Seat:
        tensors = read.whole(backbone.shape, weight_files(backbone_folder))
        return method_seat(read.method, read.settings, tensors, backbone)

    return _with_head(read.architectures, read.facts, read.head, seat)


def _setup(folder: Path) -> OpenedFolder:
    setup = fusion.read_setup(folder)

    def seat(backbone: Backbone, _folder: Path) -> Seat:
        _check_shape(folder, setup.fusion.layers, setup.fusion.hidden_size, backbone)
        return seat_of(setup, backbone)

    return _with_head((setup.fusion.architecture,), setup.facts, setup.head, seat)


def _with_head(
    architectures: tuple[str, ...],
    facts: Mapping[str, Any] | None,
    head: FolderHead | None,
    seat: Callable[[Backbone, Path], Seat],
) -> OpenedFolder:
    if head is None:
        return OpenedFolder(architectures, facts, 0, (), seat)
    return OpenedFolder(architectures, facts, head.outputs, head.labels, seat, head.problem_type)


def _check_shape(folder: Path, layers: int, hidden_size: int, backbone: Backbone) -> None:
    got = backbone.shape.layers, backbone.shape.hidden_size
    if got != (layers, hidden_size):
        raise BackboneError(
            f"{folder} was made for {layers} layers of width {hidden_size}, the backbone has {got[0]} of {got[1]}"
        )
