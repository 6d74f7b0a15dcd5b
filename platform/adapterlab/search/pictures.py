"""Pictures of a finished study, Optuna's own: its history, and which dimensions its results depend on.

They are drawn once: what was drawn on a machine is kept there by the study's key. Both are of the trials that the
study's budget paid for, and of no others of its search.
"""

from __future__ import annotations

import copy
import io
import sys
import warnings
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from adapterlab.caching.folders import read_or_build
from adapterlab.errors import NotFoundError
from adapterlab.search.storage import (
    close_storage,
    display_url,
    find_study,
    open_storage,
    readable_errors,
)

HISTORY, IMPORTANCE = "history.png", "importance.png"

_VERSION = 1
"""Raise it when pictures look otherwise."""
_LEAST_COMPLETE = 4
"""Complete trials before importances say anything."""
_MOST_COMPLETE = 2_000
"""Complete trials that importances are computed from: of more an even share."""
_DPI = 120


@dataclass(frozen=True)
class PicturedStudy:
    """A finished study, as its pictures tell of it."""

    key: str
    """Of the study."""
    name: str
    """In the Optuna storage."""
    title: str
    """What people call it."""
    metric: str
    """The objective."""
    trials: int
    """Its budget: the first so many trials are its own."""


def study_pictures(storage_url: str, study: PicturedStudy, *, cache: Path) -> dict[str, bytes]:
    """Return a study's pictures as PNGs by file name; none of what cannot be told from so few trials.

    Args:
        storage_url: Database of the studies.
        study: Which one; it has ended.
        cache: Folder of this machine's caches.

    Raises:
        NotFoundError: There is no such study.
        UnavailableError: The storage cannot be reached or was never initialised.
    """

    def build(folder: Path) -> None:
        for name, png in _drawn(_ended_trials(storage_url, study), study).items():
            (folder / name).write_bytes(png)

    def read(folder: Path) -> dict[str, bytes]:
        return {one.name: one.read_bytes() for one in sorted(folder.glob("*.png"))}

    return read_or_build(cache / "pictures" / f"{study.key}-{_VERSION}", read, build)


def _ended_trials(storage_url: str, study: PicturedStudy) -> list[FrozenTrial]:
    storage = open_storage(storage_url)
    try:
        with readable_errors(storage_url):
            found = find_study(storage, study.name)
            if found is None:
                raise NotFoundError(f"{display_url(storage_url)}: no study {study.name!r}")
            trials = storage.get_all_trials(found[0], deepcopy=False)
    finally:
        close_storage(storage)
    return [one for one in trials if one.state is not TrialState.WAITING][: study.trials]


def _drawn(trials: Sequence[FrozenTrial], study: PicturedStudy) -> dict[str, bytes]:
    complete = [one for one in trials if one.state is TrialState.COMPLETE]
    if not complete:
        return {}
    whole, weighed = _view(trials), _view(_sample(complete))
    from optuna.visualization import matplotlib as drawing

    found: dict[str, bytes] = {}
    with _figures():
        axes = drawing.plot_optimization_history(whole, target_name=study.metric)
        found[HISTORY] = _png(axes, f"{study.title}\n{len(complete)} of {len(trials)} trials complete")
        if len(complete) >= _LEAST_COMPLETE and (importances := _importances(weighed)):
            axes = drawing.plot_param_importances(
                weighed, evaluator=_evaluator(), params=list(importances), target_name=study.metric
            )
            of = (
                f" in {_MOST_COMPLETE:,} of {len(complete):,} trials"
                if len(complete) > _MOST_COMPLETE
                else ""
            )
            found[IMPORTANCE] = _png(
                axes, f"{study.title}\nimportance of each dimension for {study.metric}{of}"
            )
    return found


def _sample(complete: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return all trials, or of very many an even share."""
    if len(complete) <= _MOST_COMPLETE:
        return list(complete)
    return [complete[place * len(complete) // _MOST_COMPLETE] for place in range(_MOST_COMPLETE)]


def _importances(view: optuna.Study) -> dict[str, float]:
    """Return how much of the results each dimension explains; empty where nothing is to be told apart."""
    varied = sorted(
        {name for one in view.trials for name, space in one.distributions.items() if not space.single()}
    )
    if len(varied) < 2 or len({one.value for one in view.trials}) < 2:
        return {}
    try:
        found: dict[str, float] = optuna.importance.get_param_importances(
            view, evaluator=_evaluator(), params=varied
        )
    except (ValueError, RuntimeError):  # trials that differ in too little
        return {}
    return found


def _evaluator() -> Any:
    """Return Optuna's fast evaluator (PED-ANOVA, https://arxiv.org/abs/2304.10255), which draws no random number."""
    return optuna.importance.PedAnovaImportanceEvaluator()


def _view(trials: Sequence[FrozenTrial]) -> optuna.Study:
    """Return a study of some trials, counted from 0 as Optuna's pictures want it, without writing them anywhere."""
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage, direction="maximize")
    return _View(study.study_name, storage, trials)


class _View(optuna.Study):  # type: ignore[misc]  # Optuna is not looked into
    def __init__(self, name: str, storage: Any, trials: Sequence[FrozenTrial]) -> None:
        super().__init__(study_name=name, storage=storage)
        self._shown = [_counted(one, place) for place, one in enumerate(trials)]

    def _get_trials(
        self,
        deepcopy: bool = True,  # noqa: ARG002 - nobody changes them
        states: Container[TrialState] | None = None,
        use_cache: bool = False,  # noqa: ARG002
    ) -> list[FrozenTrial]:
        return [one for one in self._shown if states is None or one.state in states]

    def get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        return self._get_trials(deepcopy, states)


def _counted(trial: FrozenTrial, place: int) -> FrozenTrial:
    if trial.number == place:
        return trial
    counted = copy.copy(trial)
    counted.number = place
    return counted


@contextmanager
def _figures() -> Iterator[None]:
    """Let Optuna draw with pyplot, and leave pyplot as it was: it sets a style, and opens no window."""
    is_ours = "matplotlib.pyplot" not in sys.modules
    from matplotlib import pyplot as plt

    if is_ours:
        plt.switch_backend("Agg")
    before = set(plt.get_fignums())
    with warnings.catch_warnings(), plt.rc_context():
        warnings.simplefilter("ignore")  # experimental, layouts of small axes
        try:
            yield
        finally:
            for number in set(plt.get_fignums()) - before:
                plt.close(number)


def _png(axes: Any, title: str) -> bytes:
    axes.set_title("", loc="left")  # where some of Optuna's pictures have theirs
    axes.set_title(title, fontsize=10)
    buffer = io.BytesIO()
    axes.figure.savefig(buffer, format="png", dpi=_DPI, bbox_inches="tight", metadata={"Software": None})
    return buffer.getvalue()
