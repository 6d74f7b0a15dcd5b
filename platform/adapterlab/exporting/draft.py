"""What every export has in common, whatever its format: head, facts, self-test and card, in a draft folder."""

from __future__ import annotations

import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from adapterlab.exporting import adapterhub as hub
from adapterlab.exporting import backbone_references as backbones
from adapterlab.exporting import selftest
from adapterlab.exporting.adapter_folder import FACTS, FACTS_FORMAT
from adapterlab.exporting.model_card import CardFacts, card
from adapterlab.exporting.stored_models import Trained
from adapterlab.provenance import provenance_of
from adapterlab.records import DEFAULT_HEAD, BackboneFacts, ProblemType
from adapterlab.train import predict, weights
from adapterlab.train import tensor_files as foreign
from adapterlab.train.adaptation import Seat
from adapterlab.train.layers import Backbone, Tensors

COEFFICIENTS = "coefficients.safetensors"
UNKNOWN_LICENCE = "unknown"
_HEAD = frozenset({"head.dense.weight", "head.dense.bias", "head.out.weight", "head.out.bias"})


@dataclass(frozen=True)
class Exported:
    """What an export wrote."""

    folder: str
    name: str
    """The adapter's name inside AdapterHub; of a fusion, its head's."""
    key: str
    kind: str
    """``"adapter"`` or ``"transfer"``."""
    task: str
    widths: tuple[int, ...]
    """Bottleneck width of each layer; rank at each point for LoRA; empty for a fusion."""
    parameters: int
    """Of all that is written, head not counted."""
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
    """Below the folder."""
    format: str = "adapterhub"
    """``"adapterhub"``, ``"adapterhub-fusion"``, ``"adapterhub-ia3"``, ``"peft"`` or ``"peft-ia3"``."""

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


@dataclass(frozen=True)
class Origin:
    """The backbone an export is for."""

    facts: BackboneFacts
    loaded: Backbone

    @property
    def architecture(self) -> str:
        """``model_type`` of its config."""
        return str(self.facts.architecture)

    @property
    def source(self) -> str | None:
        """Where anyone finds it; a folder's path means nothing elsewhere."""
        return None if self.facts.source.startswith("folder:") else self.facts.source


@dataclass(frozen=True)
class Draft(ABC):
    """The files of one export, before they have their place."""

    folder: Path
    trained: Trained
    origin: Origin
    name: str
    wishes: Wishes

    format: ClassVar[str]

    @abstractmethod
    def write_adapters(self) -> None:
        """Write what the format has instead of the catalog's tensors."""

    @abstractmethod
    def write_head(self) -> None:
        """Write the head, as the format has it."""

    @abstractmethod
    def read_back(self) -> Seat:
        """Read what was written, and return how to run it."""

    def exact_seat(self) -> Seat | None:
        """Return how to run it with nothing left out; ``None`` where nothing was left out."""
        return None

    @property
    @abstractmethod
    def parameters(self) -> int:
        """Parameters of all that is written, head not counted."""

    @property
    def widths(self) -> tuple[int, ...]:
        """Inner width by layer or point; empty where adapters stay apart."""
        return ()

    @property
    def kept(self) -> tuple[tuple[int, ...], ...]:
        """Places of the sources at each point."""
        return ()

    @property
    def dropped(self) -> tuple[str, ...]:
        """Tasks of sources that are nowhere."""
        return ()

    @property
    def largest_dropped(self) -> float:
        """Greatest absolute coefficient left out."""
        return 0.0

    def write(self, target: Path) -> Exported:
        """Write everything, check it, and say what it is; it will be moved to ``target``."""
        # No format of other libraries knows a head that reads anything but the first token.
        has_head = frozenset(self.trained.head) == _HEAD and self.trained.answers.head == DEFAULT_HEAD
        self.write_adapters()
        if has_head:
            self.write_head()
        self._coefficients()
        self.json(FACTS, self._facts())
        difference = self._self_test() if has_head else 0.0
        (self.folder / "README.md").write_text(
            card(self.trained, self._card_facts(difference, has_head=has_head)), encoding="utf-8"
        )
        files = (
            path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file()
        )
        return Exported(
            folder=str(target),
            name=self.name,
            key=self.trained.record.key,
            kind=self.trained.kind,
            task=self.trained.record.task,
            widths=self.widths,
            parameters=self.parameters,
            sources=tuple(source.label for source in self.trained.sources),
            dropped=self.dropped,
            largest_dropped=self.largest_dropped,
            difference=difference,
            backbone=self.origin.source,
            files=tuple(sorted(files)),
            format=self.format,
        )

    # -- for the formats ------------------------------------------------------------------------------

    @property
    def base_model(self) -> str:
        """What people call the backbone."""
        return self.wishes.base_model or backbones.short_name(self.origin.facts.source)

    @property
    def hidden_size(self) -> int:
        """Width of the residual stream."""
        return self.origin.loaded.shape.hidden_size

    def tensors(self, file: str, tensors: Tensors, *, pickle: str | None = None) -> None:
        """Write tensors, and as a pickle as well where that was asked for."""
        about = {"name": self.name, "key": self.trained.record.key}
        path = self.folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(weights.to_bytes(tensors, about))
        if pickle is not None and self.wishes.pickles:
            path.with_name(pickle).write_bytes(foreign.pickled(tensors))

    def json(self, file: str, value: Mapping[str, Any]) -> None:
        """Write a JSON file."""
        path = self.folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
        path.write_text(text + "\n", encoding="utf-8")

    def write_hub_head(self, below: str = "") -> None:
        """Write the head as AdapterHub has it.

        Args:
            below: Folder inside the export, with a slash; the export itself if empty.
        """
        self.tensors(
            f"{below}{hub.HEAD_WEIGHTS}",
            hub.head_tensors(self.trained.head, self.name),
            pickle=hub.HEAD_PICKLE,
        )
        outputs, labels = len(self.trained.head["head.out.bias"]), self.trained.answers.labels
        config = hub.head_config(
            self.name,
            architecture=self.origin.architecture,
            model_name=self.base_model,
            hidden_size=self.hidden_size,
            outputs=outputs,
            labels=labels if len(labels) == outputs else (),  # a choice's name is no output's
            multi_label=self.trained.answers.problem_type is ProblemType.MULTI_LABEL,
        )
        self.json(f"{below}{hub.HEAD_CONFIG}", config)

    # -- common files ---------------------------------------------------------------------------------

    def _coefficients(self) -> None:
        coefficients = self.trained.coefficients(self.origin.loaded.shape)
        if coefficients is not None:
            # Points may share one set of them, which safetensors does not write twice.
            own = {name: one.detach().clone() for name, one in coefficients.named().items()}
            self.tensors(COEFFICIENTS, own)

    def _self_test(self) -> float:
        """Read the draft back, run it, and compare it with what was trained; return the difference."""
        texts = selftest.texts_for(self.trained.answers.sequences)
        folder = Path(str(self.origin.facts.folder))
        examples = selftest.encoded(texts, folder, self.trained.max_length)
        backbone = self.origin.loaded
        wanted = predict.outputs(backbone, self.trained.seat(backbone), examples)
        got = predict.outputs(backbone, self.read_back(), examples)
        what = f"{self.trained.kind} {self.trained.record.key[:12]}"
        for logits in (wanted, got):
            selftest.check_finite(logits, what)
        document = selftest.document(texts, examples, got)
        (self.folder / selftest.FILE).write_text(selftest.text_of(document), encoding="utf-8")
        exact = self.exact_seat()
        if exact is None:
            return selftest.check(got, wanted, what)
        # What was left out on request may change logits; folding itself may not.
        selftest.check(predict.outputs(backbone, exact, examples), wanted, what)
        return selftest.difference(got, wanted)

    def _facts(self) -> dict[str, Any]:
        trained, record, exporter = self.trained, self.trained.record, provenance_of()
        return {
            "format": FACTS_FORMAT,
            "made_with": None if record.provenance is None else record.provenance.to_json(),
            "exported_with": {
                "adapterlab_version": exporter.adapterlab_version,
                "git_commit": exporter.git_commit,
            },
            "kind": trained.kind,
            "key": record.key,
            "seed": record.seed,
            "settings": dict(record.settings),
            "answers": trained.answers.to_json(),
            "metrics": {"validation": _finite(trained.validation), "test": _finite(record.test)},
            "backbone": {
                "digest": record.backbone_digest,
                "architecture": self.origin.architecture,
                "layers": self.origin.loaded.shape.layers,
                "hidden_size": self.hidden_size,
                "source": self.origin.source,
            },
            "max_length": trained.max_length,
            "combiner": trained.combiner,
            "sources": [source.to_json() for source in trained.sources],
            "tolerance": self.wishes.tolerance,
            "kept": [list(places) for places in self.kept],
            "largest_dropped": self.largest_dropped,
        }

    def _card_facts(self, difference: float, *, has_head: bool) -> CardFacts:
        coefficients = self.trained.coefficients(self.origin.loaded.shape)
        return CardFacts(
            name=self.name,
            base_model=self.base_model,
            architecture=self.origin.architecture,
            licence=self.wishes.licence,
            widths=self.widths,
            parameters=self.parameters,
            tolerance=self.wishes.tolerance,
            largest_dropped=self.largest_dropped,
            left_out=self.dropped,
            folding_difference=difference,
            has_head=has_head,
            exported_with=provenance_of(),
            format=self.format,
            mean_coefficients=()
            if coefficients is None
            else tuple(coefficients.means.double().mean(0).tolist()),
            merged=coefficients is not None
            and self.trained.combiner_layer(self.origin.loaded.shape).averages,
        )


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics that JSON has a number for."""
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def slug(*parts: str) -> str:
    """Return parts joined by hyphens, safe as a name in files, in modules and on the hub."""
    cleaned: Sequence[str] = [re.sub(r"[^A-Za-z0-9_]+", "-", part).strip("-_") for part in parts]
    return "-".join(part for part in cleaned if part)[:100]
