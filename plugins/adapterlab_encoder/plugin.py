"""What the core sees of the encoder family without importing torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterlab.plugin import BackboneFamily, BackboneShape, HubNames, InputFormat, TensorHeader
from adapterlab_encoder.architectures import ARCHITECTURES
from adapterlab_encoder.config import config_of, encoder_shape
from adapterlab_encoder.tensors import complaint

if TYPE_CHECKING:
    from adapterlab_encoder.encoder import Encoder

_PARTS = ("embeddings", "embeddings_project", "encoder", "transformer", "pooler")
"""What the names of a model's own tensors begin with, behind the prefix that a model with a head has."""
_POOLED = {"head.dense": "bert.pooler.dense", "head.out": "classifier"}
_TWO_LAYERS = {"head.dense": "classifier.dense", "head.out": "classifier.out_proj"}
_NAMES = {
    "bert": HubNames("bert.", "BertAdapterModel", _POOLED, ("classifier", "pooler")),
    "roberta": HubNames("roberta.", "RobertaAdapterModel", _TWO_LAYERS, ("classifier",)),
    "xlm-roberta": HubNames("roberta.", "XLMRobertaAdapterModel", _TWO_LAYERS, ("classifier",)),
    "camembert": HubNames("roberta.", None, _TWO_LAYERS, ("classifier",)),
    # Their classifiers in transformers have another activation than ours.
    "electra": HubNames("electra.", "ElectraAdapterModel", {}, ()),
    "deberta-v2": HubNames("deberta.", "DebertaV2AdapterModel", {}, (), maps_like_bert=False),
}


class EncoderFamily(BackboneFamily):
    """Encoders whose every block is ``LN(x + f(x))``."""

    name = "encoder"
    architectures = tuple(ARCHITECTURES)

    def shape(self, config: Mapping[str, Any]) -> BackboneShape:
        """Return the shape of a model by its ``config.json``."""
        return config_of(config).shape

    def input_format(self, config: Mapping[str, Any]) -> InputFormat:
        """Return what a model takes as input; RoBERTa numbers positions from ``pad_token_id + 1``."""
        read = config_of(config)
        return InputFormat(read.max_length, max(1, read.type_vocab_size), read.vocabulary, read.pad_token_id)

    def complaint(self, config: Mapping[str, Any], tensors: Mapping[str, TensorHeader]) -> str | None:
        """Return the first tensor that is missing, misshapen or of a type that does not run; ``None``: none."""
        return complaint(config_of(config), tensors)

    def outline(self, architecture: str, layers: int, hidden_size: int, **known: int) -> BackboneShape:
        """Return the shape of a model of stated size; the feed-forward block is nearly always four times as wide."""
        rules = ARCHITECTURES[architecture]
        # Where tables may have a width of their own, or attention has a table, these numbers do not tell all weights.
        rows = None if rules.projection or rules.relative else known.get("embedding_rows")
        return encoder_shape(layers, hidden_size, 4 * hidden_size, rows, pooled=rules.pooled)

    def holds(self, tensor: str) -> bool:
        """Return whether a tensor is of the embeddings, the layers or the pooler."""
        return any(part in _PARTS for part in tensor.split(".")[:2])

    def hub_names(self, architecture: str) -> HubNames | None:
        """Return what transformers, AdapterHub and PEFT call the parts; ``None``: no folder of theirs is written."""
        return _NAMES.get(architecture)

    def load(self, folder: Path, *, dtype: Any = None, device: Any = "cpu") -> Encoder:
        """Import the torch side, and load a frozen encoder from a model folder."""
        from adapterlab_encoder.loading import load

        return load(folder, dtype=dtype, device=device)

    def from_model(self, model: Any, *, dtype: Any = None, device: Any = None) -> Encoder:
        """Return a frozen copy of a loaded transformers model's encoder; heads and poolers are left out."""
        from adapterlab_encoder.loading import from_model

        return from_model(model, dtype=dtype, device=device)


ENCODER = EncoderFamily()
