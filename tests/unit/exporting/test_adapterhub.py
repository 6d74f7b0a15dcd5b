"""AdapterHub's format: what we write is what the library writes, and what we read is only that."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from adapterlab.errors import DataError
from adapterlab.exporting import adapterhub as hub
from adapterlab.exporting import adapterhub_reading as reading
from tiny_trained import adapter_tensors, head_tensors


@pytest.fixture
def saved(reference_fixtures):
    """A folder the library wrote."""
    return reference_fixtures / "adapterhub_saved" / "a0_safetensors"


@pytest.fixture
def config(saved):
    """Its config, to be changed."""
    return json.loads((saved / "adapter_config.json").read_text())


@settings(max_examples=500, deadline=None)
@given(st.integers(1, 4096), st.integers(1, 8192))
@example(768, 384)
@example(384, 72)
@example(1024, 49)
@example(32, 24)
def test_the_library_computes_exactly_our_width_from_the_factor(hidden_size, width):
    """Source: adapters 1.3.0, BottleneckLayer.add_adapter; the factor goes through JSON."""
    factor = json.loads(json.dumps(hub.reduction_factor(hidden_size, width)))
    assert int(hidden_size // factor) == width
    assert isinstance(factor, int) == (hidden_size % width == 0)


def test_a_config_we_write_is_the_one_the_library_writes(config):
    ours = hub.adapter_config(
        "a0", architecture="roberta", model_name="", hidden_size=32, widths=(8, 8), non_linearity="relu"
    )
    assert ours == {**config, "model_class": "RobertaAdapterModel"}
    assert list(ours["config"]) == sorted(config["config"])


def test_tensors_we_write_have_the_librarys_names(saved):
    ours = hub.adapter_tensors(adapter_tensors(0, 8), "a0", "roberta")
    theirs = load_file(saved / "adapter.safetensors")
    assert {name.removeprefix("roberta."): one.shape for name, one in ours.items()} == {
        name: one.shape for name, one in theirs.items()
    }


def test_widths_that_differ_between_layers_are_named_by_layer():
    written = hub.adapter_config(
        "x", architecture="bert", model_name="m", hidden_size=32, widths=(8, 24), non_linearity="gelu"
    )
    assert written["config"]["reduction_factor"] == {"0": 4, "1": hub.reduction_factor(32, 24)}
    described = reading.describe(json.loads(json.dumps(written)), "x")
    assert (described.width(0), described.width(1)) == (8, 24)
    tensors = adapter_tensors(0, 8) | {k: v for k, v in adapter_tensors(1, 24).items() if "layer.1" in k}
    back = reading.our_tensors(hub.adapter_tensors(tensors, "x", "bert"), described, "x")
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)


@pytest.mark.parametrize("prefix", ["", "roberta."])
def test_tensors_are_read_with_and_without_the_models_name(config, saved, prefix):
    theirs = {f"{prefix}{key}": one for key, one in load_file(saved / "adapter.safetensors").items()}
    ours = reading.our_tensors(theirs, reading.describe(config, "a0"), "a0")
    assert set(ours) == set(adapter_tensors(0))
    assert torch.equal(
        ours["layer.1.up.bias"], theirs[f"{prefix}encoder.layer.1.output.adapters.a0.adapter_up.bias"]
    )


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"mh_adapter": True}, "mh_adapter = True"),
        ({"output_adapter": False}, "nowhere"),
        ({"output_adapter": False, "mh_adapter": True}, "mh_adapter = True .* output_adapter = False"),
        ({"mh_adapter": None}, "mh_adapter = None"),
        ({"original_ln_before": False, "residual_before_ln": "post_add"}, "residual_before_ln = 'post_add'"),
        ({"original_ln_before": None}, "original_ln_before = None"),
        ({"phm_layer": True, "phm_bias": "yes"}, "phm_bias = 'yes'"),
        ({"scaling": "by_head"}, "scaling = 'by_head'"),
        ({"original_ln_after": False}, "original_ln_after = False"),
        ({"residual_before_ln": "post_add"}, "residual_before_ln = 'post_add'"),
        ({"residual_before_ln": False}, "residual_before_ln = False"),
        ({"ln_before": True}, "ln_before = True"),
        ({"ln_after": True}, "ln_after = True"),
        ({"is_parallel": True}, "is_parallel = True"),
        ({"use_gating": True}, "use_gating = True"),
        ({"inv_adapter": "nice"}, "inv_adapter = 'nice'"),
        ({"cross_adapter": True}, "cross_adapter = True"),
        ({"scaling": True}, "scaling = True"),
        ({"architecture": "lora"}, "a 'lora' adapter"),
        ({"new_trick": 1}, "unknown settings that may change the result: new_trick"),
        ({"reduction_factor": 0}, "reduction_factor is 0"),
        ({"reduction_factor": -2}, "reduction_factor is -2"),
        ({"reduction_factor": "4"}, "reduction_factor is '4'"),
        ({"reduction_factor": {}}, "reduction_factor is empty"),
        ({"reduction_factor": 1e-300}, "reduction_factor is 1e-300"),
        ({"reduction_factor": 10**400}, "reduction_factor is 1000"),
        ({"reduction_factor": {"0": None}}, "reduction_factor is"),
        ({"leave_out": ["0"]}, "leave_out is"),
        ({"leave_out": [10**12]}, "leave_out is"),
        ({"non_linearity": None}, "non_linearity is None"),
    ],
    ids=str,
)
def test_what_is_no_bottleneck_that_runs_here_is_refused(config, change, complaint):
    config["config"].update(change)
    with pytest.raises(DataError, match=complaint):
        reading.describe(config, "a0")


@pytest.mark.parametrize("key", ["mh_adapter", "output_adapter"])
def test_a_config_without_what_has_no_default_is_refused(config, key):
    del config["config"][key]
    with pytest.raises(DataError, match=key):
        reading.describe(config, "a0")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"model_type": "gpt2"}, "made for a 'gpt2' model"),
        ({"model_type": None}, "made for a None model"),
        ({"hidden_size": "32"}, "hidden_size is '32'"),
        ({"hidden_size": 0}, "hidden_size is 0"),
        ({"name": ""}, "name is ''"),
        ({"config": "pfeiffer"}, "no adapter's config"),
    ],
    ids=str,
)
def test_a_malformed_config_is_refused(config, change, complaint):
    with pytest.raises(DataError, match=complaint):
        reading.describe({**config, **change}, "a0")
    with pytest.raises(DataError, match="no adapter's config"):
        reading.describe([config], "a0")


def test_configs_older_than_a_change_of_names_mean_what_they_meant(config):
    del config["version"]
    for name, meant in {"gelu": "gelu_new", "gelu_orig": "gelu", "relu": "relu", "ReLU": "relu"}.items():
        config["config"]["non_linearity"] = name
        assert reading.describe(config, "old").non_linearity == meant


FIRST = "encoder.layer.0.output.adapters.a0"
DAMAGES = {
    "missing": lambda all_: {key: one for key, one in all_.items() if key != f"{FIRST}.adapter_up.bias"},
    "missing layer": lambda all_: {key: one for key, one in all_.items() if "layer.0" not in key},
    "other name": lambda all_: {key.replace(".a0.", ".a0_v2."): one for key, one in all_.items()},
    "two names": lambda all_: all_ | {key.replace(".a0.", ".a0_v2."): one for key, one in all_.items()},
    "mixed prefixes": lambda all_: all_ | {f"roberta.{key}": one for key, one in all_.items()},
    "another model's prefix": lambda all_: {f"bert.{key}": one for key, one in all_.items()},
    "attention adapter": lambda all_: (
        all_ | {key.replace(".output.", ".attention.output."): all_[key] for key in all_}
    ),
    "gate": lambda all_: all_ | {f"{FIRST}.gate.weight": torch.zeros(1, 32)},
    "narrow": lambda all_: all_ | {f"{FIRST}.adapter_down.0.weight": torch.zeros(7, 32)},
    "transposed": lambda all_: all_ | {f"{FIRST}.adapter_up.weight": torch.zeros(8, 32)},
    "huge layer": lambda all_: (
        all_ | {FIRST.replace("0", str(10**12), 1) + ".adapter_up.bias": torch.zeros(32)}
    ),
    "nothing": lambda all_: {},
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_missing_extra_and_misshapen_tensors_are_refused(config, saved, damage):
    theirs = load_file(saved / "adapter.safetensors")
    described = reading.describe(config, "a0")
    assert reading.our_tensors(theirs, described, "a0")
    with pytest.raises(DataError):
        reading.our_tensors(DAMAGES[damage](theirs), described, "a0")


def test_the_layout_of_2020_names_an_invertible_adapter_that_only_languages_had(config):
    old = {**config, "config": {**config["config"], "invertible_adapter": {"block_type": "nice"}}}
    assert reading.describe({**old, "type": "text_task"}, "a0") == reading.describe(config, "a0")
    for kind in ({"type": "text_lang"}, {}):
        with pytest.raises(DataError, match="invertible_adapter"):
            reading.describe({**old, **kind}, "a0")


def test_a_constant_scaling_goes_into_the_weights(config, saved):
    theirs = load_file(saved / "adapter.safetensors")
    plain = reading.our_tensors(theirs, reading.describe(config, "a0"), "a0")
    config["config"]["scaling"] = 4.0
    scaled = reading.our_tensors(theirs, reading.describe(config, "a0"), "a0")
    for name, tensor in plain.items():
        assert torch.equal(scaled[name], 4 * tensor if ".up." in name else tensor)


def test_a_left_out_layer_adds_nothing(config, saved):
    theirs = {k: one for k, one in load_file(saved / "adapter.safetensors").items() if "layer.1" in k}
    config["config"]["leave_out"] = [0]
    tensors = reading.our_tensors(theirs, reading.describe(config, "a0"), "a0")
    assert not tensors["layer.0.up.weight"].any()
    assert not tensors["layer.0.up.bias"].any()
    assert tensors["layer.1.up.weight"].any()
    with pytest.raises(DataError, match="leaves out layer 0, but there are tensors"):
        reading.our_tensors(load_file(saved / "adapter.safetensors"), reading.describe(config, "a0"), "a0")


@pytest.mark.parametrize("labels", [("no", "yes", "maybe"), ()])
def test_a_head_comes_back(labels):
    outputs = len(labels) or 1
    written = hub.head_config(
        "an4", architecture="bert", model_name="m", hidden_size=32, outputs=outputs, labels=labels
    )
    tensors = head_tensors(0, outputs)
    back, names = reading.our_head(hub.head_tensors(tensors, "an4"), json.loads(json.dumps(written)), "an4")
    assert names == labels
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)


@pytest.mark.parametrize(
    "change",
    [{"layers": 1}, {"activation_function": "relu"}, {"use_pooler": True}, {"head_type": "tagging"}],
    ids=str,
)
def test_other_heads_are_refused(change):
    written = hub.head_config("a", architecture="bert", model_name="m", hidden_size=32, outputs=2, labels=())
    written["config"].update(change)
    with pytest.raises(DataError, match=next(iter(change))):
        reading.our_head(hub.head_tensors(head_tensors(0, 2), "a"), written, "a")


def test_a_head_with_missing_or_extra_or_misshapen_tensors_is_refused():
    written = hub.head_config("a", architecture="bert", model_name="m", hidden_size=32, outputs=2, labels=())
    theirs = hub.head_tensors(head_tensors(0, 2), "a")
    with pytest.raises(DataError, match=r"missing or extra: heads\.a\.1\.bias"):
        reading.our_head({k: v for k, v in theirs.items() if k != "heads.a.1.bias"}, written, "a")
    with pytest.raises(DataError, match=r"missing or extra: heads\.a_v2\.4\.bias"):
        reading.our_head({**theirs, "heads.a_v2.4.bias": torch.zeros(2)}, written, "a")
    with pytest.raises(DataError, match=r"head\.out\.weight: expected shape \(2, 32\), got \(3, 32\)"):
        reading.our_head({**theirs, "heads.a.4.weight": torch.zeros(3, 32)}, written, "a")
