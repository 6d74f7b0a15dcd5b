"""What each adapter method computes and learns, by finite differences and by transformers' own model."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
import transformers

from adapterlab.errors import UsageError
from adapterlab.records import State, TrainSettings
from adapterlab.registry import entry_points
from adapterlab.train.activations import ACTIVATIONS
from adapterlab.train.adaptation import OwnAdapter, Seat, SourcePool, read_states
from adapterlab.train.lane import source_lane
from adapterlab.train.loop import train_lanes, train_step
from adapterlab.train.passes import epoch_batches, gather
from adapterlab.train.rng import stream
from adapterlab.train.step import RunStep, Steps, gradients_of
from adapterlab_encoder.loading import from_model
from adapterlab_propetl.layer import mask_of
from tiny_models import random_encoder, random_examples, random_task

METHODS = entry_points.names(entry_points.ADAPTER_METHODS)
ENCODER = random_encoder(layers=2, d=8, inner=12, dropout=0.0)
WIDE = {"reduction_factor": 2}
SETTINGS = {"pfeiffer": WIDE, "houlsby": WIDE, "compacter_pp": WIDE, "propetl": WIDE, "lora": {"r": 2}}


def own(name, shape=ENCODER.shape, **changes):
    plugin = entry_points.adapter_method(name)
    settings = plugin.settings.model_validate({**SETTINGS.get(name, {}), **changes})
    return OwnAdapter(plugin.layer(settings, shape))


def random_tensors(adaptation, seed=1):
    fresh = adaptation.method.initial(stream(0, "init"))
    return {
        name: torch.randn(one.shape, dtype=torch.float64, generator=stream(seed, name)) / 2
        for name, one in fresh.items()
    }


@pytest.mark.parametrize("name", [name for name in METHODS if name not in ("head_only", "full", "propetl")])
def test_gradients_are_those_of_finite_differences(name):
    """Through the whole backbone, to every tensor of the adapter; a smooth non-linearity."""
    smooth = {"non_linearity": "gelu"} if name in ("pfeiffer", "houlsby", "compacter_pp") else {}
    adaptation = own(name, **smooth)
    tensors = random_tensors(adaptation)
    rectangle = gather(random_examples(2, 2, seed=1, longest=4), torch.arange(2).numpy())
    names = list(tensors)

    def states(*values):
        seat = Seat(adaptation, dict(zip(names, values, strict=True)))
        return read_states(ENCODER, [seat], [rectangle])[0].sum(0)

    leaves = [tensors[one].requires_grad_() for one in names]
    assert torch.autograd.gradcheck(states, leaves, eps=1e-6, atol=1e-6, fast_mode=True)


@pytest.mark.parametrize("keep", [0.3, 0.5])
def test_propetl_gradients_pass_straight_through_the_mask(keep):
    """The weight gets the masked gradient, the score the unmasked one times the score's sign."""
    scores = torch.randn(6, 5, dtype=torch.float64, generator=stream(0, "s")).requires_grad_()
    weight = torch.randn(6, 5, dtype=torch.float64, generator=stream(0, "w")).requires_grad_()
    seed = torch.randn(6, 5, dtype=torch.float64, generator=stream(0, "g"))
    mask = mask_of(scores, keep)
    assert int(mask.sum()) == 30 - int((1 - keep) * 30)
    assert scores.abs()[mask == 1].min() > scores.abs()[mask == 0].max()
    (weight * mask * seed).sum().backward()
    torch.testing.assert_close(weight.grad, mask.detach() * seed)
    torch.testing.assert_close(scores.grad, weight.detach() * seed * scores.detach().sign())


def test_masks_keep_their_share_even_where_all_scores_are_alike():
    assert int(mask_of(torch.ones(4, 5), 0.5).sum()) == 10


def lane_of(name, seed=0, **training):
    adaptation = own(name)
    settings = {"lr": 1e-2, "max_epochs": 2, "patience": 2, "batch_size": 6, "head_dropout": 0.0, **training}
    return source_lane(
        ENCODER, adaptation.method, random_task(rows=18), TrainSettings(**settings),
        seed=seed, name=f"{name} {seed}", sees_test=True,
    )  # fmt: skip


def train(lanes, encoder=ENCODER):
    waiting = list(lanes)
    results = train_lanes(
        encoder, lambda: waiting.pop(0) if waiting else None, capacity=3, on_epoch=lambda *_: True
    )
    return {one.name: one for one in results}


def test_every_method_trains_to_a_result_and_learns():
    """All in one loop, three places; every tensor learns, and nothing of the shared backbone does."""
    before = ENCODER.weights()
    lanes = [lane_of(name, max_epochs=4, patience=4) for name in METHODS]
    started = {
        lane.name: {name: one.detach().clone() for name, one in lane.tensors.items()} for lane in lanes
    }
    results = train(lanes)
    for name in METHODS:
        result = results[f"{name} 0"]
        assert result.state is State.COMPLETE
        assert result.epochs[-1].train_loss < result.epochs[0].train_loss
        assert result.test_metrics is not None
        fresh = started[result.name]
        assert not any(torch.equal(one, fresh[key]) for key, one in result.tensors.items())
    assert all(torch.equal(one, before[name]) for name, one in ENCODER.weights().items())


def test_there_is_never_more_than_one_copy_of_the_backbone_in_training(monkeypatch):
    lanes = [lane_of("full", seed) for seed in range(3)] + [lane_of("lora"), lane_of("full", 3)]
    seen = []
    take = Steps.take
    monkeypatch.setattr(
        Steps,
        "take",
        lambda steps, active: (
            seen.append([one.adaptation.exclusive for one in active]),
            take(steps, active),
        ),
    )
    assert len(train(lanes)) == 5
    assert max(sum(one) for one in seen) == 1
    assert any(len(one) > 1 for one in seen)  # lanes that were there first share their pass


def bert(dropout=0.0):
    torch.manual_seed(3)
    config = transformers.BertConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=30, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout,
    )  # fmt: skip
    model = transformers.BertModel(config, add_pooling_layer=False).double()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


class HeadedBert(torch.nn.Module):
    """transformers' encoder under the two-layer head."""

    def __init__(self, encoder, tensors):
        super().__init__()
        self.encoder = encoder
        self.dense, self.out = torch.nn.Linear(16, 16).double(), torch.nn.Linear(16, 2).double()
        for ours, module in (("head.dense", self.dense), ("head.out", self.out)):
            module.weight.data.copy_(tensors[f"{ours}.weight"])
            module.bias.data.copy_(tensors[f"{ours}.bias"])

    def forward(self, rectangle):
        size = rectangle.token_ids.shape[1]
        mask = (torch.arange(size)[None] < rectangle.lengths[:, None]).long()
        states = self.encoder(
            rectangle.token_ids, attention_mask=mask, token_type_ids=rectangle.type_ids
        ).last_hidden_state
        return self.out(torch.tanh(self.dense(states[:, 0])))

    def named(self):
        ours = dict(self.encoder.named_parameters())
        for name in ("dense", "out"):
            module = getattr(self, name)
            ours |= {f"head.{name}.weight": module.weight, f"head.{name}.bias": module.bias}
        return ours


def test_full_fine_tuning_is_that_of_transformers_own_model():
    """Gradients of the first step to 1e-9 and weights after six to 1e-8, by Hugging Face names."""
    model = bert()
    encoder = from_model(model)
    task = random_task(rows=18)
    settings = TrainSettings(
        lr=1e-3, max_epochs=2, patience=2, batch_size=6, head_dropout=0.0, weight_decay=0.01, warmup_ratio=0.2
    )
    plugin = entry_points.adapter_method("full")
    lane = source_lane(
        encoder, plugin.layer(plugin.settings(), encoder.shape), task, settings, seed=5, name="full",
        sees_test=True,
    )  # fmt: skip
    reference = HeadedBert(model, lane.tensors)
    assert set(reference.named()) == set(lane.tensors)

    rectangle = gather(task.train, torch.arange(6).numpy())
    _, (gradients,) = gradients_of(encoder, [RunStep(lane.seat(), rectangle, lane.tensors)])
    F.cross_entropy(reference(rectangle), rectangle.labels).backward()
    for name, parameter in reference.named().items():
        torch.testing.assert_close(gradients[name], parameter.grad, rtol=0, atol=1e-9)

    optimizer = torch.optim.AdamW(reference.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    order = stream(5, "order")
    epochs = (epoch_batches(task.train.lengths, 6, order) for _ in range(2))
    for step, rows in enumerate(batch for batches in epochs for batch in batches):
        batch = gather(task.train, rows)
        optimizer.zero_grad()
        F.cross_entropy(reference(batch), batch.labels).backward()
        torch.nn.utils.clip_grad_norm_(reference.parameters(), settings.max_grad_norm)
        optimizer.param_groups[0]["lr"] = settings.lr * (step / 1 if step < 1 else (6 - step) / 5)
        optimizer.step()
    (result,) = train([lane], encoder).values()
    assert result.state is State.COMPLETE
    assert result.best_epoch == 2
    for name, parameter in reference.named().items():
        torch.testing.assert_close(result.tensors[name], parameter.detach(), rtol=0, atol=1e-8)


def test_a_freshly_made_adapter_leaves_the_backbone_as_it_is_where_it_should():
    """LoRA's B is zero, (IA)³'s factors are one; full fine-tuning starts from the backbone's weights."""
    rectangle = gather(random_examples(3, 2, seed=1), torch.arange(3).numpy())
    (plain,) = read_states(ENCODER, [Seat(own("head_only"), {})], [rectangle])
    for name in ("lora", "ia3", "full"):
        lane = lane_of(name)
        (states,) = read_states(ENCODER, [lane.seat()], [rectangle])
        torch.testing.assert_close(states, plain, rtol=0, atol=1e-12)


def test_propetl_scores_learn_faster_by_their_factor():
    """Adam's first step has the size of the rate, whatever the gradient's."""
    lane = lane_of("propetl", lr=1e-3)
    before = {name: one.detach().clone() for name, one in lane.tensors.items()}
    train_step(ENCODER, [lane])
    for name, rate in (("scores.layer.0.down", 5e-3), ("down.weight", 1e-3), ("head.dense.weight", 1e-3)):
        step = (lane.tensors[name].detach() - before[name]).abs()
        assert step.max().item() == pytest.approx(rate, rel=0.05)  # eps takes a little


@pytest.mark.parametrize("name", ["ia3", "head_only", "full"])
def test_what_has_no_linear_last_factor_is_refused_as_a_pool(name):
    adaptation = own(name)
    with pytest.raises(UsageError, match="cannot be combined"):
        SourcePool.build(adaptation.method, [{}], ENCODER)


def test_a_pool_has_a_point_for_each_layer_and_site():
    adaptation = own("houlsby")
    pool = SourcePool.build(adaptation.method, [random_tensors(adaptation, seed) for seed in (1, 2)], ENCODER)
    assert len(pool.points) == 4
    assert [pool.shape.point(site, layer) for layer in (0, 1) for site in pool.sites] == [0, 1, 2, 3]
    assert pool.sources == 2


def test_initial_weights_have_the_spread_they_should():
    """Compacter's rule N(0, 1e-4²), its factors Xavier-normal; LoRA's A and ProPETL's scores uniform."""
    shape = random_encoder(layers=1, d=256, inner=4).shape
    compacter = own("compacter_pp", shape, reduction_factor=4)
    tensors = compacter.method.initial(stream(0, "i"))
    assert tensors["phm_rule"].std().item() == pytest.approx(1e-4, rel=0.3)
    assert tensors["layer.0.down.left"].std().item() == pytest.approx((2 / 65) ** 0.5, rel=0.15)
    assert tensors["layer.0.down.right"].std().item() == pytest.approx((2 / 17) ** 0.5, rel=0.3)
    for name, key, bound in (
        ("lora", "layer.0.attention.query.a", 256**-0.5),
        ("propetl", "scores.layer.0.down", 128**-0.5),
        ("propetl", "scores.layer.0.up", 256**-0.5),
    ):
        values = own(name, shape).method.initial(stream(0, "i"))[key]
        assert 0.9 * bound < values.abs().max().item() <= bound
        assert values.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)


def test_non_linearities_are_those_of_transformers():
    from transformers.activations import ACT2FN

    x = torch.linspace(-4, 4, 50, dtype=torch.float64)
    for name in ACTIVATIONS.keys() & set(ACT2FN):
        torch.testing.assert_close(ACTIVATIONS[name](x), ACT2FN[name](x), rtol=0, atol=1e-12)
    torch.testing.assert_close(ACTIVATIONS["leakyrelu"](x), F.leaky_relu(x))


def test_every_offered_non_linearity_can_be_trained_with():
    schema = entry_points.adapter_method("pfeiffer").settings.model_json_schema()
    offered = schema["properties"]["non_linearity"]["enum"]
    assert set(offered) == set(ACTIVATIONS)
    x = torch.randn(3, 8, dtype=torch.float64)
    outputs = set()
    for name in offered:
        adaptation = own("pfeiffer", non_linearity=name)
        u = adaptation.method.forward(random_tensors(adaptation), "ffn", 0, x, x)
        outputs.add(round(float(u.sum()), 9))
    assert len(outputs) >= len(offered) - 3  # two names for silu, two for gelu_new


def test_batches_of_two_methods_are_the_same_rows():
    """Data order belongs to the seed, so that baselines differ in the method alone."""
    one, two = lane_of("lora", 4), lane_of("houlsby", 4)
    for _ in range(3):
        assert (one.next_step().rectangle.rows == two.next_step().rectangle.rows).all()
