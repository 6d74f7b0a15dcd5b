"""Joint models with the official code's weights give the official code's numbers (float64)."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from adapterlab.plugin import HeadLayer
from adapterlab.records import JointSettings, ProblemType
from adapterlab.train.adaptation import hidden_states
from adapterlab.train.joint.sampling import JointSampler, probabilities
from adapterlab.train.joint.steps import JointSteps
from adapterlab.train.optimizer import advance, clipping, gradient_norms
from adapterlab.train.step import RunStep, gradients_of
from official_joint import METHODS, TASKS, load_official_joint

CLOSE = {"rtol": 0, "atol": 1e-9}
TRAJECTORY = {"rtol": 0, "atol": 1e-8}
COPA = ("hyperformerpp", "propetlm_fixed", "ftm")
"""Those whose COPA has our two-layer head, the pooler being its first layer."""


@pytest.fixture(scope="module")
def joint(reference_fixtures):
    return load_official_joint(reference_fixtures)


def answered(model, tensors, task, rectangle):
    """Return a task's hidden states, outputs, loss and gradients."""
    seat = model.seat(tensors, task)
    (states,) = hidden_states(model.backbone, [seat], [rectangle])
    outputs = seat.head.forward(seat.tensors, states[:, 0], rectangle.lengths, dropout=0.0, generator=None)
    (loss,), (gradients,) = gradients_of(
        model.backbone, [RunStep(model.seat(tensors, task), rectangle, tensors)]
    )
    return states, outputs, loss, gradients


def expect_gradients(found, wanted):
    assert {name for name, one in found.items() if one.any()} <= set(wanted) <= set(found)
    for name, one in wanted.items():
        torch.testing.assert_close(found[name], one, **CLOSE, msg=lambda m, name=name: f"{name}: {m}")


@pytest.mark.parametrize("method", METHODS)
def test_states_outputs_losses_and_gradients_agree(joint, method):
    model, tensors = joint.model(method), joint.tensors(method)
    total = {}
    for number, task in enumerate(TASKS):
        rectangle = joint.rectangle(task)
        states, outputs, loss, gradients = answered(model, tensors, task, rectangle)
        last = joint.array(f"{method}/{task}/hidden.{model.backbone.shape.layers}")
        torch.testing.assert_close(states.detach(), last, **CLOSE)
        wanted = joint.array(f"{method}/{task}/logits")
        torch.testing.assert_close(outputs.detach(), wanted, **CLOSE)
        torch.testing.assert_close(loss, joint.array(f"{method}/{task}/loss"), **CLOSE)
        if number == 0:
            expect_gradients(gradients, joint.group(f"{method}/grad_one/"))
        for name, gradient in gradients.items():
            total[name] = total.get(name, 0) + gradient
    expect_gradients(total, joint.group(f"{method}/grad_sum/"))


@pytest.mark.parametrize("method", METHODS)
def test_a_gradient_is_absent_where_a_task_has_no_part(joint, method):
    model, tensors = joint.model(method), joint.tensors(method)
    step = RunStep(model.seat(tensors, "tri"), joint.rectangle("tri"), tensors)
    _, (gradients,) = gradients_of(model.backbone, [step])
    assert set(gradients) == set(joint.group(f"{method}/grad_one/"))


@pytest.mark.parametrize("method", ["hyperformer", "hyperformerpp"])
def test_generated_adapters_agree(joint, method):
    model, tensors = joint.model(method), joint.tensors(method)
    for task in TASKS:
        made = model.layer.adapter(tensors, task)
        for name, wanted in joint.group(f"{method}/{task}/generated.").items():
            _, layer, part = name.split(".", 2)
            found = model.layer.projected(tensors, task, int(layer)) if part == "z" else made[name]
            torch.testing.assert_close(found.detach(), wanted, **CLOSE)


@pytest.mark.parametrize("method", ["propetlm", "propetlm_fixed"])
def test_masks_are_equal(joint, method):
    model, tensors = joint.model(method), joint.tensors(method)
    for task in TASKS:
        for layer in range(model.backbone.shape.layers):
            masks = model.layer.masks(tensors, task, layer)
            for part, wanted in joint.group(f"{method}/{task}/mask.layer.{layer}.").items():
                assert torch.equal(masks[part].detach(), wanted.double())


@pytest.mark.parametrize("method", COPA)
def test_multiple_choice_agrees(joint, method):
    model, tensors = joint.model(method, ("bin", "copa")), joint.tensors(method, "copa/")
    states, outputs, loss, gradients = answered(model, tensors, "copa", joint.rectangle("copa"))
    torch.testing.assert_close(states.detach(), joint.array(f"copa/{method}/last_hidden_state"), **CLOSE)
    torch.testing.assert_close(outputs.detach().view(-1, 2), joint.array(f"copa/{method}/logits"), **CLOSE)
    torch.testing.assert_close(loss, joint.array(f"copa/{method}/loss"), **CLOSE)
    for name, wanted in joint.group(f"copa/{method}/grad/").items():
        torch.testing.assert_close(gradients[name], wanted, **CLOSE)


class OneLayer(HeadLayer):
    """Adapter-m's head for choices in the official code, without a hidden layer."""

    def initial(self, generator):
        del generator
        raise AssertionError

    def forward(self, tensors, states, lengths, *, dropout, generator):
        del lengths, dropout, generator
        return torch.nn.functional.linear(states, tensors["head.out.weight"], tensors["head.out.bias"])


def test_multiple_choice_agrees_for_adapter_m_with_the_official_head(joint):
    model, tensors = joint.model("adapterm", ("bin", "copa")), joint.tensors("adapterm", "copa/")
    model = replace(model, heads={**model.heads, "copa": OneLayer(ProblemType.MULTIPLE_CHOICE)})
    _, outputs, loss, gradients = answered(model, tensors, "copa", joint.rectangle("copa"))
    torch.testing.assert_close(outputs.detach().view(-1, 2), joint.array("copa/adapterm/logits"), **CLOSE)
    torch.testing.assert_close(loss, joint.array("copa/adapterm/loss"), **CLOSE)
    expect_gradients(gradients, joint.group("copa/adapterm/grad/"))


@pytest.mark.parametrize("run", ["train10", "warm10"])
@pytest.mark.parametrize("method", METHODS)
def test_ten_steps_agree(joint, method, run):
    model, tensors = joint.model(method), joint.tensors(method)
    warmup = 0.1 * int(joint.array("settings/warmup_steps_warm10")) if run == "warm10" else 0.0
    settings = JointSettings(lr=1e-3 if method == "ftm" else 3e-3, steps=10, warmup_ratio=warmup)
    steps = JointSteps(tensors, settings, model.layer.lr_factor)
    tasks = [list(TASKS)[number] for number in joint.array("train10/order").tolist()]
    losses, norms, rates = [], [], []
    for task in tasks:
        rates.append(steps.rate)
        step = RunStep(model.seat(tensors, task), joint.rectangle(task), tensors)
        (loss,), (gradients,) = gradients_of(model.backbone, [step])
        own = gradient_norms(list(gradients.values())).tolist()
        losses.append(float(loss))
        norms.append(math.hypot(*own))
        scale = clipping(own, settings.max_grad_norm)[1]
        updates = steps.updates(gradients)
        advance(updates, [scale] * len(updates))
    torch.testing.assert_close(
        torch.tensor(losses, dtype=torch.float64), joint.array(f"{method}/{run}/losses"), **TRAJECTORY
    )
    wanted_rates = joint.array(f"{method}/{run}/lr")
    torch.testing.assert_close(
        torch.tensor(rates, dtype=torch.float64), wanted_rates[:, 0], rtol=0, atol=1e-15
    )
    for name in (name for name in tensors if name.startswith("score.")):
        scaled = wanted_rates[:, 0] * model.layer.lr_factor(name)
        torch.testing.assert_close(scaled, wanted_rates[:, 1], rtol=0, atol=1e-15)
    if run == "train10":
        wanted = joint.array(f"{method}/{run}/grad_norm")
        torch.testing.assert_close(torch.tensor(norms, dtype=torch.float64), wanted, **TRAJECTORY)
        for name, final in joint.group(f"{method}/{run}/final/").items():
            torch.testing.assert_close(tensors[name].detach(), final, **TRAJECTORY)
        for task in TASKS:
            _, outputs, _, _ = answered(model, tensors, task, joint.rectangle(task))
            logits = joint.array(f"{method}/{run}/final_logits/{task}")
            torch.testing.assert_close(outputs.detach(), logits, **TRAJECTORY)


@pytest.mark.parametrize("temperature", [1, 2, 10])
def test_official_batches_are_drawn(joint, temperature):
    sizes = {f"task{i}": rows for i, rows in enumerate(joint.array("sampling/small/sizes").tolist())}
    offsets = [0, *torch.tensor(list(sizes.values())).cumsum(0).tolist()]
    settings = JointSettings(
        lr=1.0,
        temperature=temperature,
        batch_size=int(joint.array("sampling/small/batch_size")),
        sampler_seed=0,
    )
    sampler = JointSampler(sizes, settings, seed=7)
    assert sampler.batches_per_epoch == int(joint.array("sampling/small/batches_per_epoch"))
    base = f"sampling/small/T{temperature}"
    shares = torch.from_numpy(sampler.probabilities)
    torch.testing.assert_close(shares, joint.array(f"{base}/probabilities"), rtol=0, atol=1e-15)
    count = sampler.batches_per_epoch
    for epoch in (0, 1):
        batches = [sampler.batch(step) for step in range(epoch * count, (epoch + 1) * count)]
        rows = torch.tensor([(offsets[task] + rows).tolist() for task, rows in batches])
        assert torch.equal(rows, joint.array(f"{base}/epoch{epoch}_indices"))
        if epoch == 0:
            assert [task for task, _ in batches] == joint.array(f"{base}/epoch0_tasks").tolist()


def test_official_batches_of_a_capped_task_are_drawn(joint):
    sizes = {f"task{i}": rows for i, rows in enumerate(joint.array("sampling/capped/sizes_real").tolist())}
    wanted = joint.array("sampling/capped/T1/epoch0_indices")
    settings = JointSettings(
        lr=1.0,
        temperature=1,
        batch_size=wanted.shape[1],
        sampler_seed=0,
        caps={"task2": int(joint.array("sampling/capped/cap"))},
        capped_rows="first",
    )
    sampler = JointSampler(sizes, settings, seed=7)
    offsets = [0, *torch.tensor(list(sizes.values())).cumsum(0).tolist()]
    rows = torch.tensor([(offsets[task] + rows).tolist() for task, rows in sampler.epoch(0)])
    assert torch.equal(rows, wanted)


@pytest.mark.parametrize("suite", ["glue", "superglue_capped"])
@pytest.mark.parametrize("temperature", [1, 2, 10])
def test_official_probabilities_at_real_sizes_agree(joint, suite, temperature):
    found = probabilities(joint.array(f"sampling/{suite}/sizes").tolist(), temperature)
    wanted = joint.array(f"sampling/{suite}/T{temperature}/probabilities")
    torch.testing.assert_close(torch.from_numpy(found), wanted, rtol=0, atol=1e-15)
