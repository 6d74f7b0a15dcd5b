"""Adapter methods, loaded with the official code's weights, give the official code's states (float64)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers

from adapterlab.registry.entry_points import adapter_method
from adapterlab.train.adaptation import OwnAdapter, Seat, hidden_states
from adapterlab.train.rng import stream
from adapterlab_encoder.loading import from_model
from adapterlab_propetl.layer import mask_of
from official import load_official

CLOSE = {"rtol": 0, "atol": 1e-9}


@pytest.fixture(scope="module")
def official(reference_fixtures):
    """The reference model, with the baselines' weights by the official keys."""
    found = load_official(reference_fixtures)
    found.baselines = {
        name: torch.from_numpy(np.asarray(array)).double()
        for name, array in np.load(reference_fixtures / "official_baselines.npz").items()
    }
    return found


def parameters(official, method):
    """The method's weights by official key, the adapter's name ``t`` left out."""
    prefix = f"{method}/param/"
    return {
        name.removeprefix(prefix).replace(".t.", "."): tensor
        for name, tensor in official.baselines.items()
        if name.startswith(prefix)
    }


def lora(theirs):
    tensors = {}
    for layer in range(2):
        for target in ("query", "value"):
            base = f"encoder.layer.{layer}.attention.self.{target}.loras"
            tensors[f"layer.{layer}.attention.{target}.a"] = theirs[f"{base}.lora_A"]
            tensors[f"layer.{layer}.attention.{target}.b"] = theirs[f"{base}.lora_B"]
    return tensors


def ia3(theirs):
    places = {"attention.key": "attention.self.key", "attention.value": "attention.self.value",
              "ffn.up": "intermediate.dense"}  # fmt: skip
    return {
        f"layer.{layer}.{site}.scale": theirs[f"encoder.layer.{layer}.{place}.loras.lora_B"][:, 0]
        for layer in range(2)
        for site, place in places.items()
    }


def compacter(theirs):
    tensors = {"phm_rule": theirs["shared_parameters.phm_rule"]}
    for layer in range(2):
        for part, name in (("down", "adapter_down.0"), ("up", "adapter_up")):
            base = f"encoder.layer.{layer}.output.adapters.{name}"
            tensors[f"layer.{layer}.{part}.left"] = theirs[f"{base}.W_left"]
            tensors[f"layer.{layer}.{part}.right"] = theirs[f"{base}.W_right"]
            tensors[f"layer.{layer}.{part}.bias"] = theirs[f"{base}.b"]
    return tensors


def propetl(theirs):
    tensors = {}
    for part, name in (("down", "adapter_down.0"), ("up", "adapter_up")):
        for kind in ("weight", "bias"):
            # One adapter for all layers, held by the first.
            tensors[f"{part}.{kind}"] = theirs[f"encoder.layer.0.output.adapters.{name}.{kind}"]
        for layer in range(2):
            scores = theirs[f"encoder.layer.{layer}.output.adapters_mask.{part}_mask"]
            tensors[f"scores.layer.{layer}.{part}"] = scores.T  # theirs are transposed to the weights
    return tensors


CASES = {
    "lora": ("lora", {"r": 4, "alpha": 8.0}, lora),
    "ia3": ("ia3", {}, ia3),
    "compacterpp": ("compacter_pp", {"reduction_factor": 4}, compacter),
    "propetl": ("propetl", {"reduction_factor": 4}, propetl),
}


def own(name, settings, encoder):
    plugin = adapter_method(name)
    return OwnAdapter(plugin.layer(plugin.settings.model_validate(settings), encoder.shape))


@pytest.mark.parametrize("case", CASES)
def test_the_official_weights_give_the_official_states(official, case):
    name, settings, ours = CASES[case]
    adaptation = own(name, settings, official.encoder)
    tensors = ours(parameters(official, case))
    fresh = adaptation.method.initial(stream(0, "init"))
    assert {key: one.shape for key, one in tensors.items()} == {key: one.shape for key, one in fresh.items()}
    (states,) = hidden_states(official.encoder, [Seat(adaptation, tensors)], [official.rectangle])
    torch.testing.assert_close(states, official.baselines[f"{case}/last_hidden_state"], **CLOSE)


@pytest.mark.parametrize("case", CASES)
def test_lanes_of_all_methods_in_one_pass_give_the_official_states(official, case):
    """Each method's additions stay on its own lane's rows, and the plain lane stays plain."""
    seats = [
        Seat(own(name, settings, official.encoder), ours(parameters(official, one)))
        for one, (name, settings, ours) in CASES.items()
    ]
    seats.append(Seat(own("head_only", {}, official.encoder), {}))
    states = hidden_states(official.encoder, seats, [official.rectangle] * len(seats))
    wanted = official.baselines[f"{case}/last_hidden_state"]
    torch.testing.assert_close(states[list(CASES).index(case)], wanted, **CLOSE)
    plain = torch.from_numpy(official.outputs["none/last_hidden_state"])
    torch.testing.assert_close(states[-1], plain, **CLOSE)


@pytest.mark.parametrize("part", ["down", "up"])
@pytest.mark.parametrize("layer", [0, 1])
def test_the_masks_are_the_official_ones(official, layer, part):
    scores = propetl(parameters(official, "propetl"))[f"scores.layer.{layer}.{part}"]
    assert torch.equal(mask_of(scores, 0.5), official.baselines[f"propetl/mask/layer.{layer}.{part}"].T)


def roberta(**changes):
    torch.manual_seed(0)
    config = transformers.RobertaConfig(
        vocab_size=60, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=40,
        max_position_embeddings=20, type_vocab_size=1, pad_token_id=1, hidden_act="gelu", **changes,
    )  # fmt: skip
    model = transformers.RobertaModel(config, add_pooling_layer=False).eval().double()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


@pytest.mark.parametrize("placement", ["both", "attention", "feed_forward"])
@pytest.mark.parametrize("non_linearity", ["swish", "relu"])
def test_houlsby_adds_to_each_sub_block_before_its_residual(non_linearity, placement):
    """Against transformers' own modules with the adapter hooked in after both output dropouts."""
    model = roberta()
    encoder = from_model(model)
    settings = {"reduction_factor": 4, "non_linearity": non_linearity, "placement": placement}
    adaptation = own("houlsby", settings, encoder)
    fresh = adaptation.method.initial(stream(0, "init"))
    tensors = {
        name: torch.randn(one.shape, dtype=torch.float64, generator=stream(1, name)) / 4
        for name, one in fresh.items()
    }
    activation = {"swish": F.silu, "relu": F.relu}[non_linearity]

    def adapt(base):
        down, up = (
            (tensors[f"{base}.{part}.weight"], tensors[f"{base}.{part}.bias"]) for part in ("down", "up")
        )
        return lambda module, arguments, out: out + F.linear(activation(F.linear(out, *down)), *up)

    ids = torch.randint(5, 60, (3, 7))
    plain = model(ids).last_hidden_state
    for index, layer in enumerate(model.encoder.layer):
        if placement != "feed_forward":
            layer.attention.output.dropout.register_forward_hook(adapt(f"layer.{index}.attention.out"))
        if placement != "attention":
            layer.output.dropout.register_forward_hook(adapt(f"layer.{index}.ffn.out"))
    wanted = model(ids).last_hidden_state
    assert not torch.allclose(wanted, plain)
    (states,) = hidden_states(encoder, [Seat(adaptation, tensors)], [encoder.rectangle(ids)])
    torch.testing.assert_close(states, wanted, **CLOSE)
