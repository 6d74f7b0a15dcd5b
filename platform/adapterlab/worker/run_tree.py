"""The sweep's tree of MLflow runs: who is whose child, what it is called, what it carries.

    sweep
    ├── source · mnli · seed 0                          one a source adapter
    ├── hyperformer · 8 tasks · seed 0                  one a joint run
    │   └── hyperformer · rte · seed 0                  one a task of it
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

import numpy as np
from numpy.typing import NDArray

from adapterlab.catalog.records import JointRecord
from adapterlab.catalog.store import Catalog
from adapterlab.data.metrics import predictions_of
from adapterlab.errors import AdapterlabError
from adapterlab.fingerprint import digest_of
from adapterlab.passwords import hide_passwords
from adapterlab.patience import NO_PATIENCE, Patience
from adapterlab.planning.baselines import POOL
from adapterlab.planning.steps import JointJob, RunRows, SelectionJob, ShareJob, SourceJob, StudyJob
from adapterlab.records import (
    EpochResult,
    JointEvaluation,
    JointResult,
    LaneResult,
    ProblemType,
    State,
    TaskData,
    TaskFacts,
)
from adapterlab.spec.pruning import pruning_identity
from adapterlab.spec.search_space import COMBINER, Setting, space_json
from adapterlab.tracking import run_names as names
from adapterlab.tracking import vocabulary
from adapterlab.tracking.entities import KIND_TAG, Dataset
from adapterlab.tracking.tracker import Run, Tracker
from adapterlab.worker.orders import Context

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


class RunRecorder:
    """One run in progress: turns results into metrics, tags and artifacts."""

    def __init__(self, tree: SweepTree, run: Run) -> None:
        self._tree = tree
        self._run = run
        self.node = run.node
        """Stable identity of the run."""

    def epoch(self, result: EpochResult) -> None:
        """Log one epoch's losses and validation metrics."""
        values = {"train/loss": result.train_loss, "validation/loss": result.validation_loss}
        values |= {f"validation/{name}": value for name, value in result.metrics.items()}
        self._run.metrics(values, step=result.epoch)

    def evaluation(self, result: JointEvaluation, names: Mapping[str, str]) -> None:
        """Log what a joint run's evaluation found: the loss since the last one, and every task's validation.

        Args:
            result: The evaluation.
            names: What people call its tasks, by full name.
        """
        values = {"train/loss": result.train_loss, "validation/selected_by": result.selected_by}
        for task, loss in result.losses.items():
            measured = {"loss": loss, **result.metrics[task]}
            values |= {vocabulary.of_task(name, names[task]): value for name, value in measured.items()}
        self._run.metrics(values, step=result.step)

    def joint_outcome(self, result: JointResult, record: JointRecord) -> None:
        """Log what a joint run came to."""
        best = result.best
        assert best is not None
        values = {"best/selected_by": best.selected_by, "best/step": float(best.step)}
        values |= {vocabulary.PARAMETERS: float(record.n_parameters or 0), vocabulary.SECONDS: result.seconds}
        self._run.metrics(values, step=0)

    def numbers(self, values: Mapping[str, float]) -> None:
        """Log numbers that no step of training belongs to."""
        self._run.metrics(values, step=0)

    def outcome(self, result: LaneResult, metric: str, parameters: int) -> None:
        """Log what a lane came to: the kept epoch's metrics, and those on test where it saw that split.

        Args:
            result: The lane's, with at least one epoch.
            metric: The task's leading metric.
            parameters: Trained ones, without the head.
        """
        best, test = result.best, result.test_metrics
        assert best is not None
        values = scores(metric, best.metrics, test or {})
        values["best/epoch"] = float(result.best_epoch or 0)
        values |= {vocabulary.PARAMETERS: float(parameters), vocabulary.SECONDS: result.seconds}
        self._run.metrics(values, step=0)

    def several(
        self, metric: str, validation: Mapping[str, float], *, seconds: float, parameters: int
    ) -> None:
        """Log what the runs of one trial came to.

        Args:
            metric: The task's leading metric.
            validation: Means over runs of the kept epochs' metrics.
            seconds: Computing of all of them.
            parameters: Trained ones of one run, without the head.
        """
        values = {**scores(metric, validation, {}), vocabulary.PARAMETERS: float(parameters)}
        self._run.metrics({**values, vocabulary.SECONDS: seconds}, step=0)

    def selected(self, scores: Mapping[str, float], document: Mapping[str, Any]) -> None:
        """Log what a selection measured.

        Args:
            scores: Of each source by its name, best first.
            document: All of it, stored as ``selection.json``.
        """
        self._run.metrics({vocabulary.source_score(name): value for name, value in scores.items()}, step=0)
        self._run.tags({"adapterlab.sources": ", ".join(scores)})
        self._run.json("selection.json", document)

    def chosen(self, number: int, settings: Mapping[str, Setting], value: float, metric: str) -> None:
        """Log what a study decided for."""
        self._run.metrics({f"best/{metric}": value}, step=0)
        chosen = {"trial": number, **settings}
        self._run.tags({f"adapterlab.best.{name}": names.compact(one) for name, one in chosen.items()})

    def row(self, numbers: Mapping[str, float], *, missing: int) -> None:
        """Log what the seeds of one target × method came to together, so that it is listed in comparisons.

        Args:
            numbers: By name.
            missing: Seeds without a value; while some are, numbers are at a step below 0, and what is logged
                with all of them takes their place.
        """
        self._run.metrics(numbers, step=-missing)
        self._run.tags({vocabulary.ROW_TAG: "true"})

    def summary(self, numbers: Mapping[str, float], *, missing: int, winner: str | None) -> None:
        """Log a sweep's averages and its best method; see :meth:`row`."""
        self._run.metrics(numbers, step=-missing)
        if winner is not None:
            self._run.tags({vocabulary.WINNER_TAG: winner})

    def file(self, name: str, data: bytes) -> None:
        """Store a file beside the run, replacing one of the same name."""
        self._run.file(name, data)

    def search_picture(self, name: str, png: bytes) -> None:
        """Store a picture of a study's search, for example ``"history.png"``."""
        self._run.picture(f"search/{name}", png)

    def coefficients(
        self,
        values: Sequence[NDArray[np.float32]],
        job: StudyJob,
        init_scale: float | None,
        combiner: str,
        *,
        token_dependent: bool = False,
    ) -> None:
        """Store coefficients as data and as a picture, and each source's mean as a metric.

        In the picture and in the data layers count from 1.

        Args:
            values: (T, e or 1) of each point, or one row that all points share.
            job: The study's job, for the names of sources and target.
            init_scale: Where they started, in units of 1/T; ``None``: nowhere.
            combiner: Named in the picture.
            token_dependent: Whether they are means of weights that differ from token to token.
        """
        from adapterlab.tracking.pictures import coefficient_heatmap

        sources = [member.name for member in job.pool]
        points = len(values)
        self._run.json(
            "coefficients.json",
            {
                "shape": [points, len(sources), max(row.shape[1] for row in values)],
                "sources": sources,
                "layers": list(range(1, points + 1)) if points > 1 else ["all"],
                "values": [row.tolist() for row in values],
            },
        )
        means = np.stack([row.mean(1) for row in values])  # (points or 1, T)
        even = len({row.shape for row in values}) == 1
        png = coefficient_heatmap(
            np.stack(values) if even else means[..., None],
            sources,
            target=job.task_name,
            combiner=combiner,
            start=None if init_scale is None else init_scale / len(sources),
            what="mean attention" if token_dependent else "scaling coefficients",
        )
        self._run.picture("coefficients.png", png)
        overall = means.mean(0, dtype=np.float64).tolist()
        self._run.metrics(by_source(vocabulary.coefficient, sources, overall), step=0)

    def contributions(self, shares: Sequence[float], job: StudyJob) -> None:
        """Log each source's share of the combined output, 0 to 1, T of them in the order of the pool."""
        sources = [member.name for member in job.pool]
        self._run.metrics(by_source(vocabulary.contribution, sources, shares), step=0)

    def test_outputs(self, outputs: NDArray[np.float64], task: TaskData, title: str) -> None:
        """Store what the head gave for every test row, so that metrics can be recomputed.

        Args:
            outputs: (N, C); for multiple choice one a choice, (N, K).
            task: The task; its test examples are N.
            title: What was evaluated, for the picture of a multi-label task's labels.
        """
        self._run.json("test_outputs.json", outputs_document(outputs, task))
        if (scores := label_scores(outputs, task)) is not None:
            from adapterlab.tracking.pictures import label_bars

            self._run.picture("label_scores.png", label_bars(task.facts.labels, *scores, title=title))

    def reused(self, origin: str | None, numbers: Mapping[str, float]) -> None:
        """Log a result another sweep paid for, and which run it came from."""
        self._run.metrics(numbers, step=0)
        self._run.tags({"adapterlab.reused": "true", "adapterlab.reused_from": origin or "unknown"})

    def mended(self, numbers: Mapping[str, float]) -> None:
        """Log the numbers of a result that was kept while MLflow could not be written."""
        self._run.metrics(numbers, step=0)

    def end(self, state: State, reason: str | None = None) -> None:
        """End the run."""
        self._run.end(state, reason)
        self._tree.ended(self)


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
        return RunRecorder(self, self.tracker.existing(self.node(key)))

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
        backbone = self._context.backbone
        params = {
            vocabulary.TARGET: ", ".join(one.task for one in job.tasks),
            vocabulary.METHOD: job.label,
            vocabulary.BACKBONE: backbone.name,
            vocabulary.SEED: job.seed,
            vocabulary.PRECISION: backbone.precision,
        }
        name = names.joint_name(job.label, len(job.tasks), job.seed)
        return self._start(
            _Node(self.node(key), self._sweep, JOINT, name, key),
            params=params,
            settings={"joint": job.method, **job.settings, **job.training.identity()},
        )

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
            "trials": search.trials,
            **({"seeds_per_trial": search.seeds} if search.seeds > 1 else {}),
            **({"folds": search.folds} if search.folds > 1 else {}),
            **({} if job.source_seed is None else {"source_seed": job.source_seed}),
            **({} if search.budget_minutes is None else {"budget_minutes": search.budget_minutes}),
            "sampler": search.sampler,
            "pruner": search.pruner,
            **{
                f"pruner.{name}": value
                for name, value in (pruning_identity(search.pruner, search.pruning) or {}).items()
            },
            **{f"search.{name}": space_json(space) for name, space in job.spaces.items()},
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
        recorder = RunRecorder(self, run)
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


def scores(metric: str, validation: Mapping[str, float], test: Mapping[str, float]) -> dict[str, float]:
    """Return a run's metrics by the names that all tasks share, with the task's own beside them.

    Args:
        metric: The task's leading metric.
        validation: Of the kept epoch.
        test: Empty for a run that did not see the test split.
    """
    values = {f"best/{name}": value for name, value in validation.items()}
    values |= {f"test/{name}": value for name, value in test.items()}
    if metric in validation:
        values[vocabulary.VALIDATION_SCORE] = validation[metric]
    if metric in test:
        values[vocabulary.TEST_SCORE] = test[metric]
    return values


def by_source(
    name: Callable[[str], str], sources: Sequence[str], values: Sequence[float]
) -> dict[str, float]:
    """Return one metric a source; sources in the order of the values."""
    return {name(source): float(value) for source, value in zip(sources, values, strict=True)}


# -- what a final run gave on the test split --------------------------------------------------------


def outputs_document(outputs: NDArray[np.float64], task: TaskData) -> dict[str, Any]:
    """Return the contents of ``test_outputs.json``; row ``i`` of each list is test example ``i``.

    Args:
        outputs: The head's outputs, (N, C); for multiple choice one a choice, (N, K).
        task: The task; its test examples are N.

    Returns:
        ``outputs``; ``labels``, class ids, right choices or numbers, for multi-label a list of 0 and 1
        each; ``problem_type``, ``label_names`` and ``metrics``; where metrics need them, ``groups`` and
        ``extras``.
    """
    test, facts = task.test, task.facts
    labels = test.labels
    if facts.problem_type is ProblemType.MULTI_LABEL:
        labels = labels.astype("int64")
    return {
        "outputs": outputs.tolist(),
        "labels": labels.tolist(),
        "problem_type": str(facts.problem_type),
        "label_names": list(facts.labels),
        "metrics": list(facts.metrics),
        **({} if test.groups is None else {"groups": test.groups.tolist()}),
        **({} if test.extras is None else {"extras": [dict(one) for one in test.extras]}),
    }


def label_scores(outputs: NDArray[np.float64], task: TaskData) -> tuple[list[float], list[int]] | None:
    """Return each label's test F1 and how many test rows have it; ``None`` unless the task is multi-label.

    Args:
        outputs: Logits, (N, C).
        task: The task; its test examples are N.
    """
    if task.facts.problem_type is not ProblemType.MULTI_LABEL or not np.isfinite(outputs).all():
        return None
    from sklearn.metrics import f1_score

    labels = task.test.labels.astype(np.int64)
    scores = f1_score(
        labels, predictions_of(outputs, task.facts.problem_type), average=None, zero_division=0.0
    )
    return [float(score) for score in scores], [int(count) for count in labels.sum(axis=0)]
