"""A plan's steps: what ties them together, and the typed job that each of them does.

A job holds everything a worker needs to do its step; more than the step's key holds (names for people,
folders). It travels to the worker as it is, see ``worker/orders.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Generic, TypeAlias, TypeGuard, TypeVar
from urllib.parse import quote, unquote

from pydantic import BaseModel, JsonValue

from adapterlab.fingerprint import Json
from adapterlab.records import JointSettings, StepKind, TrainRegime, TrainSettings
from adapterlab.registry.plugins import AdapterMethod
from adapterlab.spec.model import AUTO
from adapterlab.spec.search_space import Setting, StoredDimension
from adapterlab.spec.selection import selection_words

Settings: TypeAlias = Mapping[str, JsonValue]
"""A plug-in's settings, validated, as JSON."""


# -- identity -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StepId:
    """What a step is within its plan, known from the spec alone; ``str`` of it is what people and tables see.

    Its texts: ``source/glue/rte/seed=0``, ``source/glue/rte/rows=16/seed=0`` (of the pool, on few rows),
    ``source/glue/rte/lora/seed=0`` (a baseline's, or what a task has of a joint run), ``joint/full_m/seed=0``,
    ``study/glue/rte/scalearn``, ``study/glue/rte/lora`` (a baseline's), ``study/glue/rte/source`` (of the pool),
    ``study/full_m`` (a joint run's),
    ``transfer/glue/rte/scalearn/seed=0``, ``study/glue/rte/scalearn/source_seed=1`` (of several pools),
    ``selection/glue/rte/text_similarity``, ``selection/glue/rte/forward_selection with scalearn``.
    """

    kind: StepKind
    task: str
    """Full name; empty for a joint run and its study, which have several."""
    label: str | None = None
    """The name of the baseline, the joint run, the selection or the study, ``"source"`` of a search for the pool;
    ``None``: an adapter of the pool."""
    rows: int | None = None
    """Of the pool's adapters trained on few rows: how many."""
    seed: int | None = None
    """``None`` for a study, whose seed is its search's."""
    source_seed: int | None = None
    """Of selections, studies and final runs over pools of several seeds: that of the pool; else ``None``."""

    def __str__(self) -> str:
        parts = [str(self.kind), *([self.task] if self.task else [])]
        if self.label is not None:
            parts.append(quote(self.label, safe=" "))
        parts += [f"{name}={value}" for name, value in self._numbers.items() if value is not None]
        return "/".join(parts)

    @property
    def _numbers(self) -> dict[str, int | None]:
        return {"rows": self.rows, "source_seed": self.source_seed, "seed": self.seed}

    @classmethod
    def parse(cls, text: str) -> StepId:
        """Return the identity that ``str`` wrote.

        Raises:
            ValueError: The text is none.
        """
        kind, *rest = text.split("/")
        task = ""
        # A study of a joint run has nothing but its label.
        if kind != StepKind.JOINT and (kind != StepKind.STUDY or len(rest) > 1):
            benchmark, short, *rest = rest
            task = f"{benchmark}/{short}"
        labels = [part for part in rest if "=" not in part]  # quoted in a label
        numbers = {name: int(value) for name, value in (part.split("=") for part in rest if "=" in part)}
        found = cls(
            StepKind(kind),
            task,
            unquote(labels[0]) if labels else None,
            numbers.get("rows"),
            numbers.get("seed"),
            numbers.get("source_seed"),
        )
        if str(found) != text:
            raise ValueError(f"no step is called {text!r}")
        return found


# -- parts of jobs --------------------------------------------------------------------------------


@dataclass(frozen=True)
class RunRows:
    """The rows of one run."""

    train: int | None
    """Rows to train on; ``None``: all."""
    draw: int | None = None
    """Seed they are drawn with; ``None``: the first of the shuffled train split."""
    validation: int | None = None
    """Rows to validate on, the first; ``None``: all."""

    def identity(self) -> dict[str, Json]:
        """Return what a key holds; what is not limited is not in it."""
        found: dict[str, Json] = {"max_train_rows": self.train}
        if self.draw is not None:
            found["draw"] = self.draw
        if self.validation is not None:
            found["max_validation_rows"] = self.validation
        return found


@dataclass(frozen=True)
class AdapterRecipe:
    """What kind of adapter is trained."""

    method: str
    """Name of an installed adapter method."""
    version: int
    """The method's."""
    settings: Settings

    @classmethod
    def of(cls, method: AdapterMethod, settings: BaseModel) -> AdapterRecipe:
        """Return a method under validated settings."""
        return cls(method.name, method.version, dump(settings))

    def identity(self) -> dict[str, Json]:
        """Return every field, as a key holds it."""
        return {"method": self.method, "version": self.version, "settings": self.settings}


@dataclass(frozen=True)
class PoolMember:
    """One source adapter of a study's pool."""

    key: str | None
    """Key of its step; ``None`` while that is not known."""
    task: str
    """Full name."""
    name: str
    """What a person calls the task: short where that is unique."""

    @property
    def own_name(self) -> str | None:
        """Its name, where its task does not tell it from others."""
        return None if self.name in (self.task, self.task.rsplit("/", 1)[-1]) else self.name

    @property
    def adapter_key(self) -> str:
        """Its key in the catalog.

        Raises:
            ValueError: It is not known yet.
        """
        if self.key is None:
            raise ValueError(f"the adapter of {self.task} has no key yet")
        return self.key


@dataclass(frozen=True)
class ExistingAdapter:
    """A source adapter that exists already, as a plan sees it."""

    source: str
    """As the spec names it, or ``"catalog:<key>"`` where a query found it."""
    task: str
    """Full name."""
    name: str | None
    """What the spec calls it."""
    key: str | None
    """Its key in the catalog; ``None`` while its content is not at hand."""
    adapter: AdapterRecipe | None
    """Its method and settings; ``None`` like its key."""
    there: bool = False
    """Whether the catalog has it; else a submit imports it."""
    task_digest: str | None = None
    """Of the rows it was trained on; ``None``: not known."""
    pending_reason: str | None = None
    """Why its content is not at hand."""

    def to_json(self) -> dict[str, Json]:
        """Return it as a JSON-able mapping."""
        return {
            "source": self.source,
            "task": self.task,
            "name": self.name,
            "key": self.key,
            "method": None if self.adapter is None else self.adapter.method,
            "there": self.there,
        }


@dataclass(frozen=True)
class ReadModel:
    """Another model that a combiner reads."""

    folder: str
    digest: str
    """Digest of the model's content."""


@dataclass(frozen=True)
class CombinerRecipe:
    """One combiner as one study uses it."""

    kind: str
    """Name of an installed combiner."""
    version: int
    settings: Settings
    spaces: Mapping[str, StoredDimension]
    """Its dimensions by name, in the combiner's own order."""
    training: TrainRegime
    """How it trains; the learning rate is a dimension."""
    models: Mapping[str, ReadModel]
    """Other models it reads, by the setting that names them; those at hand."""


@dataclass(frozen=True)
class PoolSelection:
    """How a study's pool is made of the sources that a selection puts in order."""

    key: str | None
    """Of the selection; ``None`` while that is not known."""
    rule: str
    """One of ``spec.selection.MEASURED``."""
    count: int
    """The first so many of the order are combined, with the target's own."""


@dataclass(frozen=True)
class ForwardTrial:
    """What forward selection trains each set of sources with."""

    combiner: CombinerRecipe
    """Its dimensions are fixed: they are in ``setting``."""
    setting: Mapping[str, Setting]
    """Value of every dimension but those of training, which stand in the combiner's."""
    seed: int


@dataclass(frozen=True)
class MethodRecipe:
    """What a search of a method's training varies, around an adapter and a training of which all else holds."""

    spaces: Mapping[str, StoredDimension]
    """Its dimensions by name: ``lr``, keys of a training section, and keys of the method's settings."""
    training: TrainSettings
    """What is searched stands at the first of its values."""
    exclusive: bool
    """Whether it trains the backbone's own weights, so that trials share no pass."""


@dataclass(frozen=True)
class SearchSettings:
    """How a study searches."""

    sampler: str
    pruner: str
    seed: int
    """Of the proposals and of every trial's training."""
    trials: int
    """Budget of the study."""
    pruning: Mapping[str, int | float] = field(default_factory=dict)
    """The pruner's settings, all of them."""
    start: tuple[Mapping[str, Setting], ...] = ()
    """Settings of the first trials; where the study chooses, with the combiner and its ``<combiner>.<dimension>``."""
    budget_minutes: float | None = None
    """Minutes by the clock after which no trial begins any more; ``None``: until all have."""
    seeds: int = 1
    """Seeds that each trial is trained with, from ``seed`` on."""
    folds: int = 1
    """Parts of the training rows, each of which validates one run of a trial; 1: the validation split does."""

    @property
    def runs(self) -> int:
        """Training runs of one trial."""
        return self.seeds * self.folds


# -- jobs -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SourceJob:
    """Train one adapter and its head on one task."""

    kind: ClassVar[StepKind] = StepKind.SOURCE
    task: str
    """Full name."""
    task_name: str
    """What a person calls it."""
    label: str
    """The baseline's name; ``"source"`` for the pool."""
    exclusive: bool
    """Whether it trains the backbone's own weights, so that it shares no pass."""
    adapter: AdapterRecipe
    training: TrainSettings
    seed: int
    rows: RunRows | None
    """``None``: those that the sweep's ``data.max_train_rows`` leaves."""
    searched: bool = False
    """Whether a study chooses what of its adapter and training is searched; here that has the first of its values."""
    study: str | None = None
    """Key of that study; ``None`` while it is not known."""


@dataclass(frozen=True)
class JointTask:
    """One task of a joint run."""

    task: str
    """Full name."""
    task_name: str
    """What a person calls it."""
    rows: RunRows | None
    """``None``: those that the sweep's ``data.max_train_rows`` leaves."""


@dataclass(frozen=True, kw_only=True)
class JointTraining:
    """One model that trains on several tasks."""

    label: str
    """The run's name."""
    method: str
    """Name of an installed joint method."""
    version: int
    """The method's."""
    settings: Settings
    """What is searched has the first of its values, here and in ``training``."""
    exclusive: bool
    """Whether it trains the backbone's own weights."""
    training: JointSettings
    tasks: tuple[JointTask, ...]
    """In the order of the run."""

    @property
    def task_names(self) -> dict[str, str]:
        """What people call its tasks, by full name."""
        return {one.task: one.task_name for one in self.tasks}


@dataclass(frozen=True, kw_only=True)
class JointJob(JointTraining):
    """Train one model on several tasks."""

    kind: ClassVar[StepKind] = StepKind.JOINT
    seed: int
    searched: bool = False
    """Whether a study chooses what of settings and training is searched."""
    study: str | None = None
    """Key of that study; ``None`` while it is not known."""


@dataclass(frozen=True, kw_only=True)
class JointStudyJob(JointTraining):
    """Search the settings and the training of a joint run; an evaluation is judged as the run itself judges it."""

    kind: ClassVar[StepKind] = StepKind.STUDY
    spaces: Mapping[str, StoredDimension]
    """Its dimensions by name: ``lr``, keys of ``[joint]``, and keys of the method's settings."""
    search: SearchSettings
    search_key: str | None
    """As a :class:`StudyJob`'s."""

    @property
    def fixed(self) -> Settings:
        """The method's settings that are not searched."""
        return {name: value for name, value in self.settings.items() if name not in self.spaces}


@dataclass(frozen=True)
class ShareJob:
    """Keep what one task has of a joint run: its adapter and head, its metrics; done with that run."""

    kind: ClassVar[StepKind] = StepKind.SOURCE
    joint: StepId
    """The run."""
    task: str
    """Full name."""
    task_name: str
    """What a person calls it."""
    label: str
    """The run's name."""
    seed: int
    """The run's."""
    adapter: AdapterRecipe | None
    """What its adapter is by itself; ``None``: none, only the run's method knows what it computes."""
    rows: RunRows | None
    """As the run's, of this task."""
    searched: bool = False
    """Whether a study chooses settings of its method, so that ``adapter`` has the first of their values."""


Trained: TypeAlias = SourceJob | ShareJob
"""What makes an adapter of a pool."""


@dataclass(frozen=True)
class SelectionJob:
    """Measure how well sources suit a target, and put them in that order."""

    kind: ClassVar[StepKind] = StepKind.SELECTION
    task: str
    """Full name of the target."""
    task_name: str
    """What a person calls it."""
    label: str
    """What a person calls it: its rule, of forward selection with the combiner."""
    rule: str
    """One of ``spec.selection.MEASURED``."""
    candidates: tuple[PoolMember, ...]
    """The sources to choose from, by task and key, so that the order of a spec's pool decides nothing."""
    own: tuple[PoolMember, ...]
    """The target's own, which is in every pool; empty: there is none."""
    count: int
    """Most sources that any pool takes of the order."""
    adapter: AdapterRecipe
    """Of every adapter; what is searched of it has the first of its values."""
    searched_pool: bool
    """Whether only the adapters themselves tell their settings."""
    rows: RunRows | None
    """Of the target; ``None``: those that the sweep's ``data.max_train_rows`` leaves."""
    candidate_rows: tuple[RunRows | None, ...] = ()
    """Likewise of each candidate's task, of text similarity; else empty."""
    max_rows: int | None = None
    """Rows of each task that are embedded, at most, of text similarity; else ``None``."""
    trial: ForwardTrial | None = None
    """What each set of sources is trained with, of forward selection; else ``None``."""
    source_seed: int | None = None
    """Of its pool, where the sweep has pools of several seeds; else ``None``."""

    @property
    def words(self) -> str:
        """Its label as people read it: ``forward selection with scalearn``."""
        return selection_words(self.label, self.rule)


@dataclass(frozen=True)
class StudyJob:
    """Search the setting of one combiner, or of several, on one target; or of a method's training on one task."""

    kind: ClassVar[StepKind] = StepKind.STUDY
    task: str
    """Full name of the target."""
    task_name: str
    """What a person calls it."""
    label: str
    """What a person calls the combiner: its name with its point of a grid, or ``"auto"``; of a method's search the
    name of the baseline, or ``"source"``."""
    chooses: bool
    """Whether the combiner is a dimension of the search."""
    combiners: tuple[CombinerRecipe, ...]
    """Those it chooses among; one where it does not choose, none of a method's search."""
    pool: tuple[PoolMember, ...]
    """In coefficient order; empty of a method's search. Where a selection narrows it: all there are to choose from."""
    adapter: AdapterRecipe
    """Of every adapter in the pool, or of the one that is trained; what is searched has the first of its values."""
    search: SearchSettings
    search_key: str | None
    """What tells its search from others in the Optuna storage: its key without the budget; ``None`` while not known."""
    rows: RunRows | None
    """``None``: those that the sweep's ``data.max_train_rows`` leaves."""
    method: MethodRecipe | None = None
    """What a search of a method's training varies; ``None``: a combiner's search."""
    searched_pool: bool = False
    """Whether searches choose settings of the pool's adapters, or a selection which of several kinds are in it, so
    that only these tell what the pool is."""
    source_seed: int | None = None
    """Of its pool, where the sweep has pools of several seeds; else ``None``."""
    selection: PoolSelection | None = None
    """How ``pool`` is narrowed before anything is trained; ``None``: all of it is combined."""

    @property
    def shown(self) -> str:
        """Its label, with the seed of its pool where that tells it from others."""
        return self.label if self.source_seed is None else f"{self.label} · source seed {self.source_seed}"

    @property
    def combiner(self) -> str:
        """Name of its combiner, ``"auto"`` where it chooses; of a method's search the method's."""
        if self.method is not None:
            return self.adapter.method
        return AUTO if self.chooses else self.combiners[0].kind

    @property
    def settings(self) -> Settings:
        """Its combiner's settings; where it chooses, those of each combiner by name. Or the method's, not searched."""
        if self.method is not None:
            return {
                name: value for name, value in self.adapter.settings.items() if name not in self.method.spaces
            }
        if not self.chooses:
            return self.combiners[0].settings
        return {one.kind: dict(one.settings) for one in self.combiners}

    @property
    def spaces(self) -> dict[str, StoredDimension]:
        """Its dimensions by name; where it chooses, ``<combiner>.<dimension>``."""
        if self.method is not None:
            return dict(self.method.spaces)
        if not self.chooses:
            return dict(self.combiners[0].spaces)
        return {f"{one.kind}.{name}": space for one in self.combiners for name, space in one.spaces.items()}

    @property
    def target_position(self) -> int | None:
        """Where the target's own adapter is in the pool, the last of several; ``None``: nowhere."""
        places = [place for place, member in enumerate(self.pool) if member.task == self.task]
        return places[-1] if places else None

    def recipe(self, kind: str) -> CombinerRecipe:
        """Return the combiner of a name.

        Raises:
            KeyError: The study has none of that name.
        """
        return {one.kind: one for one in self.combiners}[kind]


@dataclass(frozen=True)
class FinalJob:
    """Train the setting a study chose with one seed, and evaluate it once on test."""

    kind: ClassVar[StepKind] = StepKind.TRANSFER
    study: StepId
    seed: int
    rows: RunRows | None = None
    """Where every seed has rows of its own: these; ``None``: the study's."""
    pool: tuple[PoolMember, ...] | None = None
    """Where every seed has rows of its own: its pool; ``None``: the study's."""


AnyStudy: TypeAlias = StudyJob | JointStudyJob
"""What searches."""

Job: TypeAlias = JointJob | ShareJob | SourceJob | SelectionJob | StudyJob | JointStudyJob | FinalJob
JobT_co = TypeVar("JobT_co", bound=Job, covariant=True)


@dataclass(frozen=True)
class Step(Generic[JobT_co]):
    """One keyed piece of work of a plan."""

    id: StepId
    """What it is within its plan; unique there."""
    key: str | None
    """64 hexadecimal digits; ``None`` while an input's content is not at hand."""
    title: str
    """What a person reads, for example ``"source · rte · seed 0"``; for display only."""
    job: JobT_co
    needs: tuple[StepId, ...] = ()
    """The steps whose results it reads."""
    trainable_parameters: int | None = None
    """Parameters of the method or combiner (heads not counted, as in the papers)."""
    head_parameters: int | None = None
    train_rows: int | None = None
    """Most rows it trains on, each choice a row, over all epochs and trials; for the estimate of time. 0: none."""

    @property
    def kind(self) -> StepKind:
        """What it does."""
        return self.job.kind


def is_joint(step: Step[Job]) -> TypeGuard[Step[JointJob]]:
    """Return whether a step is a joint run."""
    return isinstance(step.job, JointJob)


def each_once(steps: Iterable[Step[JobT_co]]) -> tuple[Step[JobT_co], ...]:
    """Return the first step of each key, and those without one: what is trained under two names is one thing.

    Few rows that are all a task has make such steps.
    """
    known: dict[str, Step[JobT_co]] = {}
    return tuple(one for one in steps if one.key is None or known.setdefault(one.key, one) is one)


def is_share(step: Step[Job]) -> TypeGuard[Step[ShareJob]]:
    """Return whether a step keeps what a task has of a joint run."""
    return isinstance(step.job, ShareJob)


def is_source(step: Step[Job]) -> TypeGuard[Step[SourceJob]]:
    """Return whether a step trains a source adapter."""
    return isinstance(step.job, SourceJob)


def is_selection(step: Step[Job]) -> TypeGuard[Step[SelectionJob]]:
    """Return whether a step selects the sources of a target."""
    return isinstance(step.job, SelectionJob)


def is_study(step: Step[Job]) -> TypeGuard[Step[StudyJob]]:
    """Return whether a step searches a setting on one task: a combiner's, or that of a method's training."""
    return isinstance(step.job, StudyJob)


def is_joint_study(step: Step[Job]) -> TypeGuard[Step[JointStudyJob]]:
    """Return whether a step searches the setting of a joint run."""
    return isinstance(step.job, JointStudyJob)


def is_search(step: Step[Job]) -> TypeGuard[Step[AnyStudy]]:
    """Return whether a step searches a setting, on one task or on several."""
    return isinstance(step.job, StudyJob | JointStudyJob)


def is_final(step: Step[Job]) -> TypeGuard[Step[FinalJob]]:
    """Return whether a step is a final run."""
    return isinstance(step.job, FinalJob)


def dump(settings: BaseModel) -> dict[str, JsonValue]:
    """Return a plug-in's settings as JSON, as a key holds them."""
    dumped: dict[str, JsonValue] = settings.model_dump(mode="json")
    return dumped
