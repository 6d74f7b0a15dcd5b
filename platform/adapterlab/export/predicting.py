"""``platform predict``: class probabilities or a number for texts, from the catalog or from a folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from adapterlab.catalog.store import Catalog
from adapterlab.errors import BackboneError, DataError, NotFoundError
from adapterlab.export import adapterhub as hub
from adapterlab.export import adapterhub_read as reading
from adapterlab.export import backbones, selftest
from adapterlab.export.answers import Answers, answers_of_labels, pair_of
from adapterlab.export.catalogued import need_source, open_trained, placed
from adapterlab.export.folder import FACTS, FolderAdapter, read_adapter, read_head, read_json
from adapterlab.records import BackboneFacts
from adapterlab.registry.entry_points import adapter_method
from adapterlab.train import predict as engine
from adapterlab.train.adaptation import OwnAdapter, Seat
from adapterlab.train.protocols import Backbone

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_KEY = re.compile(r"[0-9a-f]{4,64}")


@dataclass(frozen=True)
class Prediction:
    """What a head says of one row."""

    texts: tuple[str, ...]
    label: str | None
    """Name of the most probable class; ``None`` for a regression."""
    value: float | None
    """The number; ``None`` for classes."""
    probabilities: Mapping[str, float]
    """By class name; empty for a regression."""

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON-able mapping."""
        answer: dict[str, Any] = {"texts": list(self.texts)}
        if self.label is None:
            return {**answer, "value": self.value}
        return {**answer, "label": self.label, "probabilities": dict(self.probabilities)}


@dataclass(frozen=True)
class _Model:
    """Something that answers, on its backbone."""

    name: str
    backbone: Backbone
    folder: Path
    """The backbone's."""
    seat: Seat
    answers: Answers
    max_length: int | None


def predict(
    what: str | Path,
    rows: Sequence[Mapping[str, Any]],
    *,
    backbone: str | None,
    open_catalog: Callable[[], Catalog],
    cache: Path,
) -> list[Prediction]:
    """Return the answers of a catalogued adapter or transfer, or of an exported folder.

    Args:
        what: A key of the catalog (or a unique beginning), or a folder.
        rows: Each with the task's own columns, or ``text`` and perhaps ``text_pair``.
        backbone: Where the backbone is; ``None``: where the catalog or the folder says.
        open_catalog: Opens the catalog.
        cache: Folder of this machine's caches.

    Raises:
        NotFoundError: There is no such thing, or no backbone for it.
        DataError: A row is malformed, or the folder is.
        BackboneError: The backbone is not the one it was trained on.
    """
    if not rows:
        return []
    folder = Path(what).expanduser()
    if what and folder.is_dir():
        model = _from_folder(folder, backbone, cache)
    elif isinstance(what, str) and _KEY.fullmatch(what):
        model = _from_catalog(what, backbone, open_catalog, cache)
    else:
        raise NotFoundError(
            f"no folder {str(what)!r}, and no key of the catalog",
            remedy="`platform catalog list` shows the keys.",
        )
    texts = [pair_of(row, model.answers.columns, f"row {number}") for number, row in enumerate(rows, start=1)]
    examples = selftest.encoded(texts, model.folder, model.max_length)
    return _answered(texts, engine.outputs(model.backbone, model.seat, examples), model.answers)


def _answered(
    texts: Sequence[tuple[str, ...]], logits: NDArray[np.float64], answers: Answers
) -> list[Prediction]:
    chances = engine.probabilities(logits, answers.problem_type)
    if chances is None:
        return [Prediction(text, None, float(row[0]), {}) for text, row in zip(texts, logits, strict=True)]
    names = answers.labels
    return [
        Prediction(text, names[int(row.argmax())], None, dict(zip(names, map(float, row), strict=True)))
        for text, row in zip(texts, chances, strict=True)
    ]


def _from_catalog(key: str, backbone: str | None, open_catalog: Callable[[], Catalog], cache: Path) -> _Model:
    with open_catalog() as catalog:
        trained = open_trained(catalog, key)
    if not trained.head:
        raise NotFoundError(f"{trained.kind} {trained.record.key[:12]} has no head, so it cannot answer")
    facts = backbones.locate(need_source(trained, backbone), cache=cache)
    name = f"{trained.kind} {trained.record.key[:12]}"
    backbones.check_digest(facts, trained.record.backbone_digest, name)
    loaded = backbones.load(facts)
    return _Model(name, loaded, _place(facts), trained.seat(loaded), trained.answers, trained.max_length)


def _from_folder(folder: Path, backbone: str | None, cache: Path) -> _Model:
    read = read_adapter(folder)
    head = read_head(folder)
    if head is None:
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
    if read.backbone_digest is not None:
        backbones.check_digest(facts, read.backbone_digest, str(folder))
    if facts.architecture != read.described.architecture:
        raise BackboneError(
            f"{folder} was made for a {read.described.architecture} model, not {facts.architecture}"
        )
    loaded = backbones.load(facts)
    reading.check_tensors(read.tensors, loaded.shape.layers, loaded.shape.hidden_size, str(folder))
    outputs = len(head.tensors["head.out.bias"])
    stated = (read.facts or {}).get("answers")
    answers = (
        answers_of_labels(head.labels, outputs)
        if stated is None
        else Answers.from_json(stated, where=str(folder / FACTS), outputs=outputs)
    )
    seat = placed(_method(read), {**read.tensors, **head.tensors}, loaded)
    _check_self_test(folder, loaded, seat)
    length = (read.facts or {}).get("max_length")
    return _Model(
        str(folder), loaded, _place(facts), seat, answers, length if isinstance(length, int) else None
    )


def _check_self_test(folder: Path, backbone: Backbone, seat: Seat) -> None:
    """Run the folder's own check, if it has one: a wrong backbone or damaged file never answers."""
    path = folder / selftest.FILE
    if path.is_file():
        examples, wanted = selftest.rows_of(read_json(path), str(path))
        selftest.check(engine.outputs(backbone, seat, examples), wanted, str(folder))


def _method(read: FolderAdapter) -> OwnAdapter:
    method = adapter_method(hub.METHOD)
    try:
        settings = method.settings.model_validate({"non_linearity": read.described.non_linearity})
    except ValidationError as error:
        raise DataError(f"{read.folder}: non_linearity: {error.errors()[0]['msg']}") from None
    return OwnAdapter(method.layer(), settings)


def _place(facts: BackboneFacts) -> Path:
    return Path(str(facts.folder))
