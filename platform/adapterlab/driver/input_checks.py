"""What a spec reads, looked at before anything runs: its backbone, the files of its tasks, and their rows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapterlab.backbones.facts import check_backbone
from adapterlab.data.task_data import check_row_length
from adapterlab.data.task_facts import task_facts
from adapterlab.data.task_faults import TaskFault, missing_files, task_faults
from adapterlab.data.task_library import TaskLibrary
from adapterlab.driver.earlier_studies import earlier_studies
from adapterlab.errors import AdapterlabError, BackboneError, NotFoundError
from adapterlab.planning.variants import few_rows_complaint
from adapterlab.spec.complaints import Complaint
from adapterlab.spec.faults import Fault
from adapterlab.spec.load import LoadedSpec, refused
from adapterlab.spec.positions import Path as KeyPath


@dataclass(frozen=True)
class Unseen:
    """One thing that a check did not look at."""

    what: str
    why: str


@dataclass(frozen=True)
class InputCheck:
    """What was looked at, and nothing was wrong with it; and what was not."""

    seen: tuple[str, ...]
    unseen: tuple[Unseen, ...]


@dataclass
class _Found:
    seen: list[str] = field(default_factory=list)
    unseen: list[Unseen] = field(default_factory=list)
    complaints: list[Complaint] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def check_inputs(
    loaded: LoadedSpec, *, rows: bool = False, tell: Callable[[str], Any] = lambda _: None
) -> InputCheck:
    """Check that the files of a spec's own tasks are there and that its backbone fits together and takes the rows.

    The sweeps and studies that its searches start from must be in the catalog.

    Nothing is fetched or written. What is not on this machine is no fault of the spec: it may be for another one.

    Args:
        loaded: From ``load_spec``.
        rows: Also read the rows of all its tasks that are at hand.
        tell: Told what is read.

    Raises:
        SpecError: Something is wrong; every fault of all of it, at the spec's line where the spec is to be mended, else
            at the file's.
        BackboneError: The backbone is no supported model, or not what the spec says.
        UnavailableError: A search starts from an earlier one, and the catalog cannot be reached.
    """
    found = _Found()
    library = TaskLibrary.of_loaded(loaded)
    for own in loaded.spec.task:
        _note(loaded, own.name, missing_files(library, own), found)
    broken = {one.path[1] for one in found.complaints}
    fits = [name for name in _tasks(loaded) if _number(loaded, name) not in broken]
    _check_rows(loaded, library, fits, found, rows=rows, tell=tell)
    if rows:
        _check_few_rows(loaded, library, fits, found)
    _check_backbone(loaded, library, found)
    if found.complaints or found.faults:
        raise refused(loaded, found.complaints, found.faults)
    earlier_studies(loaded)
    return InputCheck(tuple(found.seen), tuple(found.unseen))


def _check_rows(
    loaded: LoadedSpec,
    library: TaskLibrary,
    tasks: Sequence[str],
    found: _Found,
    *,
    rows: bool,
    tell: Callable[[str], Any],
) -> None:
    unread: list[str] = []
    away: dict[str, list[str]] = {}
    for task in tasks:
        try:
            source = library.row_source(task)
        except NotFoundError as error:
            away.setdefault(error.message.removeprefix(f"{task}: "), []).append(task)
            continue
        except AdapterlabError as error:
            found.faults.append(Fault(task, None, None, "", error.message, error.remedy))
            continue
        if source.split_files is None:
            continue  # generated: they are as they must be
        if not rows:
            unread.append(task)
            continue
        tell(task)
        wrong = task_faults(library, task)
        _note(loaded, task, wrong, found)
        if not wrong:
            found.seen.append(f"rows of {task}")
    found.unseen += [Unseen(f"rows of {', '.join(some)}", why) for why, some in away.items()]
    if unread:
        what = f"rows of {unread[0]}" if len(unread) == 1 else f"rows of {len(unread)} tasks"
        found.unseen.append(Unseen(what, f"--data reads {'them' if len(unread) > 1 else 'its files'}"))


def _check_few_rows(loaded: LoadedSpec, library: TaskLibrary, tasks: Sequence[str], found: _Found) -> None:
    """Check that the targets that were read have as many train rows as ``data.few_shot`` asks for."""
    if not loaded.spec.data.trains_few_rows:
        return
    read = [task for task in tasks if task in loaded.spec.targets.tasks and f"rows of {task}" in found.seen]
    short = few_rows_complaint(loaded.spec, {task: task_facts(library, task) for task in read})
    if short is not None:
        found.complaints.append(short)


def _check_backbone(loaded: LoadedSpec, library: TaskLibrary, found: _Found) -> None:
    spec = loaded.spec
    try:
        place = check_backbone(spec.backbone, folder=loaded.folder, cache=loaded.stores().cache)
    except NotFoundError as error:
        found.unseen.append(Unseen("the backbone", error.message))
        return
    if place is None:
        found.unseen.append(Unseen("the backbone", f"{spec.backbone.source} is not on this machine yet"))
        return
    found.seen.append("the backbone")
    for task in _tasks(loaded):
        _check_length(loaded, library, task, place, found)


def _check_length(loaded: LoadedSpec, library: TaskLibrary, task: str, place: Path, found: _Found) -> None:
    spec, number = loaded.spec, _number(loaded, task)
    own = library.definition(task).max_length
    try:
        check_row_length(task, own, spec.data.max_length, place)
    except BackboneError as error:
        mine = number is not None and spec.task[number].max_length is not None
        alone = not loaded.is_written(("data", "max_length"))
        path: KeyPath = ("data", "max_length")
        if mine and alone:
            path = ("task", number or 0, "max_length")
        elif any(
            one.path == path for one in found.complaints
        ):  # one key is wrong, however many tasks it is for
            return
        found.complaints.append(Complaint(path, "value", error.message, error.remedy))


def _note(loaded: LoadedSpec, task: str, wrong: Sequence[TaskFault], found: _Found) -> None:
    number = _number(loaded, task)
    for one in wrong:
        if one.key is not None and number is not None:
            path = ("task", number, one.key)
            message = f"{task}: {one.key}: {one.message.removeprefix(f'{task}: ')}"
            found.complaints.append(Complaint(path, "value", message, one.hint))
        else:
            file = task if one.file is None else _shown(one.file)
            message = one.message if file == task else f"{task}: {one.message}"
            found.faults.append(Fault(file, one.line, None, one.key or "", message, one.hint))


def _shown(file: str) -> str:
    """Return a path as short as it can be typed here."""
    here = os.path.relpath(file)
    return file if here.startswith(os.pardir) else here


def _tasks(loaded: LoadedSpec) -> Iterator[str]:
    yield from dict.fromkeys((*loaded.spec.pool.tasks, *loaded.spec.targets.tasks))


def _number(loaded: LoadedSpec, task: str) -> int | None:
    return next((number for number, own in enumerate(loaded.spec.task) if own.name == task), None)
