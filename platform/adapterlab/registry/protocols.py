"""What a plug-in promises. A plug-in is one object behind one entry point.

Groups: ``adapterlab.adapter_methods``, ``adapterlab.combiners``, ``adapterlab.task_suites``,
``adapterlab.backbones``. The object is light: importing it must not import torch. Whatever needs
torch is behind ``layer()``, called on a worker only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from pydantic import BaseModel

from adapterlab.records import BackboneShape, ProblemType

if TYPE_CHECKING:
    from types import ModuleType


@runtime_checkable
class AdapterMethod(Protocol):
    """A recipe for adapters: where they attach, how many parameters, their layer."""

    name: str
    """Name in specs, for example ``"pfeiffer"``."""
    version: int
    """Raise it when results change; part of every key."""
    settings: type[BaseModel]
    """Frozen model of ``[adapter.settings]``; unknown keys refused."""

    def trainable_parameters(self, settings: BaseModel, shape: BackboneShape) -> int:
        """Return the parameters of one adapter, head not counted."""

    def layer(self) -> ModuleType:
        """Import and return the torch side, see ``train/protocols.py``."""


@runtime_checkable
class Combiner(Protocol):
    """What mixes frozen source adapters for a target."""

    name: str
    """Name in specs, for example ``"scalearn_uniform"``."""
    version: int
    settings: type[BaseModel]
    """Frozen model of ``[combiner.settings]``."""

    def coefficient_shape(self, shape: BackboneShape, sources: int) -> tuple[int, int, int]:
        """Return (layers or 1, sources, hidden size or 1)."""

    def trainable_parameters(self, settings: BaseModel, shape: BackboneShape, sources: int) -> int:
        """Return the parameters of one transfer, head not counted."""

    def layer(self) -> ModuleType:
        """Import and return the torch side, see ``train/protocols.py``."""


@dataclass(frozen=True)
class TaskDefinition:
    """How one task is read and scored; the same for every place its rows come from."""

    name: str
    """Task name inside its benchmark, for example ``"rte"``."""
    text: tuple[str, ...]
    """Columns of the first and, for pairs, the second sequence; one or two names."""
    label: str
    """Column of the label."""
    problem_type: ProblemType
    labels: tuple[str, ...]
    """Class names in the order of their ids; empty for regression."""
    metrics: tuple[str, ...]
    """Names known to ``data.metrics``; the first leads."""
    stratify: bool = True
    """Whether the validation part is cut from train in proportion to the classes."""
    description: str = ""
    citation: str = ""
    licence: str = ""


@runtime_checkable
class TaskSuite(Protocol):
    """A benchmark: named tasks, and rows if the suite makes them itself."""

    name: str
    """Benchmark part of a task's full name, for example ``"glue"``."""
    version: int

    def definitions(self) -> Mapping[str, TaskDefinition]:
        """Return the tasks by their short names."""

    def generates(self) -> bool:
        """Return whether the suite makes its own rows instead of reading a folder."""

    def rows(self, task: str, split: str) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of a generated task; ``split`` is ``"train"`` or ``"validation"``.

        Deterministic across machines and Python versions. As on public hubs, the ``validation``
        split becomes the test split, and validation is cut from train.
        """


@runtime_checkable
class BackboneFamily(Protocol):
    """Architectures the engine can run frozen."""

    name: str
    architectures: tuple[str, ...]
    """Values of ``model_type`` in a config that this family runs."""

    def layer(self) -> ModuleType:
        """Import and return the torch side; ``layer().load(folder, ...)`` gives the backbone."""
