"""The combiners' own rules: weights of a soup, vectors of tasks, coefficients that are fixed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from adapterlab.errors import TrainingError, UsageError
from adapterlab.records import PoolShape, Site
from adapterlab.train.layers import ModelFolder, PoolContext
from adapterlab_adaptersoup.layer import soup_weights
from adapterlab_adaptersoup.plugin import ADAPTERSOUP, AdapterSoupSettings
from adapterlab_adaptersoup.vectors import chosen, mean_vector
from adapterlab_fixed.plugin import PROBE, SINGLE, UNIFORM_AVERAGE, ProbeSettings
from adapterlab_scalearn.plugin import SCALEARN, ScaLearnSettings
from tiny_trained import write_backbone

CPU = torch.device("cpu")
THREE = PoolShape(2, (Site("ffn", 16, 16),), 3)


def soup(**settings):
    return ADAPTERSOUP.layer(AdapterSoupSettings(**settings), THREE)


# -- AdapterSoup --------------------------------------------------------------------------------------


def test_weights_are_the_greatest_similarities_over_their_sum():
    weights = soup_weights(torch.tensor([0.1, -0.5, 0.4, 0.3, 0.2]), 3)
    torch.testing.assert_close(
        weights, torch.tensor([0, 0, 4, 3, 2], dtype=torch.float64) / 9, rtol=0, atol=1e-7
    )


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=64), st.integers(1, 70))
def test_weights_sum_to_one_and_are_few(similarity, top_k):
    values = torch.tensor(similarity, dtype=torch.float64)
    if not bool((values > 0).any()):
        with pytest.raises(TrainingError, match="no source task's texts"):
            soup_weights(values, top_k)
        return
    weights = soup_weights(values, top_k)
    assert float(weights.sum()) == pytest.approx(1)
    assert int((weights > 0).sum()) <= top_k
    assert not bool(weights[values <= 0].any())


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder") / "model"
    write_backbone(folder)
    return folder


TEXTS = {
    "a/one": ["the cat sees a dog .", "a bird likes fish", "the big cat hears the small dog today"],
    "a/two": ["not never always", "and or today tomorrow here there .", "red green quick slow", "the a"],
    "a/goal": ["the cat likes a dog", "a small bird sees fish here"],
}


def context(encoder, cache, texts=TEXTS):
    return PoolContext(
        sources=("a/one", "a/two", "a/goal"),
        target="a/goal",
        digests={task: f"{task} {len(rows)}" for task, rows in texts.items()},
        texts=texts.__getitem__,
        models={"encoder": ModelFolder(encoder, "digest")},
        cache=cache,
    )


def unit_vectors(encoder, texts):
    """One by one, without batches."""
    vectors = [mean_vector([text], encoder, CPU) for text in texts]
    assert all(np.linalg.norm(one) == pytest.approx(1, abs=1e-6) for one in vectors)
    return np.stack(vectors)


def test_similarity_is_the_mean_cosine_of_all_pairs(encoder, tmp_path):
    fixed = soup().fixed(context(encoder, tmp_path))
    vectors = {task: unit_vectors(encoder, texts) for task, texts in TEXTS.items()}
    pairs = [float((vectors[task] @ vectors["a/goal"].T).mean()) for task in ("a/one", "a/two", "a/goal")]
    assert fixed["similarity"].flatten().tolist() == pytest.approx(pairs, abs=1e-6)
    assert float(fixed["omega"].sum()) == pytest.approx(1)


def test_vectors_are_kept_by_what_decides_them(encoder, tmp_path):
    layer = soup(top_k=2)
    first = layer.fixed(context(encoder, tmp_path))
    unreadable = dict.fromkeys(TEXTS)  # the texts are not looked at again
    pool = context(encoder, tmp_path)
    again = layer.fixed(
        PoolContext(pool.sources, pool.target, pool.digests, unreadable.__getitem__, pool.models, tmp_path),
    )
    assert torch.equal(first["omega"], again["omega"])
    files = sorted((tmp_path / "sentence-vectors").glob("*.npy"))
    assert len(files) == 3
    files[0].write_bytes(b"damaged")
    repaired = layer.fixed(context(encoder, tmp_path))
    assert torch.equal(first["omega"], repaired["omega"])


def test_the_chosen_texts_depend_on_the_seed_alone():
    texts = [str(number) for number in range(1000)]
    assert chosen(texts, 50, 42) == chosen(texts, 50, 42)
    assert len(set(chosen(texts, 50, 42))) == 50
    assert chosen(texts, 50, 42) != chosen(texts, 50, 43)
    assert chosen(texts, 5000, 42) == texts


def test_a_soup_without_texts_says_what_to_give():
    with pytest.raises(UsageError, match="not known here") as caught:
        soup().fixed(PoolContext(("a", "b", "c"), "b"))
    assert "coefficients" in caught.value.remedy


def test_adapters_of_different_sizes_have_no_mean():
    adapters = [{"up": torch.ones(2, 3)}, {"up": torch.ones(2, 4)}]
    weights = {"omega": torch.tensor([0.5, 0.5]).reshape(1, 2, 1)}
    with pytest.raises(UsageError, match="different sizes"):
        soup().reduce(weights, adapters)


@pytest.mark.parametrize(
    "encoder", ["hub:sentence-transformers/all-mpnet-base-v2", "all-mpnet", "hub:x@main"]
)
def test_an_encoder_is_named_with_its_commit(encoder):
    with pytest.raises(ValueError, match="encoder"):
        AdapterSoupSettings(encoder=encoder)
    assert AdapterSoupSettings(encoder=f"hub:owner/name@{'0' * 40}").top_k == 5


# -- fixed coefficients -------------------------------------------------------------------------------

POOL = PoolContext(("glue/mnli", "glue/cola", "glue/rte"), "glue/rte")


def coefficients(plugin, settings=None):
    fixed = plugin.layer(settings or plugin.settings(), THREE).fixed(POOL)
    return fixed["omega"].flatten().tolist()


def test_fixed_coefficients_are_what_they_are_called():
    assert coefficients(UNIFORM_AVERAGE) == pytest.approx([1 / 3] * 3)
    assert coefficients(SINGLE) == [0, 0, 1]
    weights = ProbeSettings(weights={"glue/mnli": 0.3, "target": 0.7})
    assert coefficients(PROBE, weights) == pytest.approx([0.3, 0, 0.7])


def test_a_probe_cannot_name_the_target_twice():
    settings = ProbeSettings(weights={"glue/rte": 0.3, "target": 0.7})
    assert "twice" in PROBE.complaint(settings, POOL.sources, POOL.target)
    with pytest.raises(UsageError, match="twice"):
        coefficients(PROBE, settings)


@pytest.mark.parametrize(
    "given",
    [{"weights": {"target": 1.0}, "grid": [0.0]}, {"grid": [0.1, 0.1]}, {"sources": ["a", "b", "c"]}],
)
def test_a_probe_is_one_point_or_one_grid(given):
    with pytest.raises(ValueError, match=r"weights|twice|over one or two"):
        ProbeSettings.model_validate(given)


# -- ScaLearn's regulariser ---------------------------------------------------------------------------


def test_the_regulariser_is_the_papers():
    omega = torch.tensor([[[0.5, 1.5], [2.0, 0.0]], [[1.0, 2.0], [0.0, 0.0]]], dtype=torch.float64)

    def penalty(values, **settings):
        layer = SCALEARN.layer(ScaLearnSettings(**settings), THREE, init_scale=2.0, dropout=0.0)
        return layer.penalty({"omega": values})

    assert penalty(omega) is None
    # means 1, 1, 1.5, 0 -> squares 0, 0, 0.25, 1
    assert float(penalty(omega, regulariser=0.1)) == pytest.approx(0.1 / 2 * 1.25)
    official = {"regulariser": 0.1, "regulariser_of": "official"}
    assert float(penalty(omega, **official)) == pytest.approx(0.1 / 2 * 1.25)
    # ++: sums 2, 2 -> squares 1, 1
    assert float(penalty(omega[:1], **official)) == pytest.approx(0.1 * 2)
    assert float(penalty(omega[:1], regulariser=0.1)) == pytest.approx(0.0)
