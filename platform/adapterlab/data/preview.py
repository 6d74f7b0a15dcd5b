"""What a task looks like: counts, lengths, and examples as the model will see them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterlab.backbones.facts import input_format
from adapterlab.backbones.tokenizer import load_tokenizer
from adapterlab.data.task_rows import SplitRows, TaskRows, label_name
from adapterlab.errors import UsageError
from adapterlab.records import ProblemType, row_length

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

MOST_MEASURED = 10_000
"""Rows of a split whose tokens are counted to show its lengths; more say little more."""
_CHUNK = 1024


@dataclass(frozen=True)
class Lengths:
    """Tokens of a split's sequences before they are cut, special tokens included."""

    rows: int
    """Rows that were measured."""
    median: int
    p90: int
    p99: int
    longest: int
    cut: int
    """Of the measured rows, those that are longer than is taken."""


@dataclass(frozen=True)
class TextPreview:
    """One text of a sequence, and what of it the model does not see."""

    text: str
    kept: int
    """Letters before the cut; all of them where nothing is cut."""


@dataclass(frozen=True)
class SequencePreview:
    """One sequence as the model sees it."""

    texts: tuple[TextPreview, ...]
    tokens: tuple[str, ...]
    """With the special ones; empty while the tokenizer is not at hand."""
    cut_tokens: int = 0
    """Tokens that are left out."""


@dataclass(frozen=True)
class ExamplePreview:
    """One row."""

    split: str
    row: int
    """Its number in the split, from 1."""
    file_row: int
    """Its number in its file as read, from 1."""
    label: str
    sequences: tuple[SequencePreview, ...]
    """One, or one a choice."""


@dataclass(frozen=True)
class SplitPreview:
    """One split."""

    name: str
    rows: int
    labels: Mapping[str, int]
    """Rows of each label by name; of a regression nothing."""
    numbers: Mapping[str, float]
    """Least, mean and greatest target of a regression; else nothing."""
    lengths: Lengths | None
    """``None`` while the tokenizer is not at hand."""
    example: ExamplePreview


class TaskTokenizer:
    """A backbone's tokenizer, as it reads one task.

    Args:
        folder: Folder of the backbone.
        task: The task.
        general: ``data.max_length``.

    Raises:
        BackboneError: The tokenizer cannot be read.
    """

    def __init__(self, folder: Path, task: TaskRows, general: int) -> None:
        self.max_length = row_length(general, task.facts.max_length)
        """Most tokens of a sequence."""
        self.longest_input = input_format(folder).longest
        """Most tokens the backbone takes; ``None``: its config does not say."""
        self._cutting = load_tokenizer(folder, self.max_length, truncate=task.definition.truncate)
        self._whole: Tokenizer = load_tokenizer(folder, self.max_length)
        self._whole.no_truncation()

    def lengths(self, sequences: Iterable[tuple[str, ...]]) -> NDArray[np.int64]:
        """Return the tokens of sequences before they are cut, (M,)."""
        import numpy as np

        parts = [
            np.asarray([len(one) for one in self._whole.encode_batch_fast(chunk)], dtype=np.int64)
            for chunk in _chunks(sequences)
        ]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)

    def sequence(self, texts: tuple[str, ...]) -> SequencePreview:
        """Return a sequence with its tokens, and where it is cut."""
        pair = texts[1] if len(texts) > 1 else None
        whole, kept = self._whole.encode(texts[0], pair), self._cutting.encode(texts[0], pair)
        ends = dict.fromkeys(range(len(texts)), 0)
        for (_, end), part in zip(kept.offsets, kept.sequence_ids, strict=True):
            if part is not None:
                ends[part] = max(ends[part], end)
        cut = len(whole) - len(kept)
        shown = [
            TextPreview(text, ends[part] if _tokens_of(whole, part) > _tokens_of(kept, part) else len(text))
            for part, text in enumerate(texts)
        ]
        return SequencePreview(tuple(shown), tuple(kept.tokens), cut)


def split_preview(
    task: TaskRows, name: str, tokenizer: TaskTokenizer | None, *, row: int = 1
) -> SplitPreview:
    """Return what a split holds, with one of its rows.

    Args:
        task: The task.
        name: ``"train"``, ``"validation"`` or ``"test"``.
        tokenizer: The tokenizer; ``None``: it is not at hand.
        row: Number of the example in the split, from 1.

    Raises:
        UsageError: The split has no such row.
    """
    split = task.splits[name]
    if not 1 <= row <= len(split):
        raise UsageError(f"{task.facts.task}: {name} has {len(split)} rows, so no row {row}")
    return SplitPreview(
        name=name,
        rows=len(split),
        labels=label_counts(task, split),
        numbers=_numbers(task, split),
        lengths=None if tokenizer is None else _lengths(split, tokenizer),
        example=_example(task, split, row - 1, tokenizer),
    )


def label_counts(task: TaskRows, split: SplitRows) -> dict[str, int]:
    """Return how many rows have each label, those that none has included."""
    import numpy as np

    kind, names = task.definition.problem_type, task.definition.labels
    if kind is ProblemType.REGRESSION:
        return {}
    if kind is ProblemType.MULTI_LABEL:
        counts = split.labels.sum(axis=0).astype(int).tolist()
    else:
        counts = np.bincount(split.labels, minlength=len(names)).tolist()
    return dict(zip(names, counts, strict=True))


def _numbers(task: TaskRows, split: SplitRows) -> dict[str, float]:
    if task.definition.problem_type is not ProblemType.REGRESSION:
        return {}
    labels = split.labels
    return {"least": float(labels.min()), "mean": float(labels.mean()), "greatest": float(labels.max())}


def _lengths(split: SplitRows, tokenizer: TaskTokenizer) -> Lengths:
    import numpy as np

    measured = split.indices[np.linspace(0, len(split) - 1, min(len(split), MOST_MEASURED)).astype(np.int64)]
    lengths = (
        tokenizer.lengths(split.rows.sequences(measured.tolist())).reshape(len(measured), -1).max(axis=1)
    )
    median, p90, p99 = (int(value) for value in np.percentile(lengths, [50, 90, 99], method="higher"))
    return Lengths(
        len(measured), median, p90, p99, int(lengths.max()), int((lengths > tokenizer.max_length).sum())
    )


def _example(task: TaskRows, split: SplitRows, row: int, tokenizer: TaskTokenizer | None) -> ExamplePreview:
    sequences = split.example(row)
    return ExamplePreview(
        split=split.name,
        row=row + 1,
        file_row=split.number(row),
        label=label_name(task.definition, split.labels[row]),
        sequences=tuple(
            _plain(texts) if tokenizer is None else tokenizer.sequence(texts) for texts in sequences
        ),
    )


def _plain(texts: Sequence[str]) -> SequencePreview:
    return SequencePreview(tuple(TextPreview(text, len(text)) for text in texts), ())


def _tokens_of(encoding: Any, part: int) -> int:
    return sum(one == part for one in encoding.sequence_ids)


def _chunks(sequences: Iterable[tuple[str, ...]]) -> Iterator[list[Any]]:
    chunk: list[Any] = []
    for texts in sequences:
        chunk.append(texts[0] if len(texts) == 1 else texts)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
