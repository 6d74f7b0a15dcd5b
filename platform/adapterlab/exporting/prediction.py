"""``platform predict``: classes, labels, a choice or a number for texts, from the catalog or a folder."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adapterlab.catalog.store import Catalog
from adapterlab.errors import BackboneError, DataError, NotFoundError
from adapterlab.exporting import backbone_references as backbones
from adapterlab.exporting import selftest
from adapterlab.exporting.adapter_folder import FACTS, read_json
from adapterlab.exporting.answers import Answers, answers_of_labels, sequences_of
from adapterlab.exporting.runnable_folder import open_folder
from adapterlab.exporting.stored_models import need_source, open_trained
from adapterlab.given_files import is_folder, shortened
from adapterlab.records import BackboneFacts, ProblemType
from adapterlab.train import finite
from adapterlab.train import predict as engine
from adapterlab.train.adaptation import Seat
from adapterlab.train.layers import Backbone

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CHUNK = 256
"""Rows that are read, answered and forgotten together: any number of them fits into memory."""
_KEY = re.compile(r"[0-9a-f]{4,64}")


@dataclass(frozen=True)
class Prediction:
    """What a head says of one row."""

    texts: tuple[str, ...]
    """Its one or two texts; for multiple choice what is common, then each choice."""
    label: str | None
    """Name of the most probable class or choice; ``None`` for a regression and for label sets."""
    value: float | None
    """The number; ``None`` but for a regression."""
    probabilities: Mapping[str, float]
    """By name; empty for a regression."""
    labels: tuple[str, ...] | None = None
    """Of a multi-label task the labels more probable than not; else ``None``."""

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON-able mapping."""
        answer: dict[str, Any] = {"texts": list(self.texts)}
        if self.labels is not None:
            return {**answer, "labels": list(self.labels), "probabilities": dict(self.probabilities)}
        if self.label is None:
            return {**answer, "value": self.value}
        return {**answer, "label": self.label, "probabilities": dict(self.probabilities)}


NumberedRow = tuple[str, Mapping[str, Any]]
"""A row, and what to call it in a message."""


@dataclass(frozen=True)
class AnsweredRows:
    """Some rows that follow one another, with the head's outputs."""

    rows: tuple[NumberedRow, ...]
    sequences: tuple[tuple[tuple[str, ...], ...], ...]
    """Of each row: one sequence, or one a choice."""
    logits: NDArray[np.float64]
    """(M, C) for the M sequences, in order; one a choice for multiple choice, (M, 1)."""
    predictions: tuple[Prediction, ...]
    """One a row."""


@dataclass(frozen=True)
class AnsweringModel:
    """Something that answers, on its backbone; :func:`open_model` makes one."""

    name: str
    backbone: Backbone
    folder: Path
    """The backbone's."""
    seat: Seat
    answers: Answers
    max_length: int | None

    def answer(self, rows: Iterable[NumberedRow]) -> Iterator[AnsweredRows]:
        """Answer rows as they come, a few hundred at a time.

        Args:
            rows: Each with the task's own columns; or ``text`` and perhaps ``text_pair``; or, for multiple
                choice, ``text`` and ``choices``.

        Raises:
            DataError: A row is malformed, or has no finite answer.
        """
        stream = iter(rows)
        while chunk := tuple(itertools.islice(stream, _CHUNK)):
            asked = tuple(sequences_of(row, self.answers, where) for where, row in chunk)
            sequences = [sequence for one in asked for sequence in one]
            examples = selftest.encoded(sequences, self.folder, self.max_length)
            logits = engine.outputs(self.backbone, self.seat, examples)
            _check_finite(logits, asked, self.name)
            choosing = self.answers.problem_type is ProblemType.MULTIPLE_CHOICE
            found = (
                _chosen(asked, logits, self.answers)
                if choosing
                else _answered(sequences, logits, self.answers)
            )
            yield AnsweredRows(chunk, asked, logits, tuple(found))


def open_model(
    what: str | Path,
    *,
    backbone: str | None,
    open_catalog: Callable[[], Catalog],
    cache: Path,
) -> AnsweringModel:
    """Load a catalogued adapter or transfer, or an exported folder, with its head and its backbone.

    Args:
        what: A key of the catalog (or a unique beginning), or a folder.
        backbone: Where the backbone is; ``None``: where the catalog or the folder says.
        open_catalog: Opens the catalog.
        cache: Folder of this machine's caches.

    Raises:
        NotFoundError: There is no such thing, or no backbone or head for it.
        DataError: The folder is malformed.
        BackboneError: The backbone is not the one it was trained on.
    """
    folder = Path(os.path.expanduser(what))  # noqa: PTH111
    if what and is_folder(folder):
        return _from_folder(folder, backbone, cache)
    if isinstance(what, str) and _KEY.fullmatch(what):
        return _from_catalog(what, backbone, open_catalog, cache)
    raise NotFoundError(
        f"no folder {shortened(str(what))!r}, and no key of the catalog",
        remedy="`platform catalog list` shows the keys.",
    )


def numbered(rows: Iterable[Mapping[str, Any]]) -> Iterator[NumberedRow]:
    """Yield rows with their numbers, from 1, for messages."""
    for number, row in enumerate(rows, start=1):
        yield f"row {number}", row


def _check_finite(
    logits: NDArray[np.float64], asked: Sequence[tuple[tuple[str, ...], ...]], what: str
) -> None:
    """Check that every row has an answer: finite weights can still overflow together.

    Raises:
        DataError: One has none.
    """
    rows = [row for row, sequences in enumerate(asked) for _ in sequences]
    bad = sorted({rows[sequence] for sequence in finite.rows_without_answer(logits)})
    if bad:
        raise DataError(f"{what}: {finite.told(bad)}", remedy=finite.OVERFLOW)


def _chosen(
    asked: Sequence[tuple[tuple[str, ...], ...]], logits: NDArray[np.float64], answers: Answers
) -> list[Prediction]:
    """Return the most probable choice of each row; rows may differ in how many they have.

    Args:
        asked: Each row's sequences, one a choice.
        logits: One of each sequence, (M, 1).
        answers: The choices' names.
    """
    found, start = [], 0
    for sequences in asked:
        end = start + len(sequences)
        chances = engine.probabilities(logits[start:end].T, answers.problem_type)  # (K, 1) -> (1, K)
        start = end
        assert chances is not None
        names = answers.labels or tuple(f"choice {number}" for number in range(1, len(sequences) + 1))
        texts = (*sequences[0][:-1], *(sequence[-1] for sequence in sequences))
        shares = dict(zip(names, map(float, chances[0]), strict=True))
        found.append(Prediction(texts, names[int(chances[0].argmax())], None, shares))
    return found


def _answered(
    texts: Sequence[tuple[str, ...]], logits: NDArray[np.float64], answers: Answers
) -> list[Prediction]:
    chances = engine.probabilities(logits, answers.problem_type)
    if chances is None:
        return [Prediction(text, None, float(row[0]), {}) for text, row in zip(texts, logits, strict=True)]
    names = answers.labels
    if answers.problem_type is ProblemType.MULTI_LABEL:
        return [
            Prediction(text, None, None, dict(zip(names, map(float, row), strict=True)), _likely(names, row))
            for text, row in zip(texts, chances, strict=True)
        ]
    return [
        Prediction(text, names[int(row.argmax())], None, dict(zip(names, map(float, row), strict=True)))
        for text, row in zip(texts, chances, strict=True)
    ]


def _likely(names: tuple[str, ...], chances: NDArray[np.float64]) -> tuple[str, ...]:
    return tuple(name for name, chance in zip(names, chances, strict=True) if chance > 0.5)


def _from_catalog(
    key: str, backbone: str | None, open_catalog: Callable[[], Catalog], cache: Path
) -> AnsweringModel:
    with open_catalog() as catalog:
        trained = open_trained(catalog, key)
    if not trained.head:
        raise NotFoundError(f"{trained.kind} {trained.record.key[:12]} has no head, so it cannot answer")
    facts = backbones.locate(need_source(trained, backbone), cache=cache)
    name = f"{trained.kind} {trained.record.key[:12]}"
    backbones.check_digest(facts, trained.record.backbone_digest, name)
    loaded = backbones.load(facts)
    return AnsweringModel(
        name, loaded, _place(facts), trained.seat(loaded), trained.answers, trained.max_length
    )


def _from_folder(folder: Path, backbone: str | None, cache: Path) -> AnsweringModel:
    read = open_folder(folder)
    if not read.outputs:
        raise NotFoundError(
            f"{folder}: no head, so it cannot answer", remedy="compose() runs an adapter without."
        )
    told: Mapping[str, Any] = (read.facts or {}).get("backbone", {})
    source = backbone or told.get("source")
    if source is None:
        raise NotFoundError(
            f"{folder} does not say where its backbone is",
            remedy="Name it: --backbone FOLDER, --backbone package:NAME or --backbone hub:OWNER/NAME.",
        )
    facts = backbones.locate(source, cache=cache)
    if told:
        backbones.check_digest(facts, str(told["digest"]), str(folder))
    if facts.architecture not in read.architectures:
        raise BackboneError(
            f"{folder} was made for a {read.architectures[0]} model, not {facts.architecture}"
        )
    loaded = backbones.load(facts)
    seat = read.seat(loaded, _place(facts))
    outputs = read.outputs
    stated = (read.facts or {}).get("answers")
    answers = (
        answers_of_labels(read.labels, outputs, read.problem_type)
        if stated is None
        else Answers.from_json(stated, where=str(folder / FACTS), outputs=outputs)
    )
    _check_self_test(folder, loaded, seat)
    return AnsweringModel(
        str(folder), loaded, _place(facts), seat, answers, _max_length(read.facts or {}, folder)
    )


def _max_length(told: Mapping[str, Any], folder: Path) -> int | None:
    length = told.get("max_length")
    if length is not None and (type(length) is not int or not 1 <= length < 1 << 31):
        raise DataError(f"{folder / FACTS}: max_length is {length!r}, expected a positive whole number")
    return length


def _check_self_test(folder: Path, backbone: Backbone, seat: Seat) -> None:
    """Run the folder's own check, if it has one: a wrong backbone or damaged file never answers."""
    path = folder / selftest.FILE
    if path.is_file():
        examples, wanted = selftest.rows_of(read_json(path), str(path))
        try:
            got = engine.outputs(backbone, seat, examples)
        except (
            DataError,
            IndexError,
            RuntimeError,
        ) as error:  # the last two of torch, by a family that checks nothing
            raise DataError(
                f"{path}: its token ids are not of this backbone ({error.args[0]})",
                remedy="Name the backbone it was made for, or export it again.",
            ) from None
        if got.shape != wanted.shape:
            raise DataError(f"{path}: logits of shape {wanted.shape}, but the head gives {got.shape}")
        selftest.check(got, wanted, str(folder))


def _place(facts: BackboneFacts) -> Path:
    return Path(str(facts.folder))
