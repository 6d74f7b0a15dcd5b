"""Merges are their papers' formulas, written here once more in numpy, in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterlab.contracts import SHAPE, adapters_of
from adapterlab.errors import UsageError
from adapterlab.registry.entry_points import adapter_method
from adapterlab.train.layers import PoolContext
from adapterlab_bottleneck.plugin import PFEIFFER, PfeifferSettings
from adapterlab_lora.plugin import LORA, LoraSettings
from adapterlab_merges import merging
from adapterlab_merges.lorahub import unexplained
from adapterlab_merges.plugin import (
    DARE_LINEAR,
    DARE_TIES,
    LORAHUB,
    MAGNITUDE_PRUNE,
    SVD,
    TASK_ARITHMETIC,
    TIES,
    WEIGHTED_AVERAGE,
)

MERGES = [DARE_LINEAR, DARE_TIES, LORAHUB, MAGNITUDE_PRUNE, SVD, TASK_ARITHMETIC, TIES, WEIGHTED_AVERAGE]
CLOSE = {"rtol": 1e-9, "atol": 1e-9}
SOURCES = ("glue/mnli", "glue/cola", "glue/rte")
CONTEXT = PoolContext(SOURCES, "glue/rte")


def method_of(plugin, own=None):
    return plugin.layer(own or plugin.settings(), SHAPE)


def layer_of(plugin, method, own=None, **given):
    dimensions = {key: given.pop(key) for key in ("density", "scale") if key in given}
    pool = method.pool(own or method.settings(), SHAPE, 3)
    return plugin.layer(plugin.settings(**given), pool, **dimensions)


def merged(plugin, method, weights, adapters=None, **given):
    """Return the adapter made of three random ones, and these."""
    side = method_of(method)
    adapters = adapters or adapters_of(side, 3)
    omega = torch.tensor(weights, dtype=torch.float64).reshape(1, -1, 1)
    return layer_of(plugin, method, **given).merge({"omega": omega}, adapters, side), adapters


# -- the papers' formulas ---------------------------------------------------------------------------


def trim(values, density):
    """TIES, algorithm 1, step 1: the ⌊density·n⌋ entries of greatest magnitude."""
    flat = values.ravel()
    kept = np.zeros_like(flat)
    places = sorted(range(flat.size), key=lambda place: -abs(flat[place]))[: int(density * flat.size)]
    kept[places] = flat[places]
    return kept.reshape(values.shape)


def elected_mean(each, weights):
    """TIES, algorithm 1, steps 2 and 3, entry by entry."""
    out = np.zeros_like(each[0])
    for place in np.ndindex(out.shape):
        values = [one[place] for one in each]
        sign = 1 if sum(values) >= 0 else -1
        agreeing = [w * v for w, v in zip(weights, values, strict=True) if v * sign > 0]
        out[place] = sum(agreeing) / len(agreeing) if agreeing else 0.0
    return out


def arrays(adapters, name):
    return [one[name].numpy() for one in adapters]


NAME = "layer.1.down.weight"
WEIGHTS = [0.7, -0.4, 1.3]


def test_task_arithmetic_is_the_scaled_sum_of_task_vectors():
    got, adapters = merged(TASK_ARITHMETIC, PFEIFFER, WEIGHTS, scale=0.3)
    for name in got:
        wanted = sum(0.3 * w * one for w, one in zip(WEIGHTS, arrays(adapters, name), strict=True))
        np.testing.assert_allclose(got[name].numpy(), wanted, **CLOSE)


def test_ties_trims_elects_and_averages():
    got, adapters = merged(TIES, PFEIFFER, WEIGHTS, density=0.3, scale=0.5)
    for name in (NAME, "layer.0.up.bias"):
        each = [trim(one, 0.3) for one in arrays(adapters, name)]
        wanted = elected_mean(each, [0.5 * w for w in WEIGHTS])
        np.testing.assert_allclose(got[name].numpy(), wanted, **CLOSE)


def test_magnitude_pruning_adds_what_is_left_of_each():
    got, adapters = merged(MAGNITUDE_PRUNE, PFEIFFER, WEIGHTS, density=0.3, scale=1.0)
    wanted = sum(w * trim(one, 0.3) for w, one in zip(WEIGHTS, arrays(adapters, NAME), strict=True))
    np.testing.assert_allclose(got[NAME].numpy(), wanted, **CLOSE)


def test_dare_drops_at_random_and_rescales():
    """Every entry is 0 or ``1 / density`` of what it was, as many as the density says, others for another seed."""
    one = [1.0, 0.0, 0.0]
    first, adapters = merged(DARE_LINEAR, PFEIFFER, one, density=0.4, scale=1.0)
    again, _ = merged(DARE_LINEAR, PFEIFFER, one, density=0.4, scale=1.0)
    other, _ = merged(DARE_LINEAR, PFEIFFER, one, density=0.4, scale=1.0, seed=1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first[NAME], other[NAME])
    counts = []
    for name in first:
        before, after = adapters[0][name].numpy(), first[name].numpy()
        kept = after != 0
        np.testing.assert_allclose(after[kept], before[kept] / 0.4, **CLOSE)
        counts.append((kept.sum(), kept.size))
    share = sum(kept for kept, _ in counts) / sum(size for _, size in counts)
    assert share == pytest.approx(0.4, abs=0.08)


def test_dare_leaves_out_other_entries_of_every_source_and_tensor():
    each = [torch.ones(40, 40, dtype=torch.float64) for _ in range(3)]
    adapters = [{"x": one, "y": one} for one in each]

    class Plain:
        def products(self):
            return ()

    layer = layer_of(DARE_LINEAR, PFEIFFER, density=0.5, scale=1.0)
    masks = [
        layer.merge({"omega": torch.eye(3)[t].reshape(1, 3, 1)}, adapters, Plain())[name].bool()
        for t in range(3)
        for name in ("x", "y")
    ]
    agreement = [(a == b).double().mean() for i, a in enumerate(masks) for b in masks[:i]]
    assert all(float(one) == pytest.approx(0.5, abs=0.1) for one in agreement)


def test_dare_ties_elects_among_what_is_left(monkeypatch):
    kept = {}

    def noted(tensor, density, generator):
        mask = np.random.default_rng(len(kept)).random(tuple(tensor.shape)) < density
        kept[len(kept)] = mask
        return tensor * torch.from_numpy(mask) / density

    monkeypatch.setattr(merging, "dropped", noted)
    got, adapters = merged(DARE_TIES, PFEIFFER, WEIGHTS, density=0.4, scale=1.0)
    for place, name in enumerate(got):
        masks = [kept[3 * place + t] for t in range(3)]
        each = [one * mask / 0.4 for one, mask in zip(arrays(adapters, name), masks, strict=True)]
        np.testing.assert_allclose(got[name].numpy(), elected_mean(each, WEIGHTS), **CLOSE)


def test_frequency_counts_entries_and_total_their_size():
    stacked = torch.tensor([[3.0], [-1.0], [-1.0]], dtype=torch.float64)
    assert merging.disjoint_mean(stacked, [1.0] * 3, "total").tolist() == [3.0]
    assert merging.disjoint_mean(stacked, [1.0] * 3, "frequency").tolist() == [-1.0]


# -- LoRAs ------------------------------------------------------------------------------------------

UP, DOWN = "layer.2.attention.value.b", "layer.2.attention.value.a"


def test_factors_have_the_root_of_a_weight_each_and_one_has_its_sign():
    got, adapters = merged(TASK_ARITHMETIC, LORA, WEIGHTS, scale=1.0)
    signed = [np.sign(w) * abs(w) ** 0.5 for w in WEIGHTS]
    wanted = sum(w * one for w, one in zip(signed, arrays(adapters, DOWN), strict=True))
    np.testing.assert_allclose(got[DOWN].numpy(), wanted, **CLOSE)
    wanted = sum(abs(w) * one for w, one in zip(signed, arrays(adapters, UP), strict=True))
    np.testing.assert_allclose(got[UP].numpy(), wanted, **CLOSE)


@given(st.floats(-3, 3).filter(lambda w: abs(w) > 1e-3), st.sampled_from([0, 1, 2]))
@settings(max_examples=20, deadline=None)
def test_a_source_alone_counts_as_its_weight_says(weight, place):
    weights = [0.0] * 3
    weights[place] = weight
    got, adapters = merged(TASK_ARITHMETIC, LORA, weights, scale=1.0)
    product = adapters[place][UP] @ adapters[place][DOWN]
    torch.testing.assert_close(got[UP] @ got[DOWN], weight * product, **CLOSE)


def test_the_nearest_lora_of_a_rank_is_the_svds():
    got, adapters = merged(SVD, LORA, WEIGHTS, rank=5)
    assert got[UP].shape[1] == got[DOWN].shape[0] == 5
    each = [b @ a for b, a in zip(arrays(adapters, UP), arrays(adapters, DOWN), strict=True)]
    u, s, v = np.linalg.svd(sum(w * one for w, one in zip(WEIGHTS, each, strict=True)))
    np.testing.assert_allclose((got[UP] @ got[DOWN]).numpy(), (u[:, :5] * s[:5]) @ v[:5], **CLOSE)


def test_pruned_products_are_those_of_the_papers():
    got, adapters = merged(TIES, LORA, WEIGHTS, density=0.3, scale=1.0, space="product", rank=32)
    each = [trim(b @ a, 0.3) for b, a in zip(arrays(adapters, UP), arrays(adapters, DOWN), strict=True)]
    np.testing.assert_allclose((got[UP] @ got[DOWN]).numpy(), elected_mean(each, WEIGHTS), **CLOSE)


def test_loras_of_unequal_ranks_are_merged_as_products_alone():
    sides = [method_of(LORA, LoraSettings(r=rank, alpha=rank)) for rank in (2, 4, 8)]
    adapters = [adapters_of(side, 1)[0] for side in sides]
    got, _ = merged(SVD, LORA, [0.5, 0.25, 0.25], adapters)
    assert got[UP].shape[1] == 8
    with pytest.raises(
        UsageError, match=r"ties merges parameters one by one.* is \(2, 32\) and \(4, 32\)"
    ) as told:
        merged(TIES, LORA, [1.0] * 3, adapters, density=0.5)
    assert 'space = "product"' in told.value.remedy


@pytest.mark.parametrize("alphas", [(8.0, 32.0), (2.0, 8.0)])
def test_unequal_scales_go_into_both_factors_alike(alphas):
    """So a merge of factors sees each LoRA at its own strength."""
    own = [LoraSettings(r=8, alpha=alpha) for alpha in alphas]
    side = method_of(LORA, own[0])
    adapter = adapters_of(side, 1)[0]
    adopted = side.adopt(adapter, own[1])
    root = (alphas[1] / alphas[0]) ** 0.5
    torch.testing.assert_close(adopted[UP], adapter[UP] * root, **CLOSE)
    torch.testing.assert_close(adopted[DOWN], adapter[DOWN] * root, **CLOSE)


# -- what is merged, and what is refused ------------------------------------------------------------


@pytest.mark.parametrize("plugin", [one for one in MERGES if one is not SVD], ids=lambda one: one.name)
def test_what_weighs_nothing_takes_no_part(plugin):
    """Also not in the vote on signs."""
    three, adapters = merged(plugin, PFEIFFER, [0.5, 0.5, 0.0])
    loud = {name: 1e6 * one for name, one in adapters[2].items()}
    again, _ = merged(plugin, PFEIFFER, [0.5, 0.5, 0.0], [*adapters[:2], loud])
    assert all(torch.equal(three[name], again[name]) for name in three)
    nothing, _ = merged(plugin, PFEIFFER, [0.0] * 3)
    assert not any(bool(one.any()) for one in nothing.values())


@pytest.mark.parametrize("plugin", MERGES, ids=lambda one: one.name)
@pytest.mark.parametrize("name", ["compacter_pp", "propetl"])
def test_methods_whose_sums_mean_nothing_are_refused_by_name(plugin, name):
    method = adapter_method(name)
    told = plugin.misfit(plugin.settings(), method, [method.settings()], None)
    assert told == f"adapters of {name} cannot be merged: sums of their parameters mean nothing"
    side = method.layer(method.settings(), SHAPE)
    with pytest.raises(UsageError, match="cannot be merged"):
        layer_of(plugin, LORA).merge({"omega": torch.ones(1, 3, 1)}, adapters_of(side, 3), side)


def test_products_are_refused_where_there_are_none():
    told = SVD.misfit(SVD.settings(), PFEIFFER, [PFEIFFER.settings()], SHAPE)
    assert told == "it merges products of two factors, which adapters of pfeiffer do not have"
    with pytest.raises(UsageError, match="svd merges products"):
        merged(SVD, PFEIFFER, [1.0] * 3)


def test_unequal_widths_are_refused_before_anything_is_trained():
    each = [PfeifferSettings(reduction_factor=factor) for factor in (2, 4)]
    assert "differ in size" in TIES.misfit(TIES.settings(), PFEIFFER, each, SHAPE)
    assert TIES.misfit(TIES.settings(), PFEIFFER, each[:1] * 2, SHAPE) is None
    ranks = [LoraSettings(r=rank) for rank in (4, 8)]
    assert 'set space = "product"' in TIES.misfit(TIES.settings(), LORA, ranks, SHAPE)
    assert TIES.misfit(TIES.settings(space="product"), LORA, ranks, SHAPE) is None


def test_weights_are_named_by_task_and_an_average_divides_by_their_sum():
    def omega(plugin, **weights):
        fixed = layer_of(plugin, LORA, weights=weights).fixed(CONTEXT)
        return fixed["omega"].flatten().tolist()

    assert omega(TASK_ARITHMETIC) == [1, 1, 1]
    assert omega(TASK_ARITHMETIC, **{"glue/mnli": -0.5, "target": 2.0}) == [-0.5, 0, 2]
    assert omega(WEIGHTED_AVERAGE) == pytest.approx([1 / 3] * 3)
    assert omega(WEIGHTED_AVERAGE, **{"glue/mnli": -1.0, "target": 3.0}) == [-0.5, 0, 1.5]


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ({"glue/qqp": 1.0}, "does not hold glue/qqp"),
        ({"glue/rte": 1.0, "target": 1.0}, "twice"),
        ({"glue/mnli": 1.0, "glue/cola": -1.0}, "sum to 0"),
    ],
)
def test_weights_that_make_no_average_are_complained_of(weights, told):
    own = WEIGHTED_AVERAGE.settings(weights=weights)
    assert told in WEIGHTED_AVERAGE.complaint(own, SOURCES, "glue/rte")
    with pytest.raises(UsageError, match=told):
        layer_of(WEIGHTED_AVERAGE, LORA, weights=weights).fixed(CONTEXT)


def test_a_rank_is_of_products():
    with pytest.raises(ValueError, match="rank is chosen where products are merged"):
        TIES.settings(rank=4)


@given(st.integers(1, 6), st.floats(0.05, 1.0), st.integers(0, 5))
@settings(max_examples=30, deadline=None)
def test_a_merge_of_signs_never_leaves_the_range_of_its_sources(count, density, seed):
    generator = torch.Generator().manual_seed(seed)
    each = torch.randn(count, 7, 5, dtype=torch.float64, generator=generator)
    kept = torch.stack([merging.greatest(one, density) for one in each])
    mean = merging.disjoint_mean(kept, [1.0] * count, "total")
    assert bool((mean.abs() <= kept.abs().amax(0) + 1e-12).all())
    assert bool(((mean == 0) | (mean.sign() == kept.sum(0).sign())).all())


# -- LoraHub ----------------------------------------------------------------------------------------


def test_a_set_of_weights_is_as_good_as_a_head_on_rows_it_has_not_seen():
    """The closed form is what leaving out each row in turn gives."""
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(12, 5, dtype=torch.float64, generator=generator)
    targets = torch.randn(12, 2, dtype=torch.float64, generator=generator) + states[:, :1]
    own = states - states.mean(0)
    ridge = 0.1 * float((own**2).sum(1).mean())
    missed = 0.0
    for row in range(12):
        others = [one for one in range(12) if one != row]
        x, y = states[others].numpy(), targets[others].numpy()
        centre, mean = x.mean(0), y.mean(0)
        slope = np.linalg.solve(
            (x - centre).T @ (x - centre) + ridge * np.eye(5), (x - centre).T @ (y - mean)
        )
        missed += float(((targets[row].numpy() - mean - (states[row].numpy() - centre) @ slope) ** 2).sum())
    spread = float(((targets - targets.mean(0)) ** 2).sum())
    assert unexplained(states, targets) == pytest.approx(missed / spread, rel=1e-9)
    assert unexplained(states, torch.ones(12, 1, dtype=torch.float64)) == 1.0


def hub_context(adapters, helps):
    """Rows whose targets show the more, the more of one source there is in the merge."""
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(40, 6, dtype=torch.float64, generator=generator)
    targets = torch.randn(40, 1, dtype=torch.float64, generator=generator)

    def few_rows(merged, rows, seed):
        assert (rows, seed) == (64, 42)
        share = float((merged[NAME] * helps[NAME]).sum() / (helps[NAME] ** 2).sum())
        states = noise.clone()
        states[:, :1] += 3 * share * targets
        return states, targets

    return PoolContext(SOURCES, "glue/rte", method=method_of(PFEIFFER), adapters=adapters, few_rows=few_rows)


def test_lorahub_finds_the_source_that_helps():
    adapters = adapters_of(method_of(PFEIFFER), 3)
    layer = layer_of(LORAHUB, PFEIFFER)
    found = layer.fixed(hub_context(adapters, adapters[1]))["omega"].flatten()
    again = layer.fixed(hub_context(adapters, adapters[1]))["omega"].flatten()
    assert torch.equal(found, again)
    assert abs(float(found[1])) > 0.8
    assert bool((found.abs() <= 1.5).all())


def test_lorahub_sums_both_factors_under_the_whole_weight():
    got, adapters = merged(LORAHUB, LORA, WEIGHTS)
    for name in (UP, DOWN):
        wanted = sum(w * one for w, one in zip(WEIGHTS, arrays(adapters, name), strict=True))
        np.testing.assert_allclose(got[name].numpy(), wanted, **CLOSE)


def test_lorahub_without_rows_says_what_to_give():
    with pytest.raises(UsageError, match="rows of the target") as caught:
        layer_of(LORAHUB, LORA).fixed(CONTEXT)
    assert "coefficients" in caught.value.remedy
