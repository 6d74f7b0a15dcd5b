"""What a run shows in MLflow of what it came to: results as metrics, tags and artifacts.

What these are called is in ``tracking.vocabulary``: the same for every task and method.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapterlab.catalog.records import JointRecord
from adapterlab.data.metrics import predictions_of
from adapterlab.planning.steps import (
    StudyJob,
)
from adapterlab.records import (
    EpochResult,
    JointEvaluation,
    JointResult,
    LaneResult,
    ProblemType,
    State,
    TaskData,
)
from adapterlab.spec.search_space import Setting
from adapterlab.tracking import run_names as names
from adapterlab.tracking import vocabulary
from adapterlab.tracking.tracker import Run


class RunRecorder:
    """One run in progress: turns results into metrics, tags and artifacts.

    Args:
        run: The tracker's.
        ended: Told when it has ended.
    """

    def __init__(self, run: Run, ended: Callable[[RunRecorder], None]) -> None:
        self._run, self._ended = run, ended
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
        self._ended(self)


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
