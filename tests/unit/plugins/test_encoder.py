"""The frozen encoder equals the Hugging Face models it stands for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers

from adapterlab.errors import BackboneError
from adapterlab.train.passes import Pass, gather
from adapterlab.train.rng import Numbers
from adapterlab_encoder.config import config_of
from adapterlab_encoder.encoder import Encoder
from adapterlab_encoder.loading import load
from tiny_models import random_encoder, random_examples

SIZES = {
    "base": {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 40},
    "large": {"hidden_size": 32, "num_hidden_layers": 5, "num_attention_heads": 8, "intermediate_size": 64},
}
ARCHITECTURES = {
    "bert": (transformers.BertConfig, transformers.BertModel, {"pad_token_id": 0, "type_vocab_size": 2}),
    "roberta": (
        transformers.RobertaConfig,
        transformers.RobertaModel,
        {"pad_token_id": 1, "type_vocab_size": 1},
    ),
    "xlm-roberta": (
        transformers.XLMRobertaConfig,
        transformers.XLMRobertaModel,
        {"pad_token_id": 1, "type_vocab_size": 1},
    ),
}


def hugging_face_model(architecture, size="base", **settings):
    config_class, model_class, special = ARCHITECTURES[architecture]
    torch.manual_seed(0)
    config = config_class(vocab_size=60, max_position_embeddings=40, **SIZES[size], **special, **settings)
    model = model_class(config, add_pooling_layer=False).eval()
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return model


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_saved_models_load_and_agree(architecture, size, tmp_path):
    model = hugging_face_model(architecture, size)
    model.save_pretrained(tmp_path)
    ours = load(tmp_path, dtype=torch.float64)
    rectangle = gather(random_examples(7, 2, seed=1), np.arange(7))
    mask = (torch.arange(rectangle.token_ids.shape[1])[None] < rectangle.lengths[:, None]).long()
    types = rectangle.type_ids if architecture == "bert" else torch.zeros_like(rectangle.type_ids)
    padded = torch.where(mask.bool(), rectangle.token_ids, model.config.pad_token_id)
    # A real token may not look like padding, or the reference counts its positions differently.
    padded = torch.where(mask.bool() & (padded == model.config.pad_token_id), 5, padded)
    rectangle = replace(rectangle, token_ids=padded, examples=None)
    with torch.no_grad():
        wanted = model.double()(padded, attention_mask=mask, token_type_ids=types).last_hidden_state
        got = ours.forward(Pass((rectangle,)))
    assert len(got) == rectangle.tokens == mask.sum()
    torch.testing.assert_close(got, wanted[mask.bool()], rtol=0, atol=1e-10)


def test_weights_of_a_model_with_a_head_load_as_well(tmp_path):
    model = hugging_face_model("bert")
    headed = transformers.BertForSequenceClassification(model.config)
    headed.bert.load_state_dict(model.state_dict(), strict=False)
    headed.save_pretrained(tmp_path)
    plain = Encoder(config_of(model.config.to_dict()), model.state_dict())
    loaded = load(tmp_path)
    rectangle = gather(random_examples(3, 2, seed=1), np.arange(3))
    assert torch.equal(plain.forward(Pass((rectangle,))), loaded.forward(Pass((rectangle,))))


def test_a_missing_tensor_is_named():
    model = hugging_face_model("bert")
    weights = dict(model.state_dict())
    del weights["encoder.layer.1.output.dense.bias"]
    with pytest.raises(BackboneError, match=r"encoder\.layer\.1\.output\.dense\.bias"):
        Encoder(config_of(model.config.to_dict()), weights)


def test_a_wrong_shape_is_named():
    model = hugging_face_model("bert")
    weights = dict(model.state_dict())
    weights["encoder.layer.0.output.dense.bias"] = torch.zeros(3)
    with pytest.raises(BackboneError, match=r"output\.dense\.bias.*\(3,\)"):
        Encoder(config_of(model.config.to_dict()), weights)


@pytest.mark.parametrize("change", [{"is_decoder": True}, {"hidden_act": "laplace"}])
def test_unsupported_parts_are_refused(change):
    with pytest.raises(BackboneError, match=next(iter(change))):
        config_of(transformers.BertConfig(**change).to_dict())


def test_other_architectures_are_refused():
    with pytest.raises(BackboneError, match="gpt2"):
        config_of(transformers.GPT2Config().to_dict())


def test_a_truncated_weights_file_is_refused(tmp_path):
    hugging_face_model("bert").save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(BackboneError, match=r"model\.safetensors"):
        load(tmp_path)


def test_a_lane_is_not_changed_by_the_lanes_beside_it():
    """Backbone dropout on: the numbers belong to the lane, the padding too."""
    model = random_encoder(dropout=0.2)
    short = gather(random_examples(4, 2, seed=3, longest=5), np.arange(4))
    long = gather(random_examples(6, 2, seed=4, longest=20), np.arange(6))
    alone = model.forward(Pass((short,)), None, Numbers([1], model.device))
    together = model.forward(Pass((long, short)), None, Numbers([2, 1], model.device))
    torch.testing.assert_close(together[long.tokens :], alone, rtol=0, atol=1e-12)


def test_backbone_dropout_zeroes_and_keeps_the_expectation():
    model = random_encoder(dropout=0.3)
    rectangle = gather(random_examples(4, 2, seed=3), np.arange(4))
    plain = model.forward(Pass((rectangle,)))
    dropped = model.forward(Pass((rectangle,)), None, Numbers([1], model.device))
    assert not torch.allclose(plain, dropped)
