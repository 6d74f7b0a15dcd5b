"""``platform export``: one catalogued adapter or transfer as a folder that AdapterHub loads.

Everything is written into a draft beside the target, read back from there, run on the backbone and
compared with what was trained; only then the draft gets the target's name.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterlab.catalog.store import Catalog
from adapterlab.errors import AdapterlabError, ConflictError, UnavailableError, UsageError
from adapterlab.export import adapterhub as hub
from adapterlab.export import backbones, selftest
from adapterlab.export.card import CardFacts, card
from adapterlab.export.catalogued import Trained, need_source, open_trained, placed
from adapterlab.export.folder import FACTS, FACTS_FORMAT, read_adapter, read_head
from adapterlab.records import BackboneFacts, Examples
from adapterlab.registry.entry_points import adapter_method
from adapterlab.train import foreign, predict, weights
from adapterlab.train.adaptation import OwnAdapter
from adapterlab.train.fold import Folded
from adapterlab.train.protocols import Backbone, Tensors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COEFFICIENTS = "coefficients.safetensors"
UNKNOWN_LICENCE = "unknown"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_HEAD = frozenset({"head.dense.weight", "head.dense.bias", "head.out.weight", "head.out.bias"})


@dataclass(frozen=True)
class Exported:
    """What an export wrote."""

    folder: str
    name: str
    """The adapter's name inside AdapterHub."""
    key: str
    kind: str
    """``"adapter"`` or ``"transfer"``."""
    task: str
    widths: tuple[int, ...]
    """Bottleneck width of each layer."""
    parameters: int
    """Of the adapter, head not counted."""
    sources: tuple[str, ...]
    """Tasks of the source adapters, in coefficient order."""
    dropped: tuple[str, ...]
    """Tasks of sources that are in no layer."""
    largest_dropped: float
    """Greatest absolute coefficient left out."""
    difference: float
    """Greatest difference of a self-test logit to what was trained, relative to the greatest one."""
    backbone: str | None
    """Where the folder says its backbone is; ``None`` for a local folder, which must be named anew."""
    files: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON-able mapping."""
        return asdict(self)


@dataclass(frozen=True)
class Wishes:
    """What a person may choose of an export."""

    tolerance: float = 0.0
    name: str | None = None
    licence: str = UNKNOWN_LICENCE
    base_model: str | None = None
    pickles: bool = False
    """Also write ``.bin`` files, for ``load_adapter`` without ``use_safetensors=True``."""


def export(
    catalog: Catalog, key: str, to: Path, *, backbone: str | None, cache: Path, wishes: Wishes
) -> Exported:
    """Write an adapter or a transfer as an AdapterHub folder.

    Args:
        catalog: The open catalog.
        key: Key of an adapter or a transfer, or a unique beginning of it.
        to: The folder to make; may exist if it is empty.
        backbone: Where the backbone is; ``None``: where it was when it was trained.
        cache: Folder of this machine's caches.
        wishes: What was chosen.

    Raises:
        ConflictError: The folder exists and is not empty.
        NotFoundError: There is no such record, or its backbone is not at hand.
        BackboneError: The backbone is another one.
        UsageError: It cannot be exported, or a name cannot be used.
        TrainingError: What was written does not compute what was trained; nothing is left behind.
        UnavailableError: The folder cannot be written.
    """
    target = _free_target(to)
    trained = open_trained(catalog, key)
    name = _adapter_name(trained, wishes.name)
    if trained.method != hub.METHOD:
        raise UsageError(
            f"{trained.record.key[:12]} is made of {trained.method} adapters; only {hub.METHOD} can be exported"
        )
    facts = backbones.locate(need_source(trained, backbone), cache=cache)
    backbones.check_digest(facts, trained.record.backbone_digest, f"{trained.kind} {trained.record.key[:12]}")
    loaded = backbones.load(facts)
    folded = trained.folded(loaded.shape, wishes.tolerance)
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.draft")
    try:
        draft.parent.mkdir(parents=True, exist_ok=True)
        draft.mkdir()
        exported = _Draft(draft, trained, facts, loaded, folded, name, wishes).write(target)
        _settle(draft, target)
    except AdapterlabError:
        raise  # some of ours are OSErrors as well
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST) and target.is_dir():
            raise _taken(target) from error
        raise UnavailableError(
            f"{target}: cannot be written ({error.strerror or error})",
            remedy="Check the disk and permissions.",
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return exported


@dataclass(frozen=True)
class _Draft:
    """The files of one export, before they have their place."""

    folder: Path
    trained: Trained
    backbone: BackboneFacts
    loaded: Backbone
    folded: Folded
    name: str
    wishes: Wishes

    def write(self, target: Path) -> Exported:
        has_head = frozenset(self.trained.head) == _HEAD
        self._adapter()
        if has_head:
            self._head()
        self._coefficients()
        self._json(FACTS, self._facts())
        difference = self._self_test() if has_head else 0.0
        (self.folder / "README.md").write_text(
            card(self.trained, self._card_facts(difference, has_head=has_head)), encoding="utf-8"
        )
        return Exported(
            folder=str(target),
            name=self.name,
            key=self.trained.record.key,
            kind=self.trained.kind,
            task=self.trained.record.task,
            widths=self._widths(),
            parameters=sum(one.numel() for one in self.folded.tensors.values()),
            sources=tuple(source.task for source in self.trained.sources),
            dropped=self._dropped(),
            largest_dropped=self.folded.largest_dropped,
            difference=difference,
            backbone=self._backbone_source,
            files=tuple(sorted(path.name for path in self.folder.iterdir())),
        )

    def _adapter(self) -> None:
        tensors = hub.adapter_tensors(self.folded.tensors, self.name, self._architecture)
        self._tensors(hub.ADAPTER_WEIGHTS, tensors)
        if self.wishes.pickles:
            (self.folder / hub.ADAPTER_PICKLE).write_bytes(foreign.pickled(tensors))
        config = hub.adapter_config(
            self.name,
            architecture=self._architecture,
            model_name=self._base_model,
            hidden_size=self.loaded.shape.hidden_size,
            widths=self._widths(),
            non_linearity=self.trained.method_settings.non_linearity,
        )
        self._json(hub.ADAPTER_CONFIG, config)

    def _head(self) -> None:
        tensors = hub.head_tensors(self.trained.head, self.name)
        self._tensors(hub.HEAD_WEIGHTS, tensors)
        if self.wishes.pickles:
            (self.folder / hub.HEAD_PICKLE).write_bytes(foreign.pickled(tensors))
        config = hub.head_config(
            self.name,
            architecture=self._architecture,
            model_name=self._base_model,
            hidden_size=self.loaded.shape.hidden_size,
            outputs=len(self.trained.head["head.out.bias"]),
            labels=self.trained.answers.labels,
        )
        self._json(hub.HEAD_CONFIG, config)

    def _coefficients(self) -> None:
        omega = self.trained.coefficients()
        if omega is not None:
            self._tensors(COEFFICIENTS, {"coefficients": omega})

    def _self_test(self) -> float:
        """Read the draft back, run it, and compare it with what was trained; return the difference."""
        columns = self.trained.answers.columns
        texts = selftest.texts_for(len(columns) or 2)
        examples = selftest.encoded(texts, Path(str(self.backbone.folder)), self.trained.max_length)
        back, head = read_adapter(self.folder), read_head(self.folder)
        assert head is not None
        wanted = predict.outputs(self.loaded, self.trained.seat(self.loaded), examples)
        got = self._outputs({**back.tensors, **head.tensors}, examples)
        document = selftest.document(texts, examples, got)
        (self.folder / selftest.FILE).write_text(selftest.text_of(document), encoding="utf-8")
        what = f"{self.trained.kind} {self.trained.record.key[:12]}"
        if self.wishes.tolerance == 0:
            return selftest.check(got, wanted, what)
        # What was left out on request may change logits; folding itself may not.
        exact = self.trained.folded(self.loaded.shape).tensors
        selftest.check(self._outputs({**exact, **head.tensors}, examples), wanted, what)
        return selftest.difference(got, wanted)

    def _outputs(self, tensors: Tensors, examples: Examples) -> NDArray[np.float64]:
        method = OwnAdapter(adapter_method(self.trained.method).layer(), self.trained.method_settings)
        return predict.outputs(self.loaded, placed(method, tensors, self.loaded), examples)

    def _facts(self) -> dict[str, Any]:
        trained, record = self.trained, self.trained.record
        return {
            "format": FACTS_FORMAT,
            "adapterlab": version("adapterlab"),
            "kind": trained.kind,
            "key": record.key,
            "seed": record.seed,
            "settings": dict(record.settings),
            "answers": trained.answers.to_json(),
            "backbone": {
                "digest": record.backbone_digest,
                "architecture": self._architecture,
                "layers": self.loaded.shape.layers,
                "hidden_size": self.loaded.shape.hidden_size,
                "source": self._backbone_source,
            },
            "max_length": trained.max_length,
            "combiner": trained.combiner,
            "sources": [{"key": source.key, "task": source.task} for source in trained.sources],
            "tolerance": self.wishes.tolerance,
            "kept": [list(places) for places in self.folded.kept],
            "largest_dropped": self.folded.largest_dropped,
        }

    def _card_facts(self, difference: float, *, has_head: bool) -> CardFacts:
        return CardFacts(
            name=self.name,
            base_model=self._base_model,
            architecture=self._architecture,
            licence=self.wishes.licence,
            widths=self._widths(),
            parameters=sum(one.numel() for one in self.folded.tensors.values()),
            tolerance=self.wishes.tolerance,
            largest_dropped=self.folded.largest_dropped,
            left_out=self._dropped(),
            folding_difference=difference,
            has_head=has_head,
        )

    @property
    def _architecture(self) -> str:
        return str(self.backbone.architecture)

    @property
    def _backbone_source(self) -> str | None:
        """Where anyone finds the backbone; a folder's path means nothing elsewhere."""
        return None if self.backbone.source.startswith("folder:") else self.backbone.source

    @property
    def _base_model(self) -> str:
        return self.wishes.base_model or backbones.short_name(self.backbone.source)

    def _widths(self) -> tuple[int, ...]:
        layers = range(self.loaded.shape.layers)
        return tuple(int(self.folded.tensors[f"layer.{layer}.down.bias"].shape[0]) for layer in layers)

    def _dropped(self) -> tuple[str, ...]:
        return tuple(self.trained.sources[place].task for place in self.folded.dropped)

    def _tensors(self, file: str, tensors: Tensors) -> None:
        about = {"name": self.name, "key": self.trained.record.key}
        (self.folder / file).write_bytes(weights.to_bytes(tensors, about))

    def _json(self, file: str, value: Mapping[str, Any]) -> None:
        text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
        (self.folder / file).write_text(text + "\n", encoding="utf-8")


def _free_target(to: Path) -> Path:
    target = to.expanduser().resolve()
    if target.is_dir():
        if any(target.iterdir()):
            raise _taken(target)
    elif target.exists():
        raise ConflictError(f"{target} is a file", remedy="Name a folder that does not exist yet.")
    return target


def _taken(target: Path) -> ConflictError:
    return ConflictError(
        f"{target} exists and is not empty; nothing was written",
        remedy="Name another folder, or remove this one.",
    )


def _settle(draft: Path, target: Path) -> None:
    """Give the finished draft its name, so that it survives a power cut and is never seen half."""
    for path in sorted(draft.iterdir()):
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
    _sync(draft)
    draft.rename(target)
    _sync(target.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some file systems cannot
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _adapter_name(trained: Trained, wanted: str | None) -> str:
    record = trained.record
    parts = [record.task.rsplit("/", 1)[-1], trained.combiner or trained.method, record.key[:8]]
    usual = slug(*parts)
    if wanted is None:
        return usual
    if not _NAME.fullmatch(wanted) or wanted in foreign.RESERVED_NAMES:
        raise UsageError(
            f"{wanted!r} cannot be an adapter's name: letters, digits, - and _ only, and none of torch's own words",
            remedy=f"Leave --name out for {usual!r}.",
        )
    return wanted


def slug(*parts: str) -> str:
    """Return parts joined by hyphens, safe as a name in files, in modules and on the hub."""
    cleaned: Sequence[str] = [re.sub(r"[^A-Za-z0-9_]+", "-", part).strip("-_") for part in parts]
    return "-".join(part for part in cleaned if part)[:100]
