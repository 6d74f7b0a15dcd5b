"""A task ready to train on: split, tokenised once, kept by key, mapped into memory.

Two folders are kept in this machine's cache: ``rows/<content>/`` with the canonical rows of each split
as Arrow files, the same for every backbone; and ``tokens/<key>/`` with plain ``.npy`` arrays. Both are
written as streams, so that memory does not grow with the task, and are whole or absent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterlab.backbones.facts import input_format, tokenizer_digest
from adapterlab.caching.folders import kept_folder
from adapterlab.data.arrow_rows import StoredExtras, StoredRows, write_rows, write_texts
from adapterlab.data.content_digest import ContentDigest
from adapterlab.data.row_reading import check_train_labels
from adapterlab.data.row_sources import DataPlaces, TaskSource, task_source
from adapterlab.data.splits import split_rows
from adapterlab.data.task_facts import task_facts
from adapterlab.data.tokens import encoded, load_tokenizer
from adapterlab.errors import BackboneError, DataError
from adapterlab.fingerprint import key_of
from adapterlab.records import Examples, Splits, TaskData, TaskFacts, row_length

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSION = 1
"""Raise it when the kept arrays change."""
ROWS_VERSION = 1
"""Raise it when the kept rows change."""
_SPLITS = ("train", "validation", "test")
_ARRAYS = ("token_ids", "type_ids", "offsets", "labels")

Progress = Callable[[str, int, int], None]
"""Told what is done (``"reading"``, ``"tokenising"``), how many rows of it, and of how many."""


def load_task(
    task: str,
    *,
    root: Path | None,
    backbone_folder: Path,
    max_length: int,
    cache: Path,
    places: DataPlaces | None = None,
    progress: Progress | None = None,
) -> TaskData:
    """Return a task's three splits as token ids, from the cache or freshly tokenised.

    Args:
        task: Full name, ``<benchmark>/<task>``.
        root: Folder of real tasks; ``None`` for generated ones.
        backbone_folder: Local folder with the backbone's config and tokenizer.
        max_length: ``data.max_length``: longest row in tokens, special tokens included.
        cache: Folder of this machine's caches.
        places: Where else rows are: the hub, and the spec's own tasks.
        progress: Told how far it is while something is read or tokenised.

    Raises:
        NotFoundError: The task is unknown, or its files are not there.
        DataError: Its data is malformed, or too little to split.
        BackboneError: The backbone cannot take rows of ``max_length``, or has no tokenizer.
    """
    source = task_source(task, root=root, cache=cache, places=places)
    facts = task_facts(task, root=root, cache=cache, places=places)
    source = replace(source, definition=replace(source.definition, labels=facts.labels))
    max_length = row_length(max_length, facts.max_length)
    form = input_format(backbone_folder)
    longest = form.longest
    if longest is not None and max_length > longest:
        raise BackboneError(
            f"{task}: rows of {max_length} tokens, but {backbone_folder} takes at most {longest} tokens",
            remedy=f"Set data.max_length to {longest} or less"
            + (", and not to its default, which leaves the task its own." if facts.max_length else "."),
        )
    key = key_of(
        "tokens",
        VERSION,
        {
            "content": facts.content_digest,
            "tokenizer": tokenizer_digest(backbone_folder, cache),
            "max_length": max_length,
            "segments": form.segments > 1,
        },
    )
    tell = progress or (lambda *_: None)

    def build(draft: Path) -> None:
        rows = stored_rows(source, facts, cache, tell)
        _tokenise(source, rows, backbone_folder, max_length, draft, tell)

    return kept_folder(cache / "tokens" / key, lambda folder: _open(folder, facts), build)


def stored_rows(source: TaskSource, facts: TaskFacts, cache: Path, tell: Progress) -> dict[str, StoredRows]:
    """Return a task's canonical rows, by the splits that have rows of their own.

    Raises:
        DataError: They are malformed, or were changed since the facts were made.
    """
    definition, total = source.definition, _total(facts)

    def opened(folder: Path) -> dict[str, StoredRows]:
        counts = json.loads((folder / "counts.json").read_bytes())
        rows = {split: StoredRows(folder / f"{split}.arrow") for split in source.splits}
        if {split: len(part) for split, part in rows.items()} != counts:
            raise ValueError(f"{folder}: not as long as it was")
        return rows

    def build(draft: Path) -> None:
        digest = ContentDigest(definition)
        counts: dict[str, int] = {}
        for split in source.splits:
            passing = _counted(digest.noting(source.rows(split)), sum(counts.values()), total, tell)
            counts[split] = write_rows(draft / f"{split}.arrow", passing, definition.problem_type)
        if digest.hexdigest() != facts.content_digest:
            raise DataError(
                f"{source.task}: its files were changed while they were read",
                remedy="Submit again when they stay as they are.",
            )
        (draft / "counts.json").write_text(json.dumps(counts))

    folder = cache / "rows" / key_of("rows", ROWS_VERSION, {"content": facts.content_digest})
    return kept_folder(folder, opened, build)


def _tokenise(
    source: TaskSource,
    rows: dict[str, StoredRows],
    backbone_folder: Path,
    max_length: int,
    draft: Path,
    tell: Progress,
) -> None:
    import numpy as np

    definition = source.definition
    labels = {
        split: part.labels(definition.problem_type, len(definition.labels)) for split, part in rows.items()
    }
    places = split_rows(source.task, definition, labels["train"])
    check_train_labels(
        f"{source.task}: what is left to train on after the split",
        labels["train"][places["train"]].tolist(),
        definition,
    )
    tokenizer = load_tokenizer(backbone_folder, max_length, truncate=definition.truncate)
    segments = input_format(backbone_folder).segments > 1
    sizes: dict[str, Any] = {}
    done = 0
    total = sum(len(part) for part in rows.values())
    for split in _SPLITS:
        origin = split if split in rows else "train"
        if definition.splits is Splits.SHARED and split == "validation":
            sizes[split] = {"same_as": "test"}
            continue
        part = rows[origin]
        chosen = places.get(split, np.arange(len(part)))
        with _Arrays(draft, split) as arrays:
            texts = part.sequences(chosen.tolist())
            for tokens, types, lengths in encoded(tokenizer, texts, segments=segments):
                arrays.append(tokens, types, lengths)
                tell("tokenising", done + len(arrays) // part.choices, total)
        done += len(chosen)
        kept = {"labels": labels[origin][chosen]}
        groups = part.groups()
        if groups is not None:
            kept["groups"] = groups[chosen]
        for name, array in kept.items():
            np.save(draft / f"{split}.{name}.npy", array, allow_pickle=False)
        if part.has_extras():
            write_texts(draft / f"{split}.extras.arrow", part.extras(chosen.tolist()))
        sizes[split] = arrays.sizes | {name: len(array) for name, array in kept.items()}
        sizes[split] |= {"choices": part.choices} if part.choices > 1 else {}
    (draft / "sizes.json").write_text(json.dumps(sizes))


def _open(folder: Path, facts: TaskFacts) -> TaskData:
    """Map the arrays of a kept task.

    Raises:
        OSError: One is not there.
        ValueError: One is not as long as it was.
    """
    sizes = json.loads((folder / "sizes.json").read_bytes())
    splits = {split: _examples(folder, sizes[split].get("same_as", split), sizes) for split in _SPLITS}
    train, validation, test = (splits[split] for split in _SPLITS)
    counted = replace(facts, n_train=len(train), n_validation=len(validation), n_test=len(test))
    return TaskData(facts=counted, train=train, validation=validation, test=test)


def _examples(folder: Path, split: str, sizes: dict[str, Any]) -> Examples:
    import numpy as np

    expected = dict(sizes[split])
    choices = expected.pop("choices", 1)
    names = (*_ARRAYS, "groups") if "groups" in expected else _ARRAYS
    arrays = {name: np.load(folder / f"{split}.{name}.npy", mmap_mode="r") for name in names}
    if {name: len(array) for name, array in arrays.items()} != expected:
        raise ValueError(f"{split} is not as long as it was")
    extras = folder / f"{split}.extras.arrow"
    return Examples(**arrays, choices=choices, extras=StoredExtras(extras) if extras.is_file() else None)


class _Arrays:
    """Token ids, segment ids and offsets of one split, appended to ``.npy`` files as they come."""

    def __init__(self, folder: Path, split: str) -> None:
        from adapterlab.data.growing_array import GrowingArray

        self._ids = GrowingArray(folder / f"{split}.token_ids.npy", "int32")
        self._types = GrowingArray(folder / f"{split}.type_ids.npy", "int32")
        self._offsets = GrowingArray(folder / f"{split}.offsets.npy", "int64")

    def __enter__(self) -> _Arrays:
        import numpy as np

        self._offsets.append(np.zeros(1, dtype=np.int64))
        return self

    def __exit__(self, *_: object) -> None:
        for array in (self._ids, self._types, self._offsets):
            array.close()

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def append(self, ids: NDArray[np.int32], types: NDArray[np.int32], lengths: NDArray[np.int64]) -> None:
        """Append some sequences."""
        start = len(self._ids)
        self._ids.append(ids)
        self._types.append(types)
        self._offsets.append(start + lengths.cumsum())

    @property
    def sizes(self) -> dict[str, int]:
        """Length of each array."""
        return {"token_ids": len(self._ids), "type_ids": len(self._types), "offsets": len(self._offsets)}


def _counted(rows: Iterator[Any], before: int, total: int, tell: Progress) -> Iterator[Any]:
    for number, row in enumerate(rows):
        if number % 4096 == 0:
            tell("reading", before + number, total)
        yield row


def _total(facts: TaskFacts) -> int:
    return sum(rows or 0 for rows in (facts.n_train, facts.n_validation, facts.n_test))
