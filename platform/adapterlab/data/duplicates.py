"""Rows that occur more than once, inside a split, across splits and across tasks.

Rows are compared by 128-bit digests of their texts: 16 bytes a row, one pass, and a sort. Inside a task
the texts must be equal to the letter; across tasks, whose files were made by different hands, capitals
and white space do not count.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from adapterlab.data.task_rows import SPLITS, SplitRows, TaskRows, label_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_EXAMPLES = 5
_LEAST_LETTERS = 20
"""Shorter texts, such as names and answers, are in many tasks without being shared."""


@dataclass(frozen=True)
class Pair:
    """Two rows with the same texts; row numbers are those of their files as read, from 1."""

    split: str
    row: int
    other_split: str
    other_row: int
    text: str
    """The texts, shortened."""
    labels: tuple[str, str]


@dataclass(frozen=True)
class Repeats:
    """Rows of one split that occur earlier, in the same split or in another."""

    split: str
    earlier: str
    """Where they occur as well; the split itself for repeats inside it."""
    rows: int
    other_label: int
    """Of these, those whose label is not that of the earlier row."""
    examples: tuple[Pair, ...]


@dataclass(frozen=True)
class Overlap:
    """What two tasks have in common."""

    tasks: tuple[str, str]
    rows: tuple[int, int]
    """Rows of each whose texts are all those of a row of the other."""
    texts: tuple[int, int]
    """Rows of each with a text that stands in the other, of at least twenty letters."""
    of_training: int
    """Rows of the first task's training that are in the second's test split, or the other way round."""
    example: str


def repeats(task: TaskRows) -> tuple[Repeats, ...]:
    """Return the repeats inside each split, and those of later splits in earlier ones.

    Splits that are one (a validation split that is the test split too) are compared once.
    """
    names = [name for name in SPLITS if not task.splits[name].is_test]
    digests = {name: _digests(task.splits[name].examples()) for name in names}
    found = []
    for number, name in enumerate(names):
        inside = _inside(digests[name])
        found.append(_repeats(task, name, name, inside))
        found += [
            _repeats(task, name, earlier, _across(digests[name], digests[earlier]))
            for earlier in names[:number]
        ]
    return tuple(one for one in found if one.rows)


class TaskDigests:
    """A task's rows and texts as digests by split, made once to be compared with several tasks."""

    def __init__(self, task: TaskRows) -> None:
        parts = {name: split for name, split in task.splits.items() if not split.is_test}
        self.task = task
        self.rows = {name: _digests(map(_fold, split.examples())) for name, split in parts.items()}
        self.texts = {name: _each_text(split.examples()) for name, split in parts.items()}

    def all_rows(self, *names: str) -> NDArray[Any]:
        """Return the digests of some splits' rows, or of all, one after another."""
        import numpy as np

        return np.concatenate([part for name, part in self.rows.items() if not names or name in names])

    def rows_with(self, texts: NDArray[Any]) -> int:
        """Return how many rows have one of some texts at least."""
        return sum(_rows_with(mine, texts) for mine in self.texts.values())

    def all_texts(self) -> NDArray[Any]:
        """Return the digests of all texts."""
        import numpy as np

        return np.concatenate([part.reshape(-1) for part in self.texts.values()])


def overlap(one: TaskDigests, other: TaskDigests) -> Overlap | None:
    """Return what two tasks have in common; ``None``: nothing."""
    rows = _is_among(one.all_rows(), other.all_rows()), _is_among(other.all_rows(), one.all_rows())
    texts = one.rows_with(other.all_texts()), other.rows_with(one.all_texts())
    if not rows[0].any() and not any(texts):
        return None
    seen = sum(
        int(_is_among(here.rows["test"], there.all_rows("train", "validation")).sum())
        for here, there in ((one, other), (other, one))
    )
    return Overlap(
        tasks=(one.task.facts.task, other.task.facts.task),
        rows=(int(rows[0].sum()), int(rows[1].sum())),
        texts=texts,
        of_training=seen,
        example=_first_text(one, rows[0]) if rows[0].any() else "",
    )


# -- one task ---------------------------------------------------------------------------------------


def _digests(rows: Iterable[tuple[tuple[str, ...], ...]]) -> NDArray[Any]:
    """Return a digest a row, (N,) of 16 bytes."""
    import numpy as np

    digests = bytearray()
    for sequences in rows:
        digests += _digest("\x1f".join("\x1e".join(texts) for texts in sequences))
    return np.frombuffer(bytes(digests), dtype="V16")


def _digest(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=16).digest()


def _inside(digests: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows that repeat an earlier one, and the first row of each, both (K,)."""
    import numpy as np

    _, first, inverse = np.unique(_sortable(digests), return_index=True, return_inverse=True)
    original = first[inverse.reshape(-1)]
    later = np.flatnonzero(original != np.arange(len(digests)))
    return later, original[later]


def _across(digests: NDArray[Any], earlier: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows that stand in an earlier split too, and where there, both (K,)."""
    import numpy as np

    known, first = np.unique(_sortable(earlier), return_index=True)
    mine = _sortable(digests)
    if not len(known):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    nearest = np.searchsorted(known, mine)
    nearest[nearest == len(known)] = 0
    later = np.flatnonzero(known[nearest] == mine)
    return later, first[nearest[later]]


def _sortable(digests: NDArray[Any]) -> NDArray[Any]:
    # bytes of a fixed length compare and sort; trailing zero bytes would be dropped, but only in printing
    return digests.view("S16")


def _repeats(
    task: TaskRows, name: str, earlier: str, found: tuple[NDArray[np.int64], NDArray[np.int64]]
) -> Repeats:
    split, other = task.splits[name], task.splits[earlier]
    rows, originals = found
    differ = split.labels[rows] != other.labels[originals]
    if differ.ndim > 1:
        differ = differ.any(axis=1)
    order = sorted(range(len(rows)), key=lambda index: not differ[index])[:MOST_EXAMPLES]
    examples = [_pair(task, split, int(rows[index]), other, int(originals[index])) for index in order]
    return Repeats(name, earlier, len(rows), int(differ.sum()), tuple(examples))


def _pair(task: TaskRows, split: SplitRows, row: int, other: SplitRows, original: int) -> Pair:
    labels = (
        label_name(task.definition, split.labels[row]),
        label_name(task.definition, other.labels[original]),
    )
    return Pair(
        split.name, split.number(row), other.name, other.number(original), _short(split.example(row)), labels
    )


# -- two tasks --------------------------------------------------------------------------------------


def _fold(sequences: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(_plain(text) for text in texts) for texts in sequences)


def _each_text(rows: Iterable[tuple[tuple[str, ...], ...]]) -> NDArray[Any]:
    """Return the digests of every row's long texts, (N, most texts); zeros where a row has fewer."""
    import numpy as np

    digests, width = bytearray(), 1
    for sequences in rows:
        width = sum(len(texts) for texts in sequences)  # the same for every row
        texts = list(dict.fromkeys(_plain(text) for texts in sequences for text in texts))
        long = [_digest(text) if len(text) >= _LEAST_LETTERS else bytes(16) for text in texts]
        digests += b"".join((*long, *[bytes(16)] * (width - len(long))))
    return np.frombuffer(bytes(digests), dtype="V16").reshape(-1, width)


def _rows_with(mine: NDArray[Any], theirs: NDArray[Any]) -> int:
    import numpy as np

    known = np.unique(_sortable(theirs))
    known = known[known != b""]  # the zeros of short texts
    if not len(known) or not len(mine):
        return 0
    found = np.isin(_sortable(mine.reshape(-1)), known)
    return int(found.reshape(mine.shape).any(axis=1).sum())


def _is_among(mine: NDArray[Any], theirs: NDArray[Any]) -> NDArray[np.bool_]:
    import numpy as np

    return np.isin(_sortable(mine), _sortable(theirs))


def _first_text(digests: TaskDigests, found: NDArray[np.bool_]) -> str:
    row = int(found.argmax())
    for name, rows in digests.rows.items():
        if row < len(rows):
            return _short(digests.task.splits[name].example(row))
        row -= len(rows)
    raise IndexError(f"no row {found.argmax()}")


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _short(sequences: tuple[tuple[str, ...], ...]) -> str:
    text = " | ".join(" ".join(one.split()) for one in sequences[0])
    return text if len(text) <= 100 else f"{text[:99]}…"
