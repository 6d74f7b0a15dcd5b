"""Every architecture of the family equals transformers' own model, on small configs drawn at random."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from adapterlab.contracts import BackboneFamilyContract
from adapterlab.records import Reads
from adapterlab.train.passes import Pass, gather
from adapterlab.train.rng import Numbers
from adapterlab_encoder.loading import from_model, load
from adapterlab_encoder.plugin import ENCODER
from tiny_models import random_examples

VOCABULARY = 40
_COMMON = {"vocab_size": VOCABULARY, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


@st.composite
def sizes(draw):
    """Widths and depths, by BERT's names for them."""
    heads = draw(st.sampled_from([1, 2, 3]))
    return {
        "num_attention_heads": heads,
        "hidden_size": 4 * heads * draw(st.integers(1, 2)),
        "num_hidden_layers": draw(st.integers(1, 3)),
        "intermediate_size": draw(st.sampled_from([8, 20])),
        "max_position_embeddings": draw(st.sampled_from([32, 40])),
        "hidden_act": draw(st.sampled_from(["gelu", "gelu_new", "relu"])),
    }


@st.composite
def _behind_padding(draw):
    return {"pad_token_id": draw(st.sampled_from([0, 1])), "type_vocab_size": draw(st.sampled_from([1, 2]))}


@st.composite
def _electra(draw):
    return {"embedding_size": draw(st.sampled_from([6, 12])), "type_vocab_size": 2}


@st.composite
def _albert(draw):
    groups = draw(st.sampled_from([1, 2, 3]))
    return {
        "embedding_size": draw(st.sampled_from([6, 8])),
        "num_hidden_groups": groups,
        "num_hidden_layers": draw(st.integers(groups, 5)),
    }


@st.composite
def _deberta(draw):
    positions = draw(st.booleans())
    own = {
        "type_vocab_size": draw(st.sampled_from([0, 2])),
        "relative_attention": draw(st.booleans()) or not positions,
        "pos_att_type": draw(st.sampled_from(["c2p|p2c", ["p2c"], ["c2p"], "p2c|c2p", None])),
        "position_biased_input": positions,
        "share_att_key": draw(st.booleans()),
        "norm_rel_ebd": draw(st.sampled_from(["none", "layer_norm"])),
        "max_relative_positions": draw(st.sampled_from([-1, 10, 16])),
        "position_buckets": draw(st.sampled_from([-1, 4, 6, 8])),
    }
    optional = {
        "embedding_size": draw(st.sampled_from([None, 6])),
        "conv_kernel_size": draw(st.sampled_from([None, 3, 5])),
        "conv_act": draw(st.sampled_from([None, "gelu"])),
    }
    return own | {name: one for name, one in optional.items() if one is not None}


DISTILBERT = {
    "hidden_size": "dim",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "intermediate_size": "hidden_dim",
    "hidden_act": "activation",
    "hidden_dropout_prob": "dropout",
    "attention_probs_dropout_prob": "attention_dropout",
}
OWN = {
    "camembert": _behind_padding(),
    "electra": _electra(),
    "distilbert": st.just({}),
    "mpnet": st.fixed_dictionaries({"relative_attention_num_buckets": st.sampled_from([32, 35])}),
    "albert": _albert(),
    "deberta-v2": _deberta(),
}
"""Settings that only some architectures have."""


def config_values(architecture, size, own):
    """Return a config's own names and values."""
    values = {**_COMMON, **size, **own}
    names = DISTILBERT if architecture == "distilbert" else {}
    return {"model_type": architecture, **{names.get(name, name): one for name, one in values.items()}}


def model_of(values, seed=0):
    """Return transformers' own model with random weights, biases and LayerNorms too."""
    torch.manual_seed(seed)
    config = transformers.AutoConfig.for_model(**values)
    model = transformers.AutoModel.from_config(config, attn_implementation="eager").eval().double()
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return model


def rows_of(seed, *, longest=20, rows=5):
    """Return rows of different lengths, without a token that any architecture takes for padding."""
    rectangle = gather(random_examples(rows, 2, seed=seed, longest=longest), np.arange(rows))
    return replace(rectangle, token_ids=rectangle.token_ids.clamp(min=2), examples=None)


def answers_of(model, rectangle):
    """Return transformers' last hidden states of the real tokens, (N, d)."""
    mask = torch.arange(rectangle.token_ids.shape[1])[None] < rectangle.lengths[:, None]
    pad = model.config.pad_token_id or 0
    ids = torch.where(mask, rectangle.token_ids, pad)
    types = {"token_type_ids": rectangle.type_ids * 0 + _types(model, rectangle)}
    if model.config.model_type in ("distilbert", "mpnet"):
        types = {}
    with torch.no_grad():
        return model(ids, attention_mask=mask.long(), **types).last_hidden_state[mask]


def _types(model, rectangle):
    return rectangle.type_ids if getattr(model.config, "type_vocab_size", 0) > 1 else 0


@pytest.mark.parametrize("architecture", OWN)
@settings(max_examples=5, deadline=None)
@given(data=st.data(), size=sizes(), seed=st.integers(0, 99))
def test_packed_rows_of_several_lanes_are_as_in_transformers(architecture, data, size, seed):
    check_packed_rows(architecture, data, size, seed)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(data=st.data(), size=sizes(), seed=st.integers(0, 99))
def test_debertas_of_many_kinds_are_as_in_transformers(data, size, seed):
    check_packed_rows("deberta-v2", data, size, seed)


def check_packed_rows(architecture, data, size, seed):
    """Check states of all rows and of wanted ones, counted weights and their names."""
    model = model_of(config_values(architecture, size, data.draw(OWN[architecture])), seed)
    ours = from_model(model)
    lanes = [rows_of(seed, longest=data.draw(st.sampled_from([8, 28]))), rows_of(seed + 1, longest=7, rows=3)]
    batch = Pass(tuple(lanes))
    wanted = torch.cat([answers_of(model, one) for one in lanes])
    torch.testing.assert_close(ours.forward(batch), wanted, rtol=0, atol=1e-10)
    for reads in (Reads.FIRST, Reads.LAST):
        rows = batch.rows_read([reads] * len(lanes))
        torch.testing.assert_close(ours.forward(batch, rows=rows), wanted[rows], rtol=0, atol=1e-10)
    assert ENCODER.shape(model.config.to_dict()).parameters == sum(
        one.numel() for name, one in model.named_parameters() if not name.startswith("pooler.")
    )
    assert set(ours.weights()) == {n for n, _ in model.named_parameters() if not n.startswith("pooler.")}


def small(architecture, **own):
    """Return a small config that has everything its architecture can have."""
    size = {
        "num_attention_heads": 2, "hidden_size": 8, "num_hidden_layers": 2, "intermediate_size": 12,
        "max_position_embeddings": 40,
    }  # fmt: skip
    special = {
        "electra": {"embedding_size": 6},
        "albert": {"embedding_size": 6, "num_hidden_groups": 2, "num_hidden_layers": 3},
        "deberta-v2": {
            "relative_attention": True, "pos_att_type": "p2c|c2p", "position_biased_input": False,
            "norm_rel_ebd": "layer_norm", "position_buckets": 6, "max_relative_positions": -1,
            "conv_kernel_size": 3, "embedding_size": 6,
        },
    }.get(architecture, {})  # fmt: skip
    return config_values(architecture, size, {**special, **own})


@pytest.mark.parametrize("architecture", OWN)
def test_left_padding_gives_what_transformers_gives(architecture):
    model = model_of(small(architecture))
    ids = torch.randint(2, VOCABULARY, (3, 9), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[0, :4] = mask[1, :1] = 0
    ids = torch.where(mask == 1, ids, model.config.pad_token_id)
    ours = from_model(model)
    with torch.no_grad():
        wanted = model(ids, attention_mask=mask).last_hidden_state
        got = ours.forward(Pass((ours.rectangle(ids, mask),))).view(wanted.shape)
    torch.testing.assert_close(got[mask == 1], wanted[mask == 1], rtol=0, atol=1e-10)


class _LowRank:
    """Adds ``B A x`` at one site of every layer."""

    def __init__(self, site, layers):
        self.sites = frozenset({site.name})
        self.pairs = [
            (0.5 * torch.randn(site.output, 2).double(), 0.5 * torch.randn(2, site.input).double())
            for _ in range(layers)
        ]

    def __call__(self, _, layer, x, __):
        b, a = self.pairs[layer]
        return x @ a.T @ b.T


LINEAR = {
    "attention.query": "query", "attention.key": "key", "attention.value": "value",
    "attention.dense": "attention_out", "ffn.up": "up", "ffn.down": "down",
}  # fmt: skip
"""Sites of linear maps, and the map's part of a layer."""


@pytest.mark.parametrize("site", LINEAR)
@pytest.mark.parametrize("architecture", OWN)
def test_an_addition_at_a_site_is_an_addition_to_that_map(architecture, site):
    """LoRA at a site is transformers' model with ``W + B A`` in the place of ``W``."""
    model = model_of(small(architecture))
    ours, rectangle = from_model(model), rows_of(3)
    hook = _LowRank(ours.shape.site(site), ours.shape.layers)
    parts = [ours.config.layer_names(layer) for layer in range(ours.shape.layers)]
    hook.pairs = [hook.pairs[parts.index(one)] for one in parts]  # layers with the same weights add the same
    plain = ours.forward(Pass((rectangle,)))
    got = ours.forward(Pass((rectangle,)), hook)
    changed = []
    for layer, (b, a) in enumerate(hook.pairs):
        name = getattr(ours.config.layer_names(layer), LINEAR[site])
        if name not in changed:
            model.get_submodule(name).weight.data += b @ a
        changed.append(name)
    assert not torch.allclose(plain, got)
    torch.testing.assert_close(got, answers_of(model, rectangle), rtol=0, atol=1e-10)


@pytest.mark.parametrize("architecture", OWN)
def test_gradients_of_every_tensor_are_as_in_transformers(architecture):
    """Full fine-tuning trains all of them: distances, their maps, the convolution."""
    model = model_of(small(architecture))
    ours, rectangle = from_model(model), rows_of(2)
    weights = {name: one.requires_grad_() for name, one in ours.weights().items()}
    direction = torch.randn(rectangle.tokens, 8, dtype=torch.float64)
    (ours.with_weights(weights).forward(Pass((rectangle,))) * direction).sum().backward()
    mask = torch.arange(rectangle.token_ids.shape[1])[None] < rectangle.lengths[:, None]
    types = {"token_type_ids": rectangle.type_ids} if getattr(model.config, "type_vocab_size", 0) > 1 else {}
    ids = torch.where(mask, rectangle.token_ids, model.config.pad_token_id)
    (model(ids, attention_mask=mask.long(), **types).last_hidden_state[mask] * direction).sum().backward()
    for name, parameter in model.named_parameters():
        if name in weights:
            torch.testing.assert_close(weights[name].grad, parameter.grad, rtol=0, atol=1e-9)


def test_weights_that_layers_share_are_held_once():
    ours = from_model(model_of(small("albert", num_hidden_layers=6)))
    for moved in (ours, ours.to(dtype=torch.float32, device="cpu"), ours.with_weights(ours.weights())):
        blocks = moved._weights.blocks
        assert len(blocks) == 6
        assert [one is blocks[0] for one in blocks] == [True] * 3 + [False] * 3


@pytest.mark.parametrize("own", [{}, {"share_att_key": True, "conv_kernel_size": 0}], ids=["v2", "v3"])
def test_what_a_lane_drops_of_distances_is_its_own(own):
    values = small("deberta-v2", **own) | {"hidden_dropout_prob": 0.3, "attention_probs_dropout_prob": 0.3}
    ours = from_model(model_of(values))
    lanes = [rows_of(1), rows_of(2, longest=20, rows=3), rows_of(3, longest=6, rows=2)]
    together = Pass(tuple(lanes))
    got = ours.forward(together, None, Numbers([5, 6, 7], ours.device))
    for lane, (rectangle, rows) in enumerate(zip(lanes, together.slices, strict=True)):
        alone = ours.forward(Pass((rectangle,)), None, Numbers([5 + lane], ours.device))
        torch.testing.assert_close(got[rows], alone, rtol=0, atol=1e-10)
    mean = torch.stack([ours.forward(together, None, Numbers([n, n, n], ours.device)) for n in range(3)])
    assert not torch.allclose(mean[0], mean[1])


@pytest.mark.parametrize("architecture", OWN)
@pytest.mark.parametrize("auto", ["SequenceClassification", "MaskedLM", "TokenClassification"])
def test_weights_under_a_heads_prefix_are_found(architecture, auto, tmp_path):
    config = transformers.AutoConfig.for_model(**small(architecture))
    torch.manual_seed(0)
    headed = getattr(transformers, f"AutoModelFor{auto}").from_config(config).double()
    headed.save_pretrained(tmp_path)
    prefix = ENCODER_PREFIXES[architecture]
    assert any(name.startswith(prefix) for name in load_file(tmp_path / "model.safetensors"))
    rectangle = rows_of(1)
    got = load(tmp_path, dtype=torch.float64).forward(Pass((rectangle,)))
    body = getattr(headed, headed.base_model_prefix).eval()
    torch.testing.assert_close(got, answers_of(body, rectangle), rtol=0, atol=1e-10)


ENCODER_PREFIXES = {
    "camembert": "roberta.", "electra": "electra.", "distilbert": "distilbert.", "mpnet": "mpnet.", "albert": "albert.",
    "deberta-v2": "deberta.",
}  # fmt: skip


@pytest.mark.parametrize("architecture", OWN)
def test_absent_values_are_transformers_own_defaults(architecture):
    theirs = transformers.AutoConfig.for_model(architecture)
    stated = {"model_type": architecture}
    assert ENCODER.shape(stated) == ENCODER.shape(theirs.to_dict())
    assert ENCODER.input_format(stated) == ENCODER.input_format(theirs.to_dict())


class _Contract(BackboneFamilyContract):
    plugin = ENCODER

    def write(self, folder):
        model_of(self.config).save_pretrained(folder)
        (folder / "config.json").write_text(json.dumps(self.config))


class TestCamembert(_Contract):
    config = small("camembert")


class TestElectra(_Contract):
    config = small("electra")


class TestDistilbert(_Contract):
    config = small("distilbert")


class TestMpnet(_Contract):
    config = small("mpnet")


class TestAlbert(_Contract):
    config = small("albert")


class TestDeberta(_Contract):
    config = small("deberta-v2")


class TestDebertaV3(_Contract):
    """As DeBERTa-v3 is published: shared maps, no convolution."""

    config = small("deberta-v2", share_att_key=True, conv_kernel_size=0)
