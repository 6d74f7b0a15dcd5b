"""What a study's key holds of its search, and how the studies of a spec search; whatever they choose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from adapterlab.fingerprint import Json, key_of
from adapterlab.planning.steps import SearchSettings
from adapterlab.records import StepKind
from adapterlab.spec.model import Spec
from adapterlab.spec.pruning import pruning_identity, pruning_settings
from adapterlab.spec.search_space import Dimension, Setting, is_fixed


@dataclass(frozen=True)
class SearchKeys:
    """The keys of one study."""

    search: str
    """Of its search, whatever the budget."""
    study: str

    @classmethod
    def of(cls, version: int, inputs: Mapping[str, Json], search: SearchSettings) -> SearchKeys:
        """Return the keys of a study.

        Args:
            version: Of the study step.
            inputs: What the trials train and on what; the dimensions under ``spaces`` where they stand apart.
            search: How it searches.
        """
        known = {**inputs}
        spaces = known.pop("spaces", None)
        how: dict[str, Json] = {"sampler": search.sampler, "pruner": search.pruner, "seed": search.seed}
        if (pruning := pruning_identity(search.pruner, search.pruning)) is not None:
            how["pruning"] = {**pruning}
        how |= {
            name: count for name, count in (("seeds", search.seeds), ("folds", search.folds)) if count > 1
        }
        if search.start:
            how["start"] = [{**one} for one in search.start]
        known["search"] = how if spaces is None else {"spaces": spaces, **how}
        budget: dict[str, Json] = {"trials": search.trials}
        if search.budget_minutes is not None:
            budget["minutes"] = search.budget_minutes
        return cls(
            key_of("search", version, known), key_of(str(StepKind.STUDY), version, {**known, **budget})
        )


def search_settings(spec: Spec, trials: int, start: tuple[Mapping[str, Setting], ...] = ()) -> SearchSettings:
    """Return how a study of a spec searches.

    Args:
        spec: The spec.
        trials: The study's budget.
        start: Settings of its first trials.
    """
    search = spec.search
    return SearchSettings(
        sampler=search.sampler,
        pruner=search.pruner,
        seed=search.seed,
        trials=trials,
        pruning=pruning_settings(search.pruner, search.pruning),
        start=start,
        # The first trial always begins, so that of one trial no time can take anything away.
        budget_minutes=search.budget_minutes if trials > 1 else None,
        # Of one trial there is nothing to choose, so that it need not be judged well.
        seeds=search.seeds_per_trial if trials > 1 else 1,
        folds=search.folds if trials > 1 else 1,
    )


def trained_epochs(max_epochs: int, search: SearchSettings) -> int:
    """Return most epochs on all training rows that a study's trials have together, parts of them added up."""
    whole = search.seeds if search.folds == 1 else search.seeds * (search.folds - 1)
    return max_epochs * search.trials * whole


def trials_of_spaces(spec: Spec, spaces: Mapping[str, Dimension]) -> int:
    """Return the budget of a search: one trial where each dimension has one value."""
    return 1 if all(is_fixed(space) for space in spaces.values()) else spec.search.trials
