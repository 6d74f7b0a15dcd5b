"""The earlier sweeps and studies that a spec's searches start from: found in the catalog, and checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from adapterlab.catalog.presence import is_missing
from adapterlab.errors import NotFoundError
from adapterlab.planning.searches import searched_recipes
from adapterlab.planning.starts import EarlierStudy, chosen_combiner, misfits, used
from adapterlab.records import StepKind
from adapterlab.spec.complaints import Complaint
from adapterlab.spec.load import LoadedSpec, refused
from adapterlab.spec.model import Spec
from adapterlab.spec.positions import Path
from adapterlab.spec.search_space import COMBINER, Dimension, space_words
from adapterlab.spec.studies import study_plans

if TYPE_CHECKING:
    from adapterlab.catalog.records import StudyRecord
    from adapterlab.catalog.store import Catalog

_KEY_DIGITS = 12


def earlier_studies(loaded: LoadedSpec) -> dict[str, tuple[EarlierStudy, ...]]:
    """Return the studies that each name and key of ``search.start_from`` stands for.

    Args:
        loaded: From :func:`adapterlab.spec.load.load_spec`.

    Raises:
        SpecError: There is no such sweep or study, it is not complete, or its best setting is not searched here;
            each is told where it stands.
        UnavailableError: The catalog cannot be reached.
    """
    spec, stores = loaded.spec, loaded.stores()
    named = [(number, one) for number, one in enumerate(spec.search.starts) if isinstance(one, str)]
    if not named:
        return {}
    catalog = None
    if not is_missing(stores.catalog):
        from adapterlab.catalog.store import open_existing

        catalog = open_existing(stores.catalog, stores.blobs, locks=stores.locks)
    found: dict[str, tuple[EarlierStudy, ...]] = {}
    complaints: list[Complaint] = []
    for number, text in named:
        listed = isinstance(spec.search.start_from, tuple)
        path: Path = ("search", "start_from", number) if listed else ("search", "start_from")
        try:
            if catalog is None:
                raise NotFoundError(f"no sweep or study {text!r}: the catalog is empty")
            found[text] = _studies(catalog, text)
            complaints += _unfit(spec, path, text, found[text])
        except NotFoundError as error:
            remedy = error.remedy
            hint = f"{remedy[:1].lower()}{remedy[1:]}" if remedy else None
            complaints.append(Complaint(path, "value", f"search.start_from: {error.message}", hint))
    if catalog is not None:
        catalog.close()
    if complaints:
        raise refused(loaded, complaints)
    return found


def _studies(catalog: Catalog, text: str) -> tuple[EarlierStudy, ...]:
    """Return a sweep's studies, or the one of a key.

    Raises:
        NotFoundError: There is none, several are meant, or some are not complete.
    """
    alike = [one.key for one in catalog.sweeps() if one.name == text]
    if len(alike) > 1:
        keys = ", ".join(key[:_KEY_DIGITS] for key in alike[:5])
        raise NotFoundError(f"{len(alike)} sweeps are named {text!r}", remedy=f"Name one by its key: {keys}.")
    try:
        sweep = catalog.sweep(text)
    except NotFoundError as error:
        try:
            return (_earlier(catalog.get_study(text)),)
        except NotFoundError:
            raise NotFoundError(f"no sweep or study {text!r}", remedy=error.remedy) from error
    steps = [step for step in sweep.steps if step.kind is StepKind.STUDY]
    records = [(step, None if step.key is None else catalog.find_study(step.key)) for step in steps]
    open_ = [step.title for step, record in records if record is None]
    if open_ or not steps:
        what = f"{open_[0]} of it is not complete" if open_ else "it has no study"
        raise NotFoundError(
            f"{text!r} cannot be started from: {what}",
            remedy="Submit it again, or name single studies by key.",
        )
    return tuple(_earlier(record, step.title) for step, record in records if record is not None)


def _earlier(record: StudyRecord, title: str | None = None) -> EarlierStudy:
    return EarlierStudy(
        key=record.key,
        task=record.task,
        title=title or f"{record.task} · {record.combiner}",
        combiner=chosen_combiner(record.combiner, record.best_settings),
        settings={
            name: float(str(value)) for name, value in record.best_settings.items() if name != COMBINER
        },
    )


def _unfit(spec: Spec, path: Path, text: str, studies: tuple[EarlierStudy, ...]) -> Iterator[Complaint]:
    """Yield what is wrong with starting from some studies."""
    searches: list[tuple[str, str, Mapping[str, Dimension]]] = [
        (target, choice.kind, choice.spaces)
        for target in spec.targets.tasks
        for plan in study_plans(spec)
        for choice in plan.choices
    ]
    methods = [(task, recipe.method.name, recipe.spaces) for task, recipe in searched_recipes(spec)]
    searches += methods
    if not any(used(task, kind, studies) for task, kind, _ in searches):
        has = ", ".join(dict.fromkeys(one.combiner for one in studies))
        what = "a combiner or searched method" if methods else "a combiner"
        yield Complaint(
            path, "value", f"search.start_from: {text!r} has no study of {what} of this spec, but of {has}"
        )
    told = set()
    for task, kind, spaces in searches:
        for one in misfits(task, kind, spaces, studies):
            if (one.study.key, one.dimension) in told:
                continue
            told.add((one.study.key, one.dimension))
            yield Complaint(
                path,
                "value",
                f"search.start_from: the best {one.dimension} of {one.study.title} ({one.study.key[:_KEY_DIGITS]}) is "
                f"{one.value:g}, which is not searched here: {one.dimension} of {one.kind} is {space_words(one.space)}",
                f"search {one.dimension} there too, or write the other dimensions as a setting",
            )
