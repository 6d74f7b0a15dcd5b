"""Which files hold a task's splits: names, endings, the original distributions' folders, never outside.

Looked for below ``<root>/<benchmark>/<task>``, or a folder of the same letters and digits (``CoLA``,
``SST-2``): ``<split>`` with any ending of :data:`~adapterlab.data.formats.ENDINGS`, also packed, or in
shards as the hub names them (``train-00000-of-00002.parquet``). Of several the first is read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from adapterlab.data.file_records import side_files
from adapterlab.data.formats import ENDINGS
from adapterlab.errors import DataError, NotFoundError
from adapterlab.given_files import given_path
from adapterlab.records import Splits
from adapterlab.registry.task_definitions import FolderLocation, TaskDefinition

VALIDATION_STEMS = ("validation", "validation_matched", "dev", "dev_matched", "val", "valid")
"""What the public validation split is called; MNLI's is the one of matched genres."""


class MissingDataError(NotFoundError):
    """A task is known, but its data is not at hand."""


@dataclass(frozen=True)
class SplitFiles:
    """The files of each split a task reads, in order; a split without files is cut or shared."""

    train: tuple[Path, ...]
    test: tuple[Path, ...] = ()
    validation: tuple[Path, ...] = ()

    def of(self, split: str) -> tuple[Path, ...]:
        """Return the files of ``"train"``, ``"validation"`` or ``"test"``."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[split]

    def all(self, definition: TaskDefinition) -> tuple[Path, ...]:
        """Return every file that decides the rows, those that are joined included."""
        files = (*self.train, *self.validation, *self.test)
        joined = [file for path in files for _, file in side_files(path, definition) if file.is_file()]
        return (*files, *dict.fromkeys(joined))


def files_below(root: Path, task: str, definition: TaskDefinition) -> SplitFiles:
    """Return the files of a task below the folder of real tasks.

    Raises:
        MissingDataError: A split's file is not there.
        DataError: The task's name or a link leads outside ``root``.
    """
    location = definition.place or FolderLocation(task.partition("/")[2])
    folder = _folder_below(root, task.partition("/")[0], location.folder)
    return files_in(folder, task, definition.splits, location, roots=(root,))


def files_in(
    folder: Path, task: str, splits: Splits, location: FolderLocation, *, roots: Sequence[Path]
) -> SplitFiles:
    """Return the files of a task in its own folder.

    Raises:
        MissingDataError: A split's file is not there.
        DataError: A file lies outside all of ``roots``.
    """
    stems: dict[str, tuple[str, ...]] = {
        "train": (location.train,), "test": (location.test,), "validation": (location.validation,)
    }  # fmt: skip
    if location.validation == FolderLocation.validation:
        stems["validation"] = VALIDATION_STEMS
    if splits is Splits.OWN:
        wanted = {"train": "train", "validation": "validation", "test": "test"}
    elif splits is Splits.CUT:
        wanted = {"train": "train"}
    else:
        wanted = {"train": "train", "test": "validation"}
    found = {split: _found(folder, task, stems[public], roots) for split, public in wanted.items()}
    return SplitFiles(**found)


def check_inside(path: Path, roots: Sequence[Path]) -> None:
    """Check that a path stays below one of some folders, links followed.

    Raises:
        DataError: It leads elsewhere.
    """
    real = Path(os.path.realpath(given_path(path, "a task's file")))
    if not any(real.is_relative_to(os.path.realpath(root)) for root in roots):
        raise DataError(
            f"{path}: leads outside {' and '.join(str(root) for root in roots)}, to {real}",
            remedy="Name a file of your own [[task]] by its absolute path, or point data.root at the folder that "
            "holds the files.",
        )


def _found(folder: Path, task: str, stems: Sequence[str], roots: Sequence[Path]) -> tuple[Path, ...]:
    for stem in stems:
        for files in _candidates(folder, stem):
            for path in files:
                check_inside(path, roots)
            return files
    check_inside(folder / f"{stems[0]}.jsonl", roots)
    raise MissingDataError(
        f"{task}: {folder / f'{stems[0]}.jsonl'} does not exist, nor has it another ending",
        remedy="Expected <data.root>/<benchmark>/<task>/{train,validation}.{jsonl,csv,tsv,parquet}, "
        "or hub = true under [data]; see docs/guide/data.md.",
    )


def _candidates(folder: Path, stem: str) -> Iterator[tuple[Path, ...]]:
    for ending in ENDINGS:
        for name in (f"{stem}{ending}", f"{stem}{ending}.gz"):
            if (folder / name).is_file() and not name.endswith(".parquet.gz"):
                yield ((folder / name),)
    shards = sorted(folder.glob(f"{stem}-*-of-*.parquet")) if folder.is_dir() else []
    if shards:
        check_shards(shards)
        yield tuple(shards)


def check_shards(shards: Sequence[Path]) -> None:
    """Check that all parts of a split are there.

    Raises:
        DataError: One is missing.
    """
    pattern = re.compile(r"-(\d+)-of-(\d+)(-[0-9a-f]+)?\.parquet$")
    numbers = [pattern.search(path.name) for path in shards]
    there = {int(match[1]) for match in numbers if match}
    total = max((int(match[2]) for match in numbers if match), default=len(shards))
    missing = sorted(set(range(total)) - there)
    if any(numbers) and missing:
        raise DataError(
            f"{shards[0].parent}: part {missing[0]} of {total} of {shards[0].name.split('-')[0]} is missing",
            remedy="Fetch all parts of the split.",
        )


def _folder_below(root: Path, benchmark: str, task: str) -> Path:
    folder = root
    for name in (benchmark, *task.split("/")):
        folder = _same_letters(folder, name)
    return folder


def _same_letters(parent: Path, name: str) -> Path:
    """Return a folder of a name, or of one that differs in case and punctuation only (``SST-2``)."""
    if (parent / name).exists() or ".." in name or not parent.is_dir():
        return parent / name
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    near = (path for path in sorted(parent.iterdir()) if re.sub(r"[^a-z0-9]", "", path.name.lower()) == plain)
    return next(near, parent / name)
