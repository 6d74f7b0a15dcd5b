"""The sweep's tree of MLflow runs: who is whose child, what it is called, what it carries.

    sweep
    ├── source · mnli · seed 0                          one a source adapter
    ├── hyperformer · 8 tasks · seed 0                  one a joint run
    │   └── hyperformer · rte · seed 0                  one a task of it
    ├── hyperformer · 8 tasks · search                  one a study of a joint run, with its trials
    ├── rte · lora                                      one a baseline and target, when the sweep ends
    ├── rte · lora · search                             one a study of a baseline, or of the pool's, with its trials
    ├── rte · sources by text similarity                one a selection of sources
    └── rte · scalearn                                  one a study
        ├── rte · scalearn · lr 6e-3 · init 2 · …       one a trial
        └── rte · scalearn · final · seed 0             one a final run

A run is known by its node (sweep key / step key / …), so a resumed sweep adds to the same tree. What runs carry is
named in ``tracking.vocabulary``: the same for every task and method.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any

from adapterlab.catalog.store import Catalog
from adapterlab.errors import AdapterlabError
from adapterlab.fingerprint import digest_of
from adapterlab.passwords import hide_passwords
from adapterlab.patience import NO_PATIENCE, Patience
from adapterlab.planning.baselines import POOL
from adapterlab.planning.steps import (
    JointJob,
    JointStudyJob,
    RunRows,
    SearchSettings,
    SelectionJob,
    ShareJob,
    SourceJob,
    StudyJob,
)
from adapterlab.records import (
    State,
    TaskFacts,
)
from adapterlab.spec.pruning import pruning_identity
from adapterlab.spec.search_space import COMBINER, Dimension, Setting, space_json
from adapterlab.tracking import run_names as names
from adapterlab.tracking import vocabulary
from adapterlab.tracking.entities import KIND_TAG, Dataset
from adapterlab.tracking.tracker import Tracker
from adapterlab.worker.orders import Context
from adapterlab.worker.run_recorder import RunRecorder

_TRIAL = "trial"
"""The kind of a trial's run."""
JOINT = "joint"
"""The kind of the run of one model over several tasks."""
BASELINE = "baseline"
"""The kind of the run of a baseline on a target, over its seeds."""


class CatalogRunIds:
    """Keeps run ids in the catalog, where every machine of a sweep sees them."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def get(self, node: str) -> str | None:
        """Return a node's run id."""
        return self._catalog.run_id(node)

    def put(self, node: str, run_id: str) -> str:
        """Keep a node's run id; return the one that is kept."""
        return self._catalog.record_run(node, run_id)


def _stopped_as(context: Context, catalog: Catalog) -> State:
    """Return why a sweep's workers are stopped, as the catalog knows: by ``platform cancel``, its budget, or a signal."""
    if catalog.cancel_requested(context.sweep_key):
        return State.CANCELLED
    taken = catalog.sweep(context.sweep_key).device_seconds or 0.0
    return (
        State.STOPPED if context.max_device_s is not None and taken >= context.max_device_s else State.KILLED
    )


class SweepTree:
    """Opens runs of one sweep; what is still open when it closes is cancelled, stopped or killed, to be resumed."""

    def __init__(
        self, context: Context, tracker: Tracker, stopped_as: Callable[[], State] = lambda: State.KILLED
    ) -> None:
        self._context = context
        self._asked_why = stopped_as
        self._sweep = context.sweep_key
        self.tracker = tracker
        self._open: dict[str, RunRecorder] = {}

    @classmethod
    def open(cls, context: Context, catalog: Catalog, patience: Patience = NO_PATIENCE) -> SweepTree:
        """Connect to the tracking store; its schema is already there.

        Args:
            context: Of the sweep.
            catalog: Keeps run ids.
            patience: How long to wait for a store that is away; later, nothing waits for it.

        Raises:
            UnavailableError: The store does not answer.
        """
        stores = context.stores

        def opened() -> Tracker:
            return Tracker.open(
                uri=stores.tracking,
                artifacts=stores.artifacts,
                experiment=context.experiment,
                spool=stores.spool,
                run_ids=CatalogRunIds(catalog),
                locks=stores.locks,
                command=f"platform submit {context.name}",
            )

        return cls(context, patience.retry(opened), lambda: _stopped_as(context, catalog))

    def __enter__(self) -> SweepTree:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        reason = (
            "stopped on request"
            if kind is None
            else hide_passwords(f"{kind.__name__}: {error}").splitlines()[0]
        )
        if self._open:
            state = self._stopped_as()
            if state is State.STOPPED:
                reason = "the sweep's budget is spent"
            for run in list(self._open.values()):
                run.end(state, reason)
        self.tracker.close()

    def _stopped_as(self) -> State:
        """Return what has become of runs that were left open; killed, where the catalog cannot say."""
        with suppress(AdapterlabError):
            return self._asked_why()
        return State.KILLED

    def ended(self, run: RunRecorder) -> None:
        """Forget a run that ended."""
        self._open.pop(run.node, None)

    def node(self, key: str) -> str:
        """Return the node of a step."""
        return f"{self._sweep}/{key}"

    def at(self, key: str) -> RunRecorder:
        """Return the run of a step as it is, without starting it again."""
        return RunRecorder(self.tracker.existing(self.node(key)), self.ended)

    def step_states(self) -> dict[str, State] | None:
        """Return the state of every step's run by node; ``None`` where the store does not answer."""
        return self.tracker.states(self._sweep, without=_TRIAL)

    def ended_steps(self) -> set[str]:
        """Return the nodes of the sweep and of its steps whose runs are there and have ended.

        Raises:
            UnavailableError: The store does not answer.
        """
        return self.tracker.ended(self._sweep, without=_TRIAL)

    def sweep(self, spec_toml: str, resolved: Mapping[str, Any], description: str) -> RunRecorder:
        """Open the sweep's own run, with the spec as written and as resolved."""
        name = names.sweep_name(self._context.name, self._sweep)
        run = self._start(_Node(self._sweep, None, "sweep", name), description=description)
        run._run.text("spec.toml", hide_passwords(spec_toml))
        run._run.json("spec.resolved.json", resolved)
        return run

    def source(self, key: str, job: SourceJob, facts: TaskFacts) -> RunRecorder:
        """Open the run of one source adapter, or of one seed of a baseline."""
        name = names.source_name(job.task_name, job.seed, label=job.label)
        method = job.adapter.method if job.label == POOL else job.label
        return self._start(
            _Node(self.node(key), self._sweep, "source", name, key),
            params=self._common(facts, method, job.seed, job.rows),
            settings={"adapter": job.adapter.method, **job.adapter.settings, **asdict(job.training)},
            facts=facts,
        )

    def joint(self, key: str, job: JointJob) -> RunRecorder:
        """Open the run of one model that trains on several tasks."""
        name = names.joint_name(job.label, len(job.tasks), job.seed)
        return self._start(
            _Node(self.node(key), self._sweep, JOINT, name, key),
            params=self._of_tasks(job, job.seed),
            settings={"joint": job.method, **job.settings, **job.training.identity()},
        )

    def joint_study(self, key: str, job: JointStudyJob) -> RunRecorder:
        """Open the run of a joint run's study."""
        name = f"{names.joint_study_name(job.label, len(job.tasks))} · search"
        return self._start(
            _Node(self.node(key), self._sweep, "study", name, key),
            params=self._of_tasks(job, job.search.seed),
            settings={"joint": job.method, **_searching(job.search, job.spaces)},
        )

    def joint_trial(
        self,
        study: RunRecorder,
        job: JointStudyJob,
        number: int,
        settings: Mapping[str, Setting],
        *,
        new: bool = False,
    ) -> RunRecorder:
        """Open the run of one trial of a joint run's study; ``new`` where nobody began it before."""
        name = names.trial_name(f"{len(job.tasks)} tasks", job.label, settings)
        fixed = {**job.fixed, **job.training.identity()}
        own = {one: value for one, value in fixed.items() if one not in job.spaces}
        return self._start(
            _Node(f"{study.node}/trial/{number}", study.node, _TRIAL, name),
            params={**self._of_tasks(job, job.search.seed), "trial": number, **settings},
            settings={"joint": job.method, **own},
            new=new,
        )

    def _of_tasks(self, job: JointJob | JointStudyJob, seed: int) -> dict[str, Any]:
        """Return the parameters that runs over several tasks have."""
        backbone = self._context.backbone
        return {
            vocabulary.TARGET: ", ".join(one.task for one in job.tasks),
            vocabulary.METHOD: job.label,
            vocabulary.BACKBONE: backbone.name,
            vocabulary.SEED: seed,
            vocabulary.PRECISION: backbone.precision,
        }

    def share(self, joint: RunRecorder, key: str, job: ShareJob, facts: TaskFacts) -> RunRecorder:
        """Open the run of what one task has of a joint run.

        Args:
            joint: The joint run's.
            key: Of the share.
            job: The share's.
            facts: The task's.
        """
        name = names.source_name(job.task_name, job.seed, label=job.label)
        return self._start(
            _Node(self.node(key), joint.node, "source", name, key),
            params=self._common(facts, job.label, job.seed, job.rows),
            facts=facts,
        )

    def selection(self, key: str, job: SelectionJob, facts: TaskFacts) -> RunRecorder:
        """Open the run of one selection of sources."""
        settings: dict[str, Any] = {"candidates": ", ".join(member.name for member in job.candidates)}
        if job.max_rows is not None:
            settings["max_rows"] = job.max_rows
        if (trial := job.trial) is not None:
            settings |= {"combiner": trial.combiner.kind, **trial.setting, **asdict(trial.combiner.training)}
        seed = job.source_seed if job.trial is None else job.trial.seed
        return self._start(
            _Node(
                self.node(key),
                self._sweep,
                "selection",
                names.selection_name(job.task_name, job.words, job.source_seed),
                key,
            ),
            params=self._common(facts, job.words, "none" if seed is None else seed, job.rows),
            settings=settings,
            facts=facts,
        )

    def study(self, key: str, job: StudyJob, facts: TaskFacts) -> RunRecorder:
        """Open the run of one study."""
        search = job.search
        settings = {
            "adapter": job.adapter.method,
            **({"pool": ", ".join(member.name for member in job.pool)} if job.pool else {}),
            **({} if job.source_seed is None else {"source_seed": job.source_seed}),
            **_searching(search, job.spaces),
        }
        name = names.study_name(job.task_name, job.shown)
        if job.method is not None:  # the row of that name is the baseline's
            name = f"{name} · search"
        return self._start(
            _Node(self.node(key), self._sweep, "study", name, key),
            params={**self._common(facts, _method_of(job), search.seed, job.rows), **_selected(job)},
            settings=settings,
            facts=facts,
        )

    def baseline(
        self, label: str, facts: TaskFacts, seeds: Sequence[int], rows: RunRows | None
    ) -> RunRecorder:
        """Open the run of a baseline on a target, over its seeds; their own runs are sources.

        Args:
            label: The baseline's name.
            facts: The target's.
            seeds: Of its runs.
            rows: Which rows they train on.
        """
        node = self.node(f"baseline/{digest_of([label, facts.task])[:32]}")
        params = self._common(facts, label, ", ".join(map(str, seeds)), rows)
        return self._start(
            _Node(node, self._sweep, BASELINE, names.study_name(facts.short_name, label)),
            params=params,
            facts=facts,
        )

    def trial(
        self,
        study: RunRecorder,
        job: StudyJob,
        number: int,
        settings: Mapping[str, Setting],
        facts: TaskFacts,
        *,
        new: bool = False,
    ) -> RunRecorder:
        """Open the run of one trial; ``new`` where nobody began it before."""
        name = names.trial_name(job.task_name, job.shown, settings)
        common = self._common(facts, _method_of(job), job.search.seed, job.rows)
        return self._start(
            _Node(f"{study.node}/trial/{number}", study.node, _TRIAL, name),
            params={**common, "trial": number, **settings},
            settings=_own(job, settings),
            new=new,
        )

    def final(
        self,
        study: RunRecorder,
        key: str,
        job: StudyJob,
        seed: int,
        settings: Mapping[str, Setting],
        facts: TaskFacts,
    ) -> RunRecorder:
        """Open the run of one final run."""
        name = names.final_name(job.task_name, job.shown, seed)
        return self._start(
            _Node(self.node(key), study.node, "final", name, key),
            params={**self._common(facts, job.label, seed, job.rows), **_selected(job), **settings},
            settings=_own(job, settings),
            facts=facts,
        )

    def _common(
        self, facts: TaskFacts, method: str, seed: int | str, rows: RunRows | None
    ) -> dict[str, object]:
        """Return the parameters that every run has; see ``vocabulary.COMMON_PARAMETERS``."""
        backbone = self._context.backbone
        limit = self._context.max_train_rows if rows is None else rows.train
        known = [one for one in (facts.n_train, limit) if one is not None]
        return {
            vocabulary.TARGET: facts.task,
            vocabulary.METHOD: method,
            vocabulary.BACKBONE: backbone.name,
            vocabulary.TRAIN_ROWS: min(known) if known else "unknown",
            vocabulary.SEED: seed,
            vocabulary.PRECISION: backbone.precision,
        }

    def _start(
        self,
        node: _Node,
        *,
        params: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        facts: TaskFacts | None = None,
        description: str | None = None,
        new: bool = False,
    ) -> RunRecorder:
        # Settings of one combiner or one way to train are tags: as parameters each would be a column of blanks.
        tags = {f"{vocabulary.SETTING_TAG}{name}": str(value) for name, value in (settings or {}).items()}
        tags |= {KIND_TAG: node.kind, "adapterlab.sweep": self._context.name}
        if node.step_key is not None:
            tags["adapterlab.step_key"] = node.step_key
        run = self.tracker.run(
            node.path,
            name=node.name,
            parent=node.parent,
            tags=tags,
            params=params,
            datasets=()
            if facts is None
            else _datasets(facts, test=node.kind in {"source", "final", BASELINE}),
            description=description,
            new=new,
        )
        recorder = RunRecorder(run, self.ended)
        self._open[node.path] = recorder
        return recorder


@dataclass(frozen=True)
class _Node:
    """A place in the tree of runs."""

    path: str
    parent: str | None
    kind: str
    name: str
    step_key: str | None = None


def _searching(search: SearchSettings, spaces: Mapping[str, Dimension]) -> dict[str, Any]:
    """Return what a study's run says of how it searches, and what."""
    return {
        "trials": search.trials,
        **({"seeds_per_trial": search.seeds} if search.seeds > 1 else {}),
        **({"folds": search.folds} if search.folds > 1 else {}),
        **({} if search.budget_minutes is None else {"budget_minutes": search.budget_minutes}),
        "sampler": search.sampler,
        "pruner": search.pruner,
        **{
            f"pruner.{name}": value
            for name, value in (pruning_identity(search.pruner, search.pruning) or {}).items()
        },
        **{f"search.{name}": space_json(space) for name, space in spaces.items()},
    }


def _method_of(job: StudyJob) -> str:
    """Return what a study's runs are compared as: its label; of a search of the pool's own training its method."""
    return job.adapter.method if job.method is not None and job.label == POOL else job.label


def _selected(job: StudyJob) -> dict[str, str]:
    """Return which sources a study combines, and by which rule, where they were selected."""
    if job.selection is None:
        return {}
    return {
        vocabulary.SELECTION: job.selection.rule,
        vocabulary.SOURCES: ", ".join(member.name for member in job.pool),
    }


def _own(job: StudyJob, settings: Mapping[str, Setting]) -> dict[str, Any]:
    """Return how the combiner of a setting trains, and its own settings; nothing while it is not known.

    Of a method's search: how that trains, but for what is searched.
    """
    if job.method is not None:
        own = {"adapter": job.adapter.method, **job.settings, **asdict(job.method.training)}
        return {name: value for name, value in own.items() if name not in job.method.spaces}
    kind = settings.get(COMBINER) or (job.combiners[0].kind if len(job.combiners) == 1 else None)
    if kind is None:
        return {}
    recipe = job.recipe(str(kind))
    training = {name: value for name, value in asdict(recipe.training).items() if name not in recipe.spaces}
    return {**{f"combiner.{name}": value for name, value in recipe.settings.items()}, **training}


def _datasets(facts: TaskFacts, *, test: bool) -> list[Dataset]:
    digest = str(facts.content_digest)
    rows = {"training": facts.n_train, "validation": facts.n_validation}
    if test:
        rows["test"] = facts.n_test
    return [
        Dataset(facts.task, digest, facts.task.partition("/")[0], context, count)  # type: ignore[arg-type]
        for context, count in rows.items()
    ]
