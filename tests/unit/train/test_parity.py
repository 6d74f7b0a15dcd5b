"""Our modules, loaded with the official code's weights, give the official code's numbers (float64)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from adapterlab.registry.entry_points import combiner
from adapterlab.train.adaptation import OwnAdapter, Seat, SourcePool
from adapterlab.train.adaptation import hidden_states as lane_states
from adapterlab.train.combination import Combination, combiner_layer
from adapterlab.train.heads import head_layer
from adapterlab.train.layers import PoolContext
from adapterlab.train.passes import Pass
from adapterlab_adapterfusion.plugin import ADAPTERFUSION, AdapterFusionSettings
from adapterlab_adaptersoup.plugin import ADAPTERSOUP, AdapterSoupSettings
from adapterlab_bottleneck.plugin import PFEIFFER, PfeifferSettings
from adapterlab_fixed.plugin import PROBE, ProbeSettings
from adapterlab_scalearn.plugin import ScaLearnSettings
from official import load_official

VARIANTS = {
    "scalearn": ("vector", True),
    "scalearn_uniform": ("scalar", True),
    "scalearn_pp": ("vector", False),
    "scalearn_uniform_pp": ("scalar", False),
    "scalearn_mean": ("vector", True),
    "scalearn_softmax": ("vector", True),
}
CONSTRAINED = ("scalearn_mean", "scalearn_softmax")
SETTINGS = PfeifferSettings(reduction_factor=4)
CLOSE = {"rtol": 0, "atol": 1e-9}


@pytest.fixture(scope="module")
def official(reference_fixtures):
    """The reference arrays and a model built from the official weights."""
    return load_official(reference_fixtures)


def hidden_states(official, adaptation=None, tensors=None, generator=None):
    if adaptation is None:
        plain = official.encoder.forward(Pass((official.rectangle,)))
        return plain.view(*official.rectangle.token_ids.shape, -1)
    seat = Seat(adaptation, tensors, None, generator)
    return lane_states(official.encoder, [seat], [official.rectangle])[0]


def pool_of(official, adapters=None):
    method = PFEIFFER.layer(SETTINGS, official.encoder.shape)
    return SourcePool.build(method, official.pool if adapters is None else adapters, official.encoder)


def scalearn(pool, variant="scalearn", dropout=0.0):
    return combiner_layer(combiner(variant), ScaLearnSettings(), pool.shape, {"dropout": dropout})


def combination(official, variant="scalearn"):
    pool = pool_of(official)
    return Combination(pool, scalearn(pool, variant))


def omega(official, variant):
    kind, per_layer = VARIANTS[variant]
    if not per_layer:
        return official.base[f"omega.{kind}.shared"].double()[None]
    layers = range(official.encoder.shape.layers)
    return torch.stack([official.base[f"omega.{kind}.layer.{layer}"].double() for layer in layers])


def classifier(official):
    return {
        "head.dense.weight": official.base["classifier.dense.weight"].double(),
        "head.dense.bias": official.base["classifier.dense.bias"].double(),
        "head.out.weight": official.base["classifier.out_proj.weight"].double(),
        "head.out.bias": official.base["classifier.out_proj.bias"].double(),
    }


def answered(tensors, states):
    head = head_layer(outputs=len(tensors["head.out.bias"]), hidden_size=states.shape[-1])
    lengths = torch.full(states.shape[:1], states.shape[1])
    return head.forward(tensors, states[:, 0], lengths, dropout=0.0, generator=None)


def expect(official, name):
    return torch.from_numpy(np.asarray(official.outputs[name])).double()


def test_the_plain_backbone_agrees(official):
    torch.testing.assert_close(hidden_states(official), expect(official, "none/last_hidden_state"), **CLOSE)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_single_adapter_agrees(official, index):
    states = hidden_states(
        official, OwnAdapter(PFEIFFER.layer(SETTINGS, official.encoder.shape)), official.pool[index]
    )
    torch.testing.assert_close(states, expect(official, f"single_a{index}/last_hidden_state"), **CLOSE)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_folded_combination_agrees(official, variant):
    states = hidden_states(official, combination(official, variant), {"omega": omega(official, variant)})
    torch.testing.assert_close(states, expect(official, f"{variant}/last_hidden_state"), **CLOSE)


@pytest.mark.parametrize("variant", VARIANTS)
def test_outputs_and_loss_agree(official, variant):
    states = hidden_states(official, combination(official, variant), {"omega": omega(official, variant)})
    logits = answered(classifier(official), states)
    loss = torch.nn.functional.cross_entropy(logits, official.rectangle.labels)
    torch.testing.assert_close(logits, expect(official, f"{variant}/logits"), **CLOSE)
    torch.testing.assert_close(loss, expect(official, f"{variant}/loss").reshape(()), **CLOSE)


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_agree(official, variant):
    parameter = omega(official, variant).requires_grad_()
    states = hidden_states(official, combination(official, variant), {"omega": parameter})
    (states * official.base["grad_seed"].double()).mean().backward()
    for index, gradient in enumerate(parameter.grad):
        wanted = expect(official, f"{variant}/grad_hidden/omega.{index}")
        torch.testing.assert_close(gradient, wanted, **CLOSE)


@pytest.mark.parametrize("variant", VARIANTS)
def test_ten_training_steps_agree(official, variant):
    """The official optimizer adds eps before bias correction; it is written out here."""
    parameters = {"omega": omega(official, variant)} | classifier(official)
    parameters = {name: tensor.clone().requires_grad_() for name, tensor in parameters.items()}
    m = {name: torch.zeros_like(tensor) for name, tensor in parameters.items()}
    v = {name: torch.zeros_like(tensor) for name, tensor in parameters.items()}
    adaptation, losses = combination(official, variant), []
    for step in range(10):
        states = hidden_states(official, adaptation, parameters)
        logits = answered(parameters, states)
        loss = torch.nn.functional.cross_entropy(logits, official.rectangle.labels)
        losses.append(loss.detach())
        gradients = dict(zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True))
        norm = torch.sqrt(sum((g**2).sum() for g in gradients.values()))
        scale = min(1.0, 1.0 / (norm.item() + 1e-6))
        lr = 6e-3 * (1 - step / 10)
        for name, tensor in parameters.items():
            g = gradients[name] * scale
            m[name] = 0.9 * m[name] + 0.1 * g
            v[name] = 0.999 * v[name] + 0.001 * g * g
            rate = lr * (1 - 0.999 ** (step + 1)) ** 0.5 / (1 - 0.9 ** (step + 1))
            tensor.data -= rate * m[name] / (v[name].sqrt() + 1e-8)
    torch.testing.assert_close(
        torch.stack(losses), expect(official, f"{variant}/train10/losses"), rtol=0, atol=1e-8
    )
    for index, layer in enumerate(parameters["omega"].detach()):
        wanted = expect(official, f"{variant}/train10/omega_final.{index}")
        torch.testing.assert_close(layer, wanted, rtol=0, atol=1e-8)


@pytest.mark.parametrize("variant", [one for one in VARIANTS if one not in CONSTRAINED])
def test_dropout_is_on_the_coefficients(official, variant):
    """With the reference's keep mask in place of a drawn one, the states agree."""
    kind, per_layer = VARIANTS[variant]
    masks = [
        official.base[f"dropmask.{kind}.layer.{layer}"].double()
        for layer in range(official.encoder.shape.layers)
    ]
    values = omega(official, variant)
    dropped = torch.stack([values[i if per_layer else 0] * mask / 0.7 for i, mask in enumerate(masks)])
    states = hidden_states(official, combination(official, variant), {"omega": dropped})
    wanted = expect(official, f"{variant}/fixed_dropmask/last_hidden_state")
    torch.testing.assert_close(states, wanted, **CLOSE)


def test_drawn_dropout_zeroes_single_coefficients_and_scales_the_rest(official):
    pool = combination(official).pool.points[0]
    generator = torch.Generator().manual_seed(5)
    mirror = torch.Generator().manual_seed(5)
    values = omega(official, "scalearn")
    h = torch.randn(4, pool.up.shape[0] * pool.up.shape[2], dtype=torch.float64)
    shape = combination(official).pool
    dropped = scalearn(shape, dropout=0.3).forward({"omega": values}, 0, pool, h, h, generator=generator)
    keep = torch.empty_like(values[0]).bernoulli_(0.7, generator=mirror) / 0.7
    by_hand = scalearn(shape).forward({"omega": (values[0] * keep)[None]}, 0, pool, h, h, generator=None)
    torch.testing.assert_close(dropped, by_hand, **CLOSE)
    assert 0 < int((keep == 0).sum()) < keep.numel()


# -- the papers' baselines --------------------------------------------------------------------------


def fusion_tensors(official):
    return {
        name.removeprefix("fusion."): tensor.double()
        for name, tensor in official.base.items()
        if name.startswith("fusion.")
    }


def baseline(official, name):
    """Return how a baseline of the reference runs, and its tensors."""
    pool = pool_of(official)
    if name == "fusion":
        layer = ADAPTERFUSION.layer(AdapterFusionSettings(), pool.shape, dropout=0.0)
        return Combination(pool, layer), fusion_tensors(official)
    if name.startswith("soup"):
        weights = {"omega": official.base["soup.weights"].double().reshape(1, 3, 1)}
        layer = ADAPTERSOUP.layer(AdapterSoupSettings(), pool.shape)
        return Combination(pool_of(official, [layer.reduce(weights, official.pool)]), layer), weights
    weights = {"a0": 0.3} if "single" in name else {"a1": 0.7, "a2": 0.5}
    layer = PROBE.layer(ProbeSettings(weights=weights), pool.shape)
    fixed = layer.fixed(PoolContext(("a0", "a1", "a2"), "a2"))
    # The constants are float32 as every tensor that is kept; the reference has them in float64.
    exact = torch.tensor([weights.get(one, 0.0) for one in ("a0", "a1", "a2")], dtype=torch.float64)
    torch.testing.assert_close(fixed["omega"].flatten().double(), exact, rtol=0, atol=1e-7)
    return Combination(pool, layer), {"omega": exact.reshape(1, 3, 1)}


BASELINES = ("fusion", "probe_single_a0_0.3", "probe_pair_a1_0.7_a2_0.5", "soup_0.5_0.3_0.2")


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_agrees(official, name):
    states = hidden_states(official, *baseline(official, name))
    torch.testing.assert_close(states, expect(official, f"{name}/last_hidden_state"), **CLOSE)
    logits = answered(classifier(official), states)
    loss = torch.nn.functional.cross_entropy(logits, official.rectangle.labels)
    torch.testing.assert_close(logits, expect(official, f"{name}/logits"), **CLOSE)
    torch.testing.assert_close(loss, expect(official, f"{name}/loss").reshape(()), **CLOSE)


def test_the_value_regulariser_agrees(official):
    fusion, tensors = baseline(official, "fusion")
    wanted = expect(official, "fusion/value_reg_loss").reshape(())
    torch.testing.assert_close(fusion.penalty(tensors), wanted, **CLOSE)


def test_the_average_of_weights_is_adapterhubs(official, reference_fixtures):
    """AdapterHub keeps the weights of an average in float32."""
    theirs = np.load(reference_fixtures / "adapters_outputs.npz")
    wanted = torch.from_numpy(theirs["average_weights_0.5_0.3_0.2/last_hidden_state"]).double()
    states = hidden_states(official, *baseline(official, "soup_0.5_0.3_0.2"))
    torch.testing.assert_close(states, wanted, rtol=0, atol=1e-6)
    wanted = torch.from_numpy(theirs["fusion/last_hidden_state"]).double()
    states = hidden_states(official, *baseline(official, "fusion"))
    torch.testing.assert_close(states, wanted, **CLOSE)
