"""A task ready to train on: split, tokenised once, kept by key, mapped into memory.

``tokens/<key>/`` in this machine's cache holds plain ``.npy`` arrays of each split. It is written as a stream,
so that memory does not grow with the task, and is whole or absent.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterlab.backbones.facts import input_format
from adapterlab.backbones.tokenizer import load_tokenizer, tokenizer_digest
from adapterlab.caching.folders import read_or_build
from adapterlab.data.arrow_rows import ArrowExtras, write_texts
from adapterlab.data.encoding import encode_chunks
from adapterlab.data.row_reading import check_train_labels
from adapterlab.data.task_facts import source_and_facts
from adapterlab.data.task_library import TaskLibrary
from adapterlab.data.task_rows import SPLITS, Progress, TaskRows, rows_of
from adapterlab.errors import BackboneError
from adapterlab.fingerprint import key_of
from adapterlab.records import Examples, TaskData, TaskFacts, row_length

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSION = 1
"""Raise it when the arrays of tokens change."""
_ARRAYS = ("token_ids", "type_ids", "offsets", "labels")


def load_task(
    library: TaskLibrary,
    task: str,
    *,
    backbone_folder: Path,
    max_length: int,
    progress: Progress | None = None,
) -> TaskData:
    """Return a task's three splits as token ids, from the cache or freshly tokenised.

    Args:
        library: Where the rows of tasks are.
        task: Full name, ``<benchmark>/<task>``.
        backbone_folder: Local folder with the backbone's config and tokenizer.
        max_length: ``data.max_length``: longest row in tokens, special tokens included.
        progress: Told how far it is while something is read or tokenised.

    Raises:
        NotFoundError: The task is unknown, or its files are not there.
        DataError: Its data is malformed, or too little to split.
        BackboneError: The backbone cannot take rows of ``max_length``, or has no tokenizer.
    """
    source, facts = source_and_facts(library, task)
    max_length = fitting_row_length(facts, max_length, backbone_folder)
    key = key_of(
        "tokens",
        VERSION,
        {
            "content": facts.content_digest,
            "tokenizer": tokenizer_digest(backbone_folder, library.cache),
            "max_length": max_length,
            "segments": input_format(backbone_folder).segments > 1,
        },
    )
    tell = progress or (lambda *_: None)

    def build(draft: Path) -> None:
        rows = rows_of(source, facts, library.cache, tell)
        _tokenise(rows, backbone_folder, max_length, draft, tell)

    return read_or_build(library.cache / "tokens" / key, lambda folder: _open(folder, facts), build)


def fitting_row_length(facts: TaskFacts, max_length: int, backbone_folder: Path) -> int:
    """Return the longest row of a task in tokens, which the backbone must be able to take.

    Args:
        facts: What is known of the task.
        max_length: ``data.max_length``.
        backbone_folder: Local folder with the backbone's config.

    Raises:
        BackboneError: The backbone takes shorter rows only.
    """
    return check_row_length(facts.task, facts.max_length, max_length, backbone_folder)


def check_row_length(task: str, own: int | None, max_length: int, backbone_folder: Path) -> int:
    """Return the longest row of a task in tokens, as :func:`fitting_row_length` does.

    Args:
        task: Full name.
        own: The longest row the task's definition asks for; ``None``: it leaves that to the spec.
        max_length: ``data.max_length``.
        backbone_folder: Local folder with the backbone's config.

    Raises:
        BackboneError: The backbone takes shorter rows only.
    """
    length, longest = row_length(max_length, own), input_format(backbone_folder).longest
    if longest is not None and length > longest:
        raise BackboneError(
            f"{task}: rows of {length} tokens, but {backbone_folder} takes at most {longest} tokens",
            remedy=f"Set data.max_length to {longest} or less"
            + (", and not to its default, which leaves the task its own." if own else "."),
        )
    return length


def _tokenise(rows: TaskRows, backbone_folder: Path, max_length: int, draft: Path, tell: Progress) -> None:
    import numpy as np

    definition = rows.definition
    check_train_labels(
        f"{rows.source.task}: what is left to train on after the split",
        rows.splits["train"].labels.tolist(),
        definition,
    )
    tokenizer = load_tokenizer(backbone_folder, max_length, truncate=definition.truncate)
    segments = input_format(backbone_folder).segments > 1
    sizes: dict[str, Any] = {}
    done = 0
    total = sum(len(split) for split in rows.splits.values() if not split.is_test)
    for name in SPLITS:
        split = rows.splits[name]
        if split.is_test:
            sizes[name] = {"same_as": "test"}
            continue
        choices = split.rows.choices
        with _TokenArrays(draft, name) as arrays:
            for tokens, types, lengths in encode_chunks(tokenizer, split.sequences(), segments=segments):
                arrays.append(tokens, types, lengths)
                tell("tokenising", done + len(arrays) // choices, total)
        done += len(split)
        by_row = {"labels": split.labels}
        groups = split.rows.groups()
        if groups is not None:
            by_row["groups"] = groups[split.indices]
        for array_name, array in by_row.items():
            np.save(draft / f"{name}.{array_name}.npy", array, allow_pickle=False)
        if split.rows.has_extras():
            write_texts(draft / f"{name}.extras.arrow", split.rows.extras(split.indices.tolist()))
        sizes[name] = arrays.sizes | {array_name: len(array) for array_name, array in by_row.items()}
        sizes[name] |= {"choices": choices} if choices > 1 else {}
    (draft / "sizes.json").write_text(json.dumps(sizes))


def _open(folder: Path, facts: TaskFacts) -> TaskData:
    """Map the arrays of a tokenised task.

    Raises:
        OSError: One is not there.
        ValueError: One is not as long as it was.
    """
    sizes = json.loads((folder / "sizes.json").read_bytes())
    splits = {split: _examples(folder, sizes[split].get("same_as", split), sizes) for split in SPLITS}
    train, validation, test = (splits[split] for split in SPLITS)
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
    return Examples(**arrays, choices=choices, extras=ArrowExtras(extras) if extras.is_file() else None)


class _TokenArrays:
    """Token ids, segment ids and offsets of one split, appended to ``.npy`` files as they come."""

    def __init__(self, folder: Path, split: str) -> None:
        self._ids = _GrowingArray(folder / f"{split}.token_ids.npy", "int32")
        self._types = _GrowingArray(folder / f"{split}.type_ids.npy", "int32")
        self._offsets = _GrowingArray(folder / f"{split}.offsets.npy", "int64")

    def __enter__(self) -> _TokenArrays:
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


class _GrowingArray:
    """A one-dimensional ``.npy`` file that is written piece by piece; its length is known last.

    NumPy leaves room in a file's header for the first axis to grow, so the final length is written
    over the first. Source: NEP 1 and ``numpy.lib.format``.
    """

    def __init__(self, path: Path, kind: str) -> None:
        import numpy as np

        self._kind = np.dtype(kind)
        self._stream = path.open("wb")
        self._length = 0
        self._header_bytes = self._write_header()

    def __len__(self) -> int:
        return self._length

    def append(self, values: NDArray[Any]) -> None:
        """Append values, (n,)."""
        values.astype(self._kind, copy=False).tofile(self._stream)
        self._length += len(values)

    def close(self) -> None:
        """Write the final length and close the file."""
        self._stream.seek(0)
        if self._write_header() != self._header_bytes:
            raise OSError("a .npy header does not keep its size in this version of NumPy")
        self._stream.close()

    def _write_header(self) -> int:
        import numpy as np

        described = {
            "descr": np.lib.format.dtype_to_descr(self._kind),
            "fortran_order": False,
            "shape": (self._length,),
        }
        np.lib.format.write_array_header_1_0(self._stream, described)
        return self._stream.tell()
