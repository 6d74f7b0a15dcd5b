"""PEFT 0.21.2, in an environment of its own, merges LoRAs into what our merges make of them."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file, save_file

from adapterlab.records import BackboneShape, Site
from adapterlab.train.pooling import adopted
from adapterlab_lora.plugin import LORA, LoraSettings
from adapterlab_merges import layer as merges
from adapterlab_merges import merging
from adapterlab_merges.plugin import (
    DARE_LINEAR,
    DARE_TIES,
    MAGNITUDE_PRUNE,
    SVD,
    TASK_ARITHMETIC,
    TIES,
    WEIGHTED_AVERAGE,
)

pytestmark = [pytest.mark.adapterhub, pytest.mark.timeout(1800)]

LOADER = Path(__file__).parents[1] / "support" / "peft_merges.py"
WANTED = ("peft==0.21.2", "torch==2.13.0", "transformers==5.23.0")
WIDTH, VALUE = 24, 16
SHAPE = BackboneShape(
    layers=1,
    hidden_size=WIDTH,
    sites=(Site("attention.query", WIDTH, WIDTH), Site("attention.value", WIDTH, VALUE)),
)
ADAPTERS = {
    "one": {"r": 4, "lora_alpha": 4.0},
    "two": {"r": 4, "lora_alpha": 4.0},
    "three": {"r": 4, "lora_alpha": 4.0},
    "strong": {"r": 4, "lora_alpha": 16.0},
    "small": {"r": 2, "lora_alpha": 8.0},
    "rs_one": {"r": 4, "lora_alpha": 2.0, "use_rslora": True},
    "rs_two": {"r": 4, "lora_alpha": 2.0, "use_rslora": True},
}
EQUAL, SCALED, ANY = ["one", "two", "three"], ["one", "strong", "two"], ["one", "small", "strong"]
WEIGHTS = [1.0, 0.25, -2.25]
"""Their roots are exact in the float32 that PEFT puts weights into."""


@pytest.fixture(scope="session")
def peft_python() -> Path:
    """Python of an environment with PEFT; kept beside the temporary files for the next run."""
    mark = hashlib.sha256(" ".join((*WANTED, sys.version)).encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"adapterlab-peft-{mark}"
    python = folder / "bin" / "python"
    with FileLock(f"{folder}.lock"):
        if not (folder / "complete").exists():
            venv.create(folder, with_pip=True, clear=True)
            install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *WANTED]
            subprocess.run(install, check=True)
            (folder / "complete").touch()
    return python


def settings_of(name):
    about = ADAPTERS[name]
    # What PEFT scales by with rsLoRA: lora_alpha / √r.
    alpha = about["lora_alpha"] * (about["r"] ** 0.5 if about.get("use_rslora") else 1.0)
    return LoraSettings(r=about["r"], alpha=alpha)


def tensors_of(name):
    generator = torch.Generator().manual_seed(sorted(ADAPTERS).index(name))
    return {
        tensor: torch.randn(one.shape, dtype=torch.float64, generator=generator)
        for tensor, one in LORA.layer(settings_of(name), SHAPE).initial(torch.Generator()).items()
    }


def ours(plugin, names, weights, *, density=1.0, scale=1.0, **settings):
    """Return what our merge adds, by site."""
    each = [settings_of(name) for name in names]
    common = LORA.pooled(each)
    adapters = adopted(
        LORA, common, [(own, tensors_of(name)) for own, name in zip(each, names, strict=True)], SHAPE
    )
    pool, method = LORA.pool(common, SHAPE, len(names)), LORA.layer(common, SHAPE)
    layer = plugin.layer(plugin.settings(**settings), pool, density=density, scale=scale)
    omega = torch.tensor(weights, dtype=torch.float64).reshape(1, -1, 1)
    merged = layer.merge({"omega": omega}, adapters, method)
    return {
        site: method.scale * merged[f"layer.0.attention.{site}.b"] @ merged[f"layer.0.attention.{site}.a"]
        for site in ("query", "value")
    }


CASES = {
    "linear": ("linear", EQUAL, {}, TASK_ARITHMETIC, {}),
    "linear of unequal scales": ("linear", SCALED, {}, TASK_ARITHMETIC, {}),
    "ties": ("ties", EQUAL, {"density": 0.5}, TIES, {"density": 0.5}),
    "ties by frequency": (
        "ties",
        EQUAL,
        {"density": 0.4, "majority_sign_method": "frequency"},
        TIES,
        {"density": 0.4, "majority_sign": "frequency"},
    ),
    "magnitude_prune": ("magnitude_prune", SCALED, {"density": 0.3}, MAGNITUDE_PRUNE, {"density": 0.3}),
    "dare_linear": ("dare_linear", SCALED, {"density": 0.5}, DARE_LINEAR, {"density": 0.5}),
    "dare_ties": ("dare_ties", EQUAL, {"density": 0.5}, DARE_TIES, {"density": 0.5}),
    "svd": ("svd", ANY, {}, TASK_ARITHMETIC, {"space": "product"}),
    "svd of a rank": ("svd", ANY, {"svd_rank": 3}, TASK_ARITHMETIC, {"space": "product", "rank": 3}),
    "ties_svd": ("ties_svd", ANY, {"density": 0.5}, TIES, {"density": 0.5, "space": "product"}),
    "dare_linear_svd": (
        "dare_linear_svd",
        ANY,
        {"density": 0.5},
        DARE_LINEAR,
        {"density": 0.5, "space": "product"},
    ),
    "dare_ties_svd": (
        "dare_ties_svd",
        ANY,
        {"density": 0.5},
        DARE_TIES,
        {"density": 0.5, "space": "product"},
    ),
    "magnitude_prune_svd": (
        "magnitude_prune_svd",
        ANY,
        {"density": 0.3},
        MAGNITUDE_PRUNE,
        {"density": 0.3, "space": "product"},
    ),
}
MORE = {
    "average": ("svd", EQUAL, [0.5, 0.25, 0.25]),
    "rslora": ("linear", ["rs_one", "rs_two"], [1.0, 0.25]),
    "halves": ("linear", ["one", "one_again"], [0.25, 0.25]),
}


def masks_of(names, how, space):
    """Return what our DARE keeps, tensor by tensor in the order in which PEFT draws: 1 kept, 0 dropped."""
    drawn = []
    plain = merging.dropped
    with pytest.MonkeyPatch.context() as patch:

        def noted(tensor, density, generator):
            kept = plain(torch.ones_like(tensor), density, generator) * density
            drawn.append(kept)
            return tensor * kept / density

        patch.setattr(merges.merging, "dropped", noted)
        ours(DARE_LINEAR, names, [1.0] * len(names), **how)
    count = len(names)
    if space == "product":
        return drawn
    # Ours goes through A and B in the order of the tensors' names, as PEFT does: A of all adapters, then B.
    assert len(drawn) == 4 * count
    return drawn


@pytest.fixture(scope="module")
def theirs(peft_python, tmp_path_factory):
    """What PEFT's merges add, by case and site."""
    folder = tmp_path_factory.mktemp("peft")
    tensors = {
        f"{name}.{tensor.removeprefix('layer.0.attention.')}": one
        for name in ADAPTERS
        for tensor, one in tensors_of(name).items()
    }
    tensors |= {
        f"one_again.{name.removeprefix('one.')}": one.clone()
        for name, one in tensors.items()
        if name.startswith("one.")
    }
    asked = {}
    for name, (kind, adapters, how, _, own) in CASES.items():
        asked[name] = {"type": kind, "adapters": adapters, "weights": WEIGHTS, "how": how}
        if kind.startswith("dare"):
            drawn = masks_of(adapters, own, own.get("space"))
            asked[name]["masks"] = [f"mask.{name}.{number}" for number in range(len(drawn))]
            tensors |= dict(zip(asked[name]["masks"], drawn, strict=True))
    for name, (kind, adapters, weights) in MORE.items():
        asked[name] = {"type": kind, "adapters": adapters, "weights": weights, "how": {}}
    about = {**ADAPTERS, "one_again": ADAPTERS["one"]}
    document = {"widths": [WIDTH, VALUE], "adapters": about, "merges": asked}
    (folder / "wanted.json").write_text(json.dumps(document))
    save_file({name: one.contiguous() for name, one in tensors.items()}, folder / "given.safetensors")
    arguments = [folder / "wanted.json", folder / "given.safetensors", folder / "merged.safetensors"]
    subprocess.run([peft_python, LOADER, *arguments], check=True)
    return load_file(folder / "merged.safetensors")


def check(theirs, name, got, factor=1.0):
    for site, one in got.items():
        torch.testing.assert_close(one * factor, theirs[f"{name}.{site}"], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_a_merge_adds_what_pefts_does(theirs, name):
    _, adapters, _, plugin, settings = CASES[name]
    check(theirs, name, ours(plugin, adapters, WEIGHTS, **settings))


def test_an_average_of_products_is_pefts(theirs):
    """A weighted average in the space of products, and the combiner ``svd``."""
    weights = [0.5, 0.25, 0.25]
    check(theirs, "average", ours(SVD, EQUAL, weights))
    check(theirs, "average", ours(WEIGHTED_AVERAGE, EQUAL, weights, space="product"))


def test_where_peft_differs_as_documented(theirs):
    """Of rsLoRA PEFT's merge is √r times too strong; of equal LoRAs its mean is as often as strong as they are many."""
    check(theirs, "rslora", ours(TASK_ARITHMETIC, ["rs_one", "rs_two"], [1.0, 0.25]), factor=2.0)
    single = tensors_of("one")
    for site in ("query", "value"):
        alone = single[f"layer.0.attention.{site}.b"] @ single[f"layer.0.attention.{site}.a"]
        # (2·½B)(2·½A) is the LoRA itself, where weights that sum to ½ should make half of it.
        torch.testing.assert_close(theirs[f"halves.{site}"], alone, rtol=1e-9, atol=1e-9)
