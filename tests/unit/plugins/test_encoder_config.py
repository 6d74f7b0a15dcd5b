"""A ``config.json`` means what transformers takes it to mean, and what cannot run is refused before a sweep."""

from __future__ import annotations

import json

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterlab.backbones.facts import backbone_facts
from adapterlab.errors import BackboneError
from adapterlab.registry.entry_points import backbone_family
from adapterlab.spec.model import BackboneSpec
from adapterlab.train.activations import ACTIVATIONS
from adapterlab_encoder.config import ACTIVATION_NAMES, config_of, encoder_shape
from adapterlab_encoder.loading import load

ARCHITECTURES = ("bert", "roberta", "xlm-roberta")
READ = {
    "hidden_size": lambda one: one.shape.hidden_size,
    "num_hidden_layers": lambda one: one.shape.layers,
    "num_attention_heads": lambda one: one.heads,
    "intermediate_size": lambda one: one.intermediate_size,
    "layer_norm_eps": lambda one: one.layer_norm_eps,
    "hidden_act": lambda one: one.activation,
    "hidden_dropout_prob": lambda one: one.hidden_dropout,
    "attention_probs_dropout_prob": lambda one: one.attention_dropout,
    "pad_token_id": lambda one: one.pad_token_id,
    "vocab_size": lambda one: one.vocabulary,
    "max_position_embeddings": lambda one: one.max_positions,
    "type_vocab_size": lambda one: one.type_vocab_size,
}
"""Names in a config, and what they become."""
TINY = {
    "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12,
    "vocab_size": 11, "max_position_embeddings": 20,
}  # fmt: skip


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_absent_values_are_transformers_own_defaults(architecture):
    """Transformers writes only what differs from them, and so do people."""
    theirs = transformers.AutoConfig.for_model(architecture)
    ours = config_of({"model_type": architecture})
    assert {name: read(ours) for name, read in READ.items()} == {name: getattr(theirs, name) for name in READ}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@settings(max_examples=15, deadline=None)
@given(st.sets(st.sampled_from(sorted(TINY))), st.integers(0, 2))
def test_a_config_with_some_values_is_read_as_transformers_reads_it(architecture, stated, pad):
    given_values = {"model_type": architecture, "pad_token_id": pad, **{name: TINY[name] for name in stated}}
    if {"hidden_size", "num_attention_heads"} & stated == {"hidden_size"}:
        given_values["num_attention_heads"] = 4  # twelve, the default, does not divide eight
    theirs = transformers.AutoConfig.for_model(**given_values)
    ours = config_of(given_values)
    assert {name: read(ours) for name, read in READ.items()} == {name: getattr(theirs, name) for name in READ}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("size", [TINY, {**TINY, "num_hidden_layers": 3, "intermediate_size": 20}], ids=str)
def test_the_shape_counts_what_torch_counts(architecture, size):
    config = transformers.AutoConfig.for_model(architecture, **size)
    with_pooler = transformers.AutoModel.from_config(config)
    without = transformers.AutoModel.from_config(config, add_pooling_layer=False)
    shape = config_of(config.to_dict()).shape
    counted = [sum(one.numel() for one in model.parameters()) for model in (without, with_pooler)]
    assert [shape.parameters, shape.parameters + shape.pooler_parameters] == counted
    matrices = sum(one.numel() for name, one in without.named_parameters()
                   if ".layer." in name and one.ndim == 2)  # fmt: skip
    assert shape.layers * shape.layer_parameters == matrices


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_config_without_defaults_written_runs_as_in_transformers(architecture, tmp_path):
    """A folder whose config says only what transformers wrote into it."""
    config = transformers.AutoConfig.for_model(architecture, **TINY)
    torch.manual_seed(0)
    model = transformers.AutoModel.from_config(config).eval().double()
    model.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": architecture, **TINY}))
    ours = load(tmp_path, dtype=torch.float64)
    ids = torch.randint(3, 11, (2, 6))
    with torch.no_grad():
        wanted = model(ids).last_hidden_state
    from adapterlab.train.passes import Pass

    got = ours.forward(Pass((ours.rectangle(ids),))).view(wanted.shape)
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-10)


# -- refused where a sweep is planned -----------------------------------------------------------------

_TYPED = {
    "electra": {"model_type": "electra", "embedding_size": 8},
    "distilbert": {"model_type": "distilbert", "dim": 8, "n_heads": 2},
    "mpnet": {"model_type": "mpnet"},
    "albert": {"model_type": "albert", "embedding_size": 8},
    "deberta-v2": {"model_type": "deberta-v2", "relative_attention": True},
}
REFUSED = [
    ({"is_decoder": True}, "is_decoder = True"),
    ({"add_cross_attention": True}, "add_cross_attention = True"),
    ({"position_embedding_type": "relative_key"}, "position_embedding_type = 'relative_key'"),
    ({"position_embedding_type": "relative_key_query"}, "position_embedding_type"),
    ({"hidden_act": "laplace"}, "hidden_act = 'laplace' is not supported; known: gelu"),
    ({"num_attention_heads": 3}, "num_attention_heads = 3 does not divide hidden_size = 8"),
    *(({name: 0}, f"{name} is 0, expected a positive whole number") for name in TINY),
    *(({name: -1}, f"{name} is -1") for name in TINY),
    *(({name: "8"}, f"{name} is '8'") for name in TINY),
    *(({name: 8.0}, f"{name} is 8.0") for name in TINY),
    *(({name: True}, f"{name} is True") for name in TINY),
    *(({name: None}, f"{name} is None") for name in TINY),
    ({"layer_norm_eps": "small"}, "layer_norm_eps"),
    ({"hidden_dropout_prob": "no"}, "hidden_dropout_prob"),
    ({"hidden_dropout_prob": 1.5}, "hidden_dropout_prob"),
    ({"attention_probs_dropout_prob": -0.1}, "attention_probs_dropout_prob"),
    ({"pad_token_id": "x"}, "pad_token_id"),
    ({"pad_token_id": -1}, "pad_token_id"),
    ({"type_vocab_size": 0}, "type_vocab_size is 0, expected a positive whole number"),
    *(
        (_TYPED[name] | change, says)
        for name, change, says in [
            ("electra", {"embedding_size": 0}, "embedding_size is 0"),
            ("electra", {"is_decoder": True}, "electra with is_decoder = True"),
            ("distilbert", {"n_heads": 3}, "n_heads = 3 does not divide dim = 8"),
            ("distilbert", {"activation": "laplace"}, "activation = 'laplace' is not supported"),
            ("distilbert", {"dropout": 1.5}, "dropout is 1.5"),
            ("mpnet", {"relative_attention_num_buckets": 16}, "expected at least 32"),
            ("albert", {"inner_group_num": 2}, "albert with inner_group_num = 2 is not supported"),
            ("albert", {"num_hidden_groups": 0}, "num_hidden_groups is 0"),
            ("albert", {"num_hidden_groups": 3}, "num_hidden_groups = 3 of num_hidden_layers = 2"),
            (
                "deberta-v2",
                {"pos_att_type": "p2p|c2p"},
                "pos_att_type = 'p2p|c2p' is not supported; known: c2p, p2c",
            ),
            ("deberta-v2", {"pos_att_type": [1]}, "pos_att_type = [1]"),
            ("deberta-v2", {"attention_head_size": 3}, "attention_head_size = 3"),
            ("deberta-v2", {"position_buckets": 1}, "position_buckets is 1"),
            ("deberta-v2", {"position_buckets": 500}, "leaves no distance"),
            ("deberta-v2", {"norm_rel_ebd": None}, "norm_rel_ebd is None"),
            ("deberta-v2", {"share_att_key": 1}, "share_att_key is 1, expected true or false"),
            ("deberta-v2", {"max_relative_positions": "9"}, "max_relative_positions is '9'"),
            ("deberta-v2", {"conv_kernel_size": 4}, "conv_kernel_size = 4"),
            ("deberta-v2", {"conv_kernel_size": 3, "conv_act": "laplace"}, "conv_act = 'laplace'"),
        ]
    ),
    ({"model_type": "roberta", "pad_token_id": 63}, "leaves no position behind pad_token_id = 63"),
]


@pytest.mark.parametrize(
    ("change", "says"), REFUSED, ids=lambda one: json.dumps(one) if isinstance(one, dict) else ""
)
def test_what_cannot_run_is_refused_where_a_sweep_is_planned(model_folder, cache, change, says):
    """With the file named, before anything is trained and without torch's own errors later."""
    path = model_folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    spec = BackboneSpec(source=f"folder:{model_folder.name}")
    with pytest.raises(BackboneError) as caught:
        backbone_facts(spec, folder=model_folder.parent, cache=cache, download=False)
    assert says in caught.value.message
    assert str(path) in caught.value.message
    assert caught.value.remedy


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_parts_that_are_switched_off_are_no_reason(architecture):
    plain = {"is_decoder": False, "add_cross_attention": False, "position_embedding_type": "absolute"}
    assert config_of({"model_type": architecture, **plain}) == config_of({"model_type": architecture})


def test_non_linearities_are_those_the_engine_has():
    assert set(ACTIVATION_NAMES) == set(ACTIVATIONS)


@pytest.mark.parametrize(("architecture", "longest", "segments"), [("bert", 512, 2), ("roberta", 510, 2)])
def test_its_input_is_as_long_as_it_has_positions_for(architecture, longest, segments):
    """RoBERTa begins behind its padding token's id, so that 514 positions are 512 tokens."""
    form = backbone_family(architecture).input_format({"model_type": architecture})
    assert (form.longest, form.segments) == (longest, segments)
    form = backbone_family("roberta").input_format({"model_type": "roberta", "max_position_embeddings": 514})
    assert form.longest == 512


def test_an_outline_counts_like_the_model_it_outlines():
    """From the numbers that a spec states: roberta-base."""
    outline = backbone_family("roberta").outline("roberta", 12, 768, embedding_rows=50265 + 514 + 1)
    assert outline == encoder_shape(12, 768, 3072, 50780)
    assert outline.parameters == 124_055_040
    assert backbone_family("roberta").outline("roberta", 12, 768).parameters is None
