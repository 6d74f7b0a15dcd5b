"""What can be plugged in: base classes of the light side, which knows names, settings and counts.

A plug-in is one object behind one entry point, in one of the groups ``adapterlab.adapter_methods``,
``adapterlab.joint_methods``, ``adapterlab.combiners``, ``adapterlab.heads``, ``adapterlab.backbones`` and ``adapterlab.task_suites``.
Importing it must not import torch: whatever computes is made by ``layer()``, on a worker only. Plug-ins
import these names from :mod:`adapterlab.plugin`, and nothing else of adapterlab.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from adapterlab.errors import PluginError, UsageError
from adapterlab.records import BackboneShape, PoolShape, ProblemType, Reads
from adapterlab.registry.checked import Checked
from adapterlab.registry.task_definitions import TaskDefinition

if TYPE_CHECKING:
    from adapterlab.train.layers import Backbone, CombinerLayer, HeadLayer, JointLayer, MethodLayer


class NoSettings(BaseModel):
    """Settings of a plug-in that has none."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class AdapterMethod(Checked, ABC):
    """A recipe for adapters: where they attach, how many parameters, their layer."""

    page = "docs/extending/adapter_methods.md"

    name: str
    """Name in specs, for example ``"pfeiffer"``."""
    version: int = 1
    """Raise it when results change; part of every key."""
    settings: type[BaseModel] = NoSettings
    """Frozen model of ``[adapter.settings]``; unknown keys refused."""
    combinable: bool = False
    """Whether adapters can be stacked into a pool: their last factor is linear."""
    merge_spaces: frozenset[str] = frozenset()
    """What merges can add up: ``"parameters"`` where sums of adapters' tensors mean something, ``"product"`` where
    tensors act as products of two factors; what the layer's ``products`` says."""
    exclusive: bool = False
    """Whether it trains the backbone's own weights, so that its lanes cannot share a pass."""
    training: Mapping[str, float] = {}
    """How its paper trains it where that is not as ``[source]`` has it, for example ``{"lr": 5e-3}``; used
    by ``[[baseline]]``."""

    @abstractmethod
    def sites(self, settings: BaseModel) -> tuple[str, ...]:
        """Return the names of the sites where an adapter attaches in each layer; none at all is allowed."""

    @abstractmethod
    def trainable_parameters(self, settings: BaseModel, shape: BackboneShape) -> int | None:
        """Return the parameters of one adapter, head not counted; ``None`` if the shape does not say."""

    @abstractmethod
    def layer(self, settings: BaseModel, shape: BackboneShape) -> MethodLayer:
        """Import the torch side, and return it for one backbone.

        Raises:
            UsageError: The settings do not fit the shape.
        """

    def folds_into(self, settings: BaseModel) -> tuple[str, BaseModel] | None:
        """Return the method and settings of the one adapter a combination is; ``None``: it does not fold."""
        del settings
        return None

    def pooled(self, each: Sequence[BaseModel]) -> BaseModel:
        """Return the settings under which adapters of these settings stand in one pool.

        The pool's layer takes an adapter with other settings of its own through
        :meth:`~adapterlab.train.layers.MethodLayer.adopt`. Unless a method knows better, settings must be equal.

        Args:
            each: Every adapter's own, at least one.

        Raises:
            UsageError: They cannot share a pool; the message names what differs, and how.
        """
        first = each[0]
        for other in each:
            for name in type(first).model_fields:
                one, another = getattr(first, name), getattr(other, name)
                if one != another:
                    raise UsageError(
                        f"{self.name} adapters of one pool share their {name}: {one} and {another}"
                    )
        return first

    def pool(self, settings: BaseModel, shape: BackboneShape, sources: int) -> PoolShape:
        """Return the shape of a pool of its adapters on a backbone.

        Raises:
            UsageError: The backbone has not a site that the method attaches to.
        """
        return PoolShape(shape.layers, tuple(shape.site(name) for name in self.sites(settings)), sources)


class JointMethod(Checked, ABC):
    """A recipe for one model over many tasks: what they share, and the adapter that each of them gets of it."""

    page = "docs/extending/joint_methods.md"

    name: str
    """Name in specs, for example ``"hyperformer"``."""
    version: int = 1
    """Raise it when results change; part of every key."""
    settings: type[BaseModel] = NoSettings
    """Frozen model of its settings; unknown keys refused."""
    exclusive: bool = False
    """Whether it trains the backbone's own weights, so that it cannot share a pass."""
    training: Mapping[str, float] = {}
    """How its paper trains it where that is not as the others, for example ``{"lr": 2e-5}``."""

    @abstractmethod
    def trainable_parameters(self, settings: BaseModel, shape: BackboneShape, tasks: int) -> int | None:
        """Return the parameters of one model over a number of tasks, heads not counted; ``None``: not known."""

    @abstractmethod
    def layer(self, settings: BaseModel, shape: BackboneShape, tasks: Sequence[str]) -> JointLayer:
        """Import the torch side, and return it for some tasks on one backbone.

        Args:
            settings: Its own.
            shape: The backbone's.
            tasks: Their full names, in the order of the run.

        Raises:
            UsageError: The settings do not fit the shape.
        """

    def adapters(self, settings: BaseModel) -> tuple[str, BaseModel] | None:
        """Return method and settings of the adapters it makes, where these are a method's own; ``None``: not."""
        del settings
        return None


class Combiner(Checked, ABC):
    """What mixes frozen source adapters for a target."""

    page = "docs/extending/combiners.md"

    name: str
    """Name in specs, for example ``"scalearn_uniform"``."""
    version: int = 1
    settings: type[BaseModel] = NoSettings
    """Frozen model of ``[combiner.settings]``."""
    dimensions: Mapping[str, Any] = {"lr": 3e-4}
    """What a study of it searches, with each dimension's default as it would stand under ``[search]``: a
    number, ``{"low", "high", "log"}`` or ``{"choices"}``. Always holds ``"lr"``, which the engine uses; a
    trial's values of all others are what :attr:`layer` is called with, by keyword."""
    optional: Mapping[str, float] = {}
    """Dimensions that a study has only where its spec writes them, with the value that their absence means; the
    layer takes each by keyword, with that value as default. A spec that does not write them keeps its keys."""
    of_target: frozenset[str] = frozenset()
    """Those of its dimensions that need the target's own adapter in the pool, unless they are 0."""
    limits: Mapping[str, tuple[float, float]] = {}
    """Least and greatest value that makes sense of a dimension, by name; a spec that leaves them is refused."""
    reads_rows: bool = False
    """Whether coefficients are decided by rows of the target before training."""
    token_dependent: bool = False
    """Whether coefficients differ from token to token; such combinations do not fold into one adapter."""

    layer: Callable[..., CombinerLayer]
    """``layer(settings, pool, *, <dimension>, …)``: imports the torch side and returns it for one trial.

    Takes the validated settings, a :class:`~adapterlab.records.PoolShape`, and by keyword the trial's value
    of each dimension but ``"lr"``. Its signature is compared with :attr:`dimensions` when the plug-in is
    loaded, so a dimension that no layer would read is refused."""

    @abstractmethod
    def trainable_parameters(self, settings: BaseModel, pool: PoolShape) -> int:
        """Return the parameters of one transfer, head not counted; may be 0."""

    def complaint(self, settings: BaseModel, pool: Sequence[str], target: str) -> str | None:
        """Return what is wrong with combining a pool for a target, in words; ``None``: nothing.

        Args:
            settings: The combiner's.
            pool: Full names of the source tasks, in coefficient order.
            target: Full name of the target task.
        """
        del settings, pool, target
        return None

    def misfit(
        self,
        settings: BaseModel,
        method: AdapterMethod,
        each: Sequence[BaseModel],
        shape: BackboneShape | None,
    ) -> str | None:
        """Return why adapters of a method cannot be combined like this, in words; ``None``: they can.

        Args:
            settings: The combiner's.
            method: Of all adapters.
            each: Settings of every adapter, as far as they are known.
            shape: The backbone's; ``None`` while it is not known.
        """
        del settings, method, each, shape
        return None

    def points(self, settings: BaseModel) -> Sequence[tuple[str, BaseModel]]:
        """Return label and settings of each study that the settings stand for, for example of a grid.

        One pair, with the label ``""``, unless a combiner says otherwise.
        """
        return [("", settings)]

    def coordinates(self, settings: BaseModel) -> Mapping[str, float]:
        """Return where one of :meth:`points` lies on the axes of its grid, so that a report can draw the grid.

        Args:
            settings: A point's.

        Returns:
            A number for each axis by its name: a task, or ``"target"`` for the target's own adapter; empty
            unless a combiner says otherwise: it is no point of a grid.
        """
        del settings
        return {}

    def models(self, settings: BaseModel) -> Mapping[str, str]:
        """Return the models it reads besides the backbone, by the setting that names them.

        Each is ``package:…``, ``folder:…`` or ``hub:…@<commit>``. In keys their digests stand in place of
        their names.
        """
        del settings
        return {}


class Head(Checked, ABC):
    """What reads a backbone's last hidden states and turns them into a task's outputs and loss."""

    page = "docs/extending/heads.md"

    name: str
    """Name in task definitions, for example ``"classification"``."""
    version: int = 1
    reads: Reads = Reads.FIRST
    """Which states it is given; other states of the last layer are then not computed."""
    problem_types: frozenset[ProblemType] = frozenset(ProblemType)
    """The kinds of tasks it can answer."""

    @abstractmethod
    def parameters(self, hidden_size: int, outputs: int) -> int:
        """Return its size for ``outputs`` classes, labels or numbers."""

    def complaint(self, problem_type: ProblemType, outputs: int) -> str | None:
        """Return why it cannot answer a task of a type it knows, in words; ``None``: it can.

        Args:
            problem_type: One of :attr:`problem_types`.
            outputs: Classes, labels or numbers the task asks for.
        """
        del problem_type, outputs
        return None

    @abstractmethod
    def layer(self, hidden_size: int, outputs: int, problem_type: ProblemType) -> HeadLayer:
        """Import the torch side, and return it for one task on one backbone."""


@dataclass(frozen=True)
class InputFormat:
    """What a backbone takes as input."""

    longest: int | None
    """Tokens of a row at most, special tokens counted; ``None``: not limited."""
    segments: int
    """Kinds of segments it tells apart, >= 1; with one, segment ids are all 0."""
    vocabulary: int | None
    """Token ids are below it; ``None``: not known."""
    padding: int = 0
    """The padding token's id."""


@dataclass(frozen=True)
class TensorHeader:
    """What a safetensors file says of a tensor before any of its numbers is read."""

    shape: tuple[int, ...]
    dtype: str
    """As the format writes it: ``"F32"``, ``"BF16"``, ``"I64"``."""


@dataclass(frozen=True)
class HubNames:
    """What other libraries call the parts of an architecture, for exports and imports."""

    prefix: str
    """What a model with a head puts before the backbone's tensors, for example ``"roberta."``."""
    adapter_class: str | None
    """AdapterHub's model class, for example ``"RobertaAdapterModel"``; ``None``: it has none."""
    classifier: Mapping[str, str]
    """The classification head's parts (``head.dense``, ``head.out``) in transformers' own classifier; empty: that one
    computes something else."""
    saved: tuple[str, ...]
    """The modules that PEFT keeps whole (``modules_to_save``) so that this head travels with an adapter."""
    maps_like_bert: bool = True
    """Whether a layer's linear maps have BERT's names, under which LoRA and (IA)³ are written and read."""


class BackboneFamily(Checked, ABC):
    """Architectures the engine can run frozen."""

    page = "docs/extending/backbone_families.md"

    name: str
    version: int = 1
    architectures: tuple[str, ...]
    """Values of ``model_type`` in a config that this family runs."""

    @abstractmethod
    def shape(self, config: Mapping[str, Any]) -> BackboneShape:
        """Return the shape of a model by its ``config.json``; absent values have the architecture's defaults.

        Raises:
            BackboneError: A value makes no sense, or the model has parts that the family cannot run.
        """

    @abstractmethod
    def input_format(self, config: Mapping[str, Any]) -> InputFormat:
        """Return what a model takes as input, by its ``config.json``.

        Raises:
            BackboneError: A value makes no sense.
        """

    @abstractmethod
    def load(self, folder: Path, *, dtype: Any = None, device: Any = "cpu") -> Backbone:
        """Import the torch side, and load a frozen backbone from a model folder.

        Args:
            folder: Holds ``config.json`` and safetensors weights.
            dtype: torch dtype of weights and activations; ``None``: float32.
            device: torch device.

        Raises:
            BackboneError: Tensors are missing or misshapen, or the family cannot run the model.
        """

    def from_model(self, model: Any, *, dtype: Any = None, device: Any = None) -> Backbone:
        """Return a frozen copy of a loaded transformers model, heads left out.

        Args:
            model: A ``PreTrainedModel`` of the family.
            dtype: ``None``: the model's own.
            device: ``None``: where the model is.

        Raises:
            PluginError: The family only loads folders.
        """
        del dtype, device
        raise PluginError(
            f"{self.name} takes no loaded {type(model).__name__}", remedy="Name the model's folder."
        )

    def complaint(self, config: Mapping[str, Any], tensors: Mapping[str, TensorHeader]) -> str | None:
        """Return why a model's weights cannot be those of its ``config.json``, in words; ``None``: they can.

        Asked when a sweep is planned, so that :meth:`load` need not refuse them on a worker.

        Args:
            config: The model's.
            tensors: What its files say they hold, by name.
        """
        del config, tensors
        return None

    def holds(self, tensor: str) -> bool:
        """Return whether a tensor of a model's file, by its name, counts as the backbone's and not a head's."""
        del tensor
        return True

    def outline(self, architecture: str, layers: int, hidden_size: int, **known: int) -> BackboneShape:
        """Return the shape of a model of which only these numbers are stated; for counts before a download.

        Args:
            architecture: One of :attr:`architectures`.
            layers: Transformer layers.
            hidden_size: Width of the residual stream.
            **known: More numbers of a spec's ``[backbone.expect]``.
        """
        del architecture, known
        return BackboneShape(layers, hidden_size)

    def hub_names(self, architecture: str) -> HubNames | None:
        """Return what other libraries call the parts; ``None``: they do not know the architecture."""
        del architecture
        return None


class TaskSuite(Checked, ABC):
    """A benchmark: named tasks, and rows if the suite makes them itself."""

    page = "docs/guide/tasks.md"

    name: str
    """Benchmark part of a task's full name, for example ``"glue"``."""
    version: int = 1

    @abstractmethod
    def definitions(self) -> Mapping[str, TaskDefinition]:
        """Return the tasks by their short names."""

    def generates(self) -> bool:
        """Return whether the suite makes its own rows instead of reading a folder or a hub."""
        return False

    def rows(self, task: str, split: str) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of a generated task; ``split`` is ``"train"`` or ``"validation"``.

        Deterministic across machines and Python versions. As on public hubs, the ``validation``
        split becomes the test split, and validation is cut from train.

        Raises:
            NotImplementedError: The suite's rows are read, not generated.
        """
        raise NotImplementedError(f"{self.name}/{task} {split}: read from data.root, not generated")


class FolderSuite(TaskSuite):
    """A benchmark whose rows lie in a folder, ``<data.root>/<name>/<task>/*``, or on a hub.

    Args:
        name: Benchmark part of the tasks' full names.
        version: Raise it when a definition reads other rows or other texts.
        tasks: Their definitions.
    """

    def __init__(self, name: str, version: int, tasks: tuple[TaskDefinition, ...]) -> None:
        self.name, self.version, self.tasks = name, version, tasks

    def definitions(self) -> Mapping[str, TaskDefinition]:
        """Return the tasks by their short names."""
        return {task.name: task for task in self.tasks}
