"""The classifier of ``AutoModelForSequenceClassification`` as our head, as PEFT and AdapterHub's static heads keep it.

It computes what ours does. Where it stands on the backbone's pooler, that is our head's first layer, and a folder
need not hold it: then it is the backbone's own.

Source: transformers 4.57, ``modeling_bert.py`` (``BertPooler``), ``modeling_roberta.py``
(``RobertaClassificationHead``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from adapterlab.errors import BackboneError, DataError
from adapterlab.exporting import adapterhub as hub
from adapterlab.train.layers import Tensors
from adapterlab.train.tensor_files import named_tensors

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Classifier:
    """A head under our names, with what of it is the backbone's."""

    tensors: Tensors
    borrowed: Mapping[str, str] = field(default_factory=dict)
    """Tensors that are the backbone's own: their names in its file, by ours."""
    added: Mapping[str, Tensor] = field(default_factory=dict)
    """What is added to some of these."""

    @property
    def outputs(self) -> int:
        """Its outputs; 0 where it is none."""
        return len(self.tensors["head.out.bias"]) if "head.out.bias" in self.tensors else 0

    def whole(self, model_files: Sequence[Path], what: str) -> Tensors:
        """Return all its tensors.

        Args:
            model_files: The backbone's safetensors files.
            what: Named in errors.

        Raises:
            BackboneError: The backbone has no such part.
        """
        if not self.borrowed:
            return self.tensors
        # A model that is saved without a head has its names bare.
        wanted = {ours: (name, name.partition(".")[2]) for ours, name in self.borrowed.items()}
        found = named_tensors(model_files, wanted)
        if missing := sorted(set(self.borrowed) - set(found)):
            raise BackboneError(
                f"{what}: its head stands on {self.borrowed[missing[0]].rpartition('.')[0]} of the backbone, and this "
                "backbone has none",
                remedy="Name the backbone it was trained on, with its pooler.",
            )
        for ours, addition in self.added.items():
            if found[ours].shape != addition.shape:
                raise BackboneError(f"{what}: what it adds to the backbone's pooler has another shape")
            found[ours] = found[ours] + addition
        return {**self.tensors, **found}


def read_classifier(found: Tensors, architecture: str, where: str) -> Classifier:
    """Return a classifier by transformers' names.

    Args:
        found: All its tensors, for example ``classifier.dense.weight``; the pooler's with the model's prefix.
        architecture: ``model_type`` of the backbone.
        where: Named in errors.

    Raises:
        DataError: Tensors are missing, or there are others.
    """
    names = hub.names_of(architecture)
    theirs: dict[str, str] = {}
    inside: dict[str, str] = {}
    for ours, place in names.classifier.items():
        for kind in ("weight", "bias"):
            theirs[f"{place}.{kind}"] = f"{ours}.{kind}"
            if place.startswith(names.prefix):
                inside[f"{ours}.{kind}"] = f"{place}.{kind}"
    borrowed = {} if any(theirs.get(key) in inside for key in found) else inside
    odd = sorted(set(found) ^ {key for key, ours in theirs.items() if ours not in borrowed})
    if odd:
        raise DataError(
            f"{where}: tensors of no {architecture} classifier, or half of one: {', '.join(odd[:4])}"
        )
    return Classifier({theirs[key]: tensor for key, tensor in found.items()}, borrowed)
