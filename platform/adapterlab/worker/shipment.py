"""What a sweep's workers need and a cluster's machines may not have: the backbone's files and the tasks' rows.

Machines of a cluster share no disk, so nothing the driver read may be expected at the same path there. The driver
puts these files beside the weights, below ``<store.blobs>/inputs``, filed by their sha256 and so only once; a worker
takes them into its machine's cache when it needs them. Rows go as the canonical rows that the plan's digests were
made from: a machine that has other files of a task by chance cannot train on them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from adapterlab.backbones.weight_files import INDEX, weight_files
from adapterlab.caching.file_digests import file_digest
from adapterlab.catalog.blobs import Blobs, StoredFile, open_blobs
from adapterlab.catalog.store import Catalog
from adapterlab.data.task_library import TaskLibrary
from adapterlab.data.task_rows import in_words, load_rows, rows_folder
from adapterlab.fingerprint import digest_of
from adapterlab.records import TaskFacts

_MODEL_ENDINGS = (".json", ".txt", ".model")
"""Of a backbone's config and tokenizer; its weights are named by :func:`weight_files`."""
_TELL_S = 0.5
_YOUNG_S = 12 * 3600.0
"""Seconds since its writing in which a file that is handed over again is left as it is."""


@dataclass(frozen=True)
class Shipment:
    """Files by the folder of a machine's cache they belong in."""

    backbone: str
    """Folder of the backbone, relative to the cache."""
    folders: Mapping[str, Mapping[str, str]]
    """sha256 of each file by its name, by folder relative to the cache."""
    facts: Mapping[str, TaskFacts]
    """Of every task whose rows are handed over, by full name."""


def ship(
    backbone_folder: Path,
    library: TaskLibrary,
    tasks: Iterable[TaskFacts],
    *,
    blobs: str,
    tell: Callable[[str], None],
) -> Shipment:
    """Put what workers need where all machines reach it; what is there already is not written again.

    Args:
        backbone_folder: Local folder with the backbone's config, weights and tokenizer.
        library: Where the rows of tasks are on this machine.
        tasks: The sweep's. Tasks that a suite generates need no rows handed over.
        blobs: ``store.blobs``.
        tell: Told what is being done; may raise to stop.

    Raises:
        NotFoundError: A task's files are not there.
        DataError: A task's rows are malformed, or were changed since it was planned.
        UnavailableError: The store cannot be written.
    """
    inputs = _Store.look(blobs)
    tell("handing the backbone to the cluster")
    files = inputs.put(_backbone_files(backbone_folder), library.cache)
    backbone = f"backbones/{digest_of(files)}"
    folders = {backbone: files}
    facts = {}
    for task in tasks:
        if library.row_source(task.task).split_files is None:
            continue
        tell(f"handing {task.task} to the cluster")
        load_rows(library, task.task, progress=in_words(tell, _TELL_S, of=task.task))
        place = rows_folder(task)
        folders[place] = inputs.put(sorted((library.cache / place).iterdir()), library.cache)
        facts[task.task] = task
    return Shipment(backbone, folders, facts)


def remove_unused(catalog: Catalog, blobs: str, *, grace_s: float, dry_run: bool) -> list[StoredFile]:
    """Remove what no sweep has handed over lately; nothing while a sweep of the catalog runs.

    A sweep is claimed before it hands anything over, and what it finds there is written again unless it is young. So
    it is either seen here, or what it needs is young.

    Args:
        catalog: Knows which sweeps run.
        blobs: ``store.blobs``.
        grace_s: Seconds since the last writing in which nothing is removed; a day at least.
        dry_run: Change nothing.

    Returns:
        The files that were removed, or would be.

    Raises:
        UnavailableError: The store or the catalog cannot be reached.
    """
    inputs = inputs_of(blobs)
    before = inputs.clock() - max(grace_s, 2 * _YOUNG_S)
    old = [file for file in inputs.stored() if file.modified is not None and file.modified < before]
    if not old or any(catalog.holder(sweep.key) for sweep in catalog.sweeps()):
        return []
    return old if dry_run else [file for file in old if inputs.remove(file.name, written_before=before)]


def inputs_of(blobs: str) -> Blobs:
    """Return where inputs lie beside the blobs of adapters, given ``store.blobs``."""
    return open_blobs(f"{blobs.rstrip('/')}/inputs")


def _backbone_files(folder: Path) -> list[Path]:
    weights = weight_files(folder)
    others = [path for path in folder.iterdir() if path.suffix in _MODEL_ENDINGS and path.name != INDEX]
    index = [folder / INDEX] if len(weights) > 1 or (folder / INDEX).is_file() else []
    return sorted({*weights, *index, *(path for path in others if path.is_file())})


@dataclass(frozen=True)
class _Store:
    """The inputs as they were when a sweep began to hand its own over."""

    inputs: Blobs
    fresh: frozenset[str]
    """Digests of what is there and may stay as it is; what is older is written again, to be young."""

    @classmethod
    def look(cls, blobs: str) -> _Store:
        inputs = inputs_of(blobs)
        since = inputs.clock() - _YOUNG_S
        files = inputs.stored()
        return cls(inputs, frozenset(file.name for file in files if (file.modified or since) >= since))

    def put(self, files: Iterable[Path], cache: Path) -> dict[str, str]:
        digests = {}
        for path in files:
            digests[path.name] = digest = file_digest(cache, path)
            if digest not in self.fresh:
                self.inputs.write(path.read_bytes())
        return digests
