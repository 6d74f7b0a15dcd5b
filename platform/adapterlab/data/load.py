"""A task ready to train on: split, tokenised once, kept by key, mapped into memory.

Kept in ``<cache>/tokens/<key>/`` as plain ``.npy`` arrays. The folder is written under a temporary
name and renamed, so it is whole or absent; processes that need the same task wait for one.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from adapterlab.data.backbone import tokenizer_digest
from adapterlab.data.read import Rows, check_train_labels
from adapterlab.data.split import split_indices
from adapterlab.data.tasks import TaskSource, task_facts, task_source
from adapterlab.data.tokens import encode, has_segments, load_tokenizer, longest_input
from adapterlab.errors import BackboneError
from adapterlab.fingerprint import key_of
from adapterlab.records import Examples, ProblemType, TaskData, TaskFacts, row_length

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSION = 1
"""Raise it when the kept arrays change."""
_STALE_S = 3600.0
_SPLITS = ("train", "validation", "test")
_ARRAYS = ("token_ids", "type_ids", "offsets", "labels")


def load_task(
    task: str, *, root: Path | None, backbone_folder: Path, max_length: int, cache: Path
) -> TaskData:
    """Return a task's three splits as token ids, from the cache or freshly tokenised.

    Args:
        task: Full name, ``<benchmark>/<task>``.
        root: Folder of real tasks; ``None`` for generated ones.
        backbone_folder: Local folder with the backbone's config and tokenizer.
        max_length: Longest row in tokens, special tokens included; see ``records.row_length``.
        cache: Folder of this machine's caches.

    Raises:
        NotFoundError: The task is unknown, or its files are not there.
        DataError: Its data is malformed, or too little to split.
        BackboneError: The backbone cannot take rows of ``max_length``, or has no tokenizer.
    """
    source = task_source(task, root=root)
    facts = task_facts(task, root=root, cache=cache)
    max_length = row_length(max_length, facts.max_length)
    longest = longest_input(backbone_folder)
    if longest is not None and max_length > longest:
        raise BackboneError(
            f"data.max_length = {max_length}, but {backbone_folder} takes at most {longest} tokens",
            remedy=f"Set data.max_length to {longest} or less.",
        )
    key = key_of(
        "tokens",
        VERSION,
        {
            "content": facts.content_digest,
            "tokenizer": tokenizer_digest(backbone_folder, cache),
            "max_length": max_length,
            "segments": has_segments(backbone_folder),
        },
    )
    folder = cache / "tokens" / key
    kept = _open(folder, facts)
    if kept is None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            kept = _open(folder, facts)
            if kept is None:
                _clear_old_drafts(folder)
                _build(source, backbone_folder, max_length, folder)
                kept = _open(folder, facts)
    if kept is None:  # the disk loses what was just written
        raise OSError(f"{folder}: cannot be read back")
    return kept


def _open(folder: Path, facts: TaskFacts) -> TaskData | None:
    """Map the arrays of a kept task; ``None`` if it is absent, or damaged and so thrown away."""
    import numpy as np

    if not folder.is_dir():
        return None
    try:
        sizes = json.loads((folder / "sizes.json").read_bytes())
        splits = {}
        for split in _SPLITS:
            arrays = {name: np.load(folder / f"{split}.{name}.npy", mmap_mode="r") for name in _ARRAYS}
            if {name: len(array) for name, array in arrays.items()} != sizes[split]:
                raise ValueError(f"{split} is not as long as it was")
            splits[split] = Examples(**arrays)
    except (OSError, ValueError, KeyError, EOFError):
        _discard(folder)
        return None
    train, validation, test = (splits[split] for split in _SPLITS)
    counted = replace(facts, n_train=len(train), n_validation=len(validation), n_test=len(test))
    return TaskData(facts=counted, train=train, validation=validation, test=test)


def _build(source: TaskSource, backbone_folder: Path, max_length: int, folder: Path) -> None:
    import numpy as np

    definition = source.definition
    train_rows, test_rows = source.rows()
    train, validation = split_indices(
        source.task, train_rows.labels, definition.labels, stratify=definition.stratify
    )
    check_train_labels(
        f"{source.task}: what is left to train on after the split",
        [train_rows.labels[index] for index in train],
        definition,
    )
    tokenizer = load_tokenizer(backbone_folder, max_length)
    segments = has_segments(backbone_folder)
    kind = np.float32 if definition.problem_type is ProblemType.REGRESSION else np.int64
    parts = {
        "train": _take(train_rows, train),
        "validation": _take(train_rows, validation),
        "test": test_rows,
    }
    draft = folder.with_name(f".draft.{folder.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}")
    draft.mkdir()
    try:
        sizes: dict[str, Any] = {}
        for split, rows in parts.items():
            encoded = encode(tokenizer, rows, segments=segments)
            arrays: dict[str, NDArray[Any]] = dict(
                zip(_ARRAYS, (*encoded, np.asarray(rows.labels, dtype=kind)), strict=True)
            )
            sizes[split] = {name: len(array) for name, array in arrays.items()}
            for name, array in arrays.items():
                np.save(draft / f"{split}.{name}.npy", array, allow_pickle=False)
        (draft / "sizes.json").write_text(json.dumps(sizes))
        with suppress(OSError):  # another process, which does not see our lock, was first
            draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _discard(folder: Path) -> None:
    """Take a folder out of everyone's way at once, then delete it at leisure."""
    doomed = folder.with_name(f".draft.{folder.name}.damaged.{uuid.uuid4().hex[:8]}")
    with suppress(OSError):
        folder.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def _clear_old_drafts(folder: Path) -> None:
    """Delete what killed processes left; a draft of the last hour may be alive on another machine."""
    for draft in folder.parent.glob(f".draft.{folder.name}.*"):
        with suppress(OSError):
            if time.time() - draft.stat().st_mtime > _STALE_S:
                shutil.rmtree(draft, ignore_errors=True)


def _take(rows: Rows, indices: NDArray[np.int64]) -> Rows:
    return Rows([rows.texts[index] for index in indices], [rows.labels[index] for index in indices])
