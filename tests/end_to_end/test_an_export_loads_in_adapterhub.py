"""``adapters`` 1.3.0, in an environment of its own, computes from an export what we trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

import adapterlab
from adapterlab.exporting import backbone_references as backbones
from adapterlab.exporting.adapter_folder import read_adapter, read_head
from adapterlab.exporting.draft import Exported
from adapterlab.exporting.stored_models import open_trained
from adapterlab.train.adaptation import OwnAdapter, Seat
from adapterlab.train.heads import head_layer
from adapterlab.train.predict import outputs
from adapterlab_bottleneck.plugin import PFEIFFER, PfeifferSettings
from foreign_environment import batch, hub_python, rows_of, run_in  # noqa: F401 - a fixture
from tiny_trained import COMBINERS, Trained, write_trained

pytestmark = [pytest.mark.adapterhub, pytest.mark.timeout(1800)]

SAFE = {"use_safetensors": True}
NAMES = [*COMBINERS, "stsb", "source", "tolerance", "pickles", "an4", "an4_v2"]
FUSIONS = ["fusion", "fusion_pickles"]
"""Setups; the first one again after the others, on adapters that are there already."""


@dataclass(frozen=True)
class Loaded:
    """Exports of one architecture, and what ``adapters`` made of them."""

    world: Trained
    folders: dict[str, Path]
    keys: dict[str, str]
    exported: dict[str, Exported]
    float32: dict[str, dict]
    float64: dict[str, dict]
    version: str


@pytest.fixture(scope="module", params=["bert", "roberta", "xlm-roberta", "electra", "deberta-v2"])
def loaded(request, hub_python, tmp_path_factory) -> Loaded:  # noqa: F811 - the fixture
    """Export everything, then load all of it into one model in the other environment."""
    folder = tmp_path_factory.mktemp(request.param)
    world = write_trained(folder, request.param)
    keys = {name: world.transfers[name] for name in (*COMBINERS, "stsb")}
    keys |= {"source": world.sources[1], "tolerance": keys["scalearn_uniform"], "pickles": keys["scalearn"]}
    keys |= {"an4": world.sources[0], "an4_v2": keys["scalearn_pp"]}
    chosen = {"tolerance": {"tolerance": 0.5}, "pickles": {"pickles": True}}
    keys |= dict.fromkeys(FUSIONS, world.transfers["adapterfusion"])
    chosen["fusion_pickles"] = {"pickles": True}
    folders = {name: folder / name for name in (*NAMES, *FUSIONS)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADAPTERLAB_HOME", str(world.home))
        exported = {
            name: adapterlab.export(keys[name], folders[name], name=name, **chosen.get(name, {}))
            for name in (*NAMES, *FUSIONS)
        }
    for name in ("pickles", "fusion_pickles"):
        for path in folders[name].rglob("*.safetensors"):
            path.unlink()  # the plain call must do with the pickles alone
    jobs = [
        {
            "folder": str(folders[name]),
            "arguments": {} if "pickles" in name else SAFE,
            "precision": precision,
            "again": precision == "double",
            "setup": name in FUSIONS,
        }
        for precision in ("float", "double")
        for name in (*NAMES, *FUSIONS)
    ]
    work = {"backbone": str(world.backbone), "rows": batch(request.param), "jobs": jobs}
    said = run_in(hub_python, "adapterhub_loader.py", work)
    both = [dict(zip((*NAMES, *FUSIONS), part, strict=True)) for part in np.array_split(said["answers"], 2)]
    return Loaded(world, folders, keys, exported, both[0], both[1], said["version"])


def ours(loaded, name, dtype):
    """What we compute: the exported adapter where sources were dropped, else what was trained."""
    backbone = backbones.load(
        backbones.locate(loaded.world.backbone, cache=loaded.world.home / "cache"), dtype=dtype
    )
    if name == "tolerance":
        tensors = {**read_adapter(loaded.folders[name]).tensors, **read_head(loaded.folders[name]).tensors}
        seat = Seat(
            OwnAdapter(PFEIFFER.layer(PfeifferSettings(), backbone.shape)),
            {k: one.to(dtype) for k, one in tensors.items()},
            head_layer(outputs=len(tensors["head.out.bias"]), hidden_size=backbone.shape.hidden_size),
        )
    else:
        with loaded.world.open() as catalog:
            seat = open_trained(catalog, loaded.keys[name]).seat(backbone)
    return outputs(backbone, seat, rows_of(backbone.config.architecture))


@pytest.mark.parametrize("name", NAMES)
def test_it_gives_our_logits(loaded, name):
    theirs = loaded.float32[name]
    assert theirs["name"] == name
    assert theirs["missing_keys"] == theirs["unexpected_keys"] == []
    wanted = ours(loaded, name, torch.float32)
    assert np.ptp(wanted, axis=0).min() > 0.1, "rows differ, so that agreeing means something"
    np.testing.assert_allclose(theirs["logits"], wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_it_gives_our_logits_in_double_precision(loaded, name):
    """The same formula, not only near it: what remains is the rounding of folded weights to float32."""
    exact = name in ("source", "an4", "tolerance")
    wanted = ours(loaded, name, torch.float64)
    np.testing.assert_allclose(loaded.float64[name]["logits"], wanted, rtol=0, atol=1e-11 if exact else 2e-6)


@pytest.mark.parametrize("name", NAMES)
def test_it_makes_bottlenecks_of_our_widths(loaded, name):
    assert tuple(loaded.float32[name]["widths"]) == loaded.exported[name].widths


@pytest.mark.parametrize("name", FUSIONS)
def test_a_fusion_gives_our_logits(loaded, name):
    theirs = loaded.float32[name]
    assert theirs["name"] == name
    assert theirs["adapters"] == ["mrpc", "cb", "rte"]
    wanted = ours(loaded, name, torch.float32)
    assert np.ptp(wanted, axis=0).min() > 0.1, "rows differ, so that agreeing means something"
    np.testing.assert_allclose(theirs["logits"], wanted, rtol=1e-6, atol=1e-6)
    exact = ours(loaded, name, torch.float64)
    np.testing.assert_allclose(loaded.float64[name]["logits"], exact, rtol=0, atol=1e-11)


def test_the_version_is_the_one_the_format_is_of(loaded):
    assert loaded.version == "1.3.0"
