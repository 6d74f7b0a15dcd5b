"""An AdapterFusion leaves as AdapterHub's setup and comes back the same; anything odd is refused."""

from __future__ import annotations

import json
import os
import pickle
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import adapterlab
from adapterlab.errors import BackboneError, DataError, NotFoundError, TrainingError, UsageError
from adapterlab.exporting import adapterfusion_format as fusion
from adapterlab.exporting.adapterfusion import seat_of
from adapterlab.exporting.stored_models import open_trained
from adapterlab.train.predict import outputs
from adapterlab_encoder.loading import load
from tiny_models import random_examples
from tiny_trained import write_backbone

ROWS = random_examples(8, 2, seed=4, vocab=25)
FUSION = "mrpc,cb,rte"


@pytest.fixture(scope="session")
def shared_setup(shared_world, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADAPTERLAB_HOME", str(shared_world.home))
        folder = tmp_path_factory.mktemp("fusion") / "out"
        exported = adapterlab.export(shared_world.transfers["adapterfusion"], folder, name="rte-fusion")
    return folder, exported


@pytest.fixture
def setup(shared_setup, tmp_path):
    """A copy that a test may damage."""
    shutil.copytree(shared_setup[0], tmp_path / "out")
    return tmp_path / "out"


def test_it_has_the_librarys_files(shared_setup):
    folder, exported = shared_setup
    assert exported.format == "adapterhub-fusion"
    assert set(exported.files) == {
        "README.md", "adapter_setup.json", "adapterlab.json", "coefficients.safetensors", "self_test.json",
        *(f"{one}/{file}" for one in ("mrpc", "cb", "rte") for file in ("adapter.safetensors", "adapter_config.json")),
        f"{FUSION}/adapter_fusion_config.json", f"{FUSION}/model_adapter_fusion.safetensors",
        "rte-fusion/head_config.json", "rte-fusion/model_head.safetensors",
    }  # fmt: skip
    told = json.loads((folder / "adapter_setup.json").read_text())
    assert told["adapter_setup"]["children"][0] == {"type": "single", "children": ["mrpc"]}
    assert told["head_setup"] == "rte-fusion"
    config = json.loads((folder / FUSION / "adapter_fusion_config.json").read_text())
    assert config["adapter_names"] == ["mrpc", "cb", "rte"]
    assert "bert.encoder.layer.1.output.adapter_fusion_layer.mrpc,cb,rte.value.weight" in load_file(
        folder / FUSION / "model_adapter_fusion.safetensors"
    )


def test_its_config_is_the_librarys(shared_setup, reference_fixtures):
    ours = json.loads((shared_setup[0] / FUSION / "adapter_fusion_config.json").read_text())
    theirs = json.loads(
        (reference_fixtures / "adapterhub_saved" / "fusion" / "adapter_fusion_config.json").read_text()
    )
    assert ours["config"] == theirs["config"]
    assert ours.keys() == theirs.keys()


def test_it_computes_what_was_trained(world, setup):
    backbone = load(world.backbone)
    with world.open() as catalog:
        trained = open_trained(catalog, world.transfers["adapterfusion"])
    got = outputs(backbone, seat_of(fusion.read_setup(setup), backbone), ROWS)
    np.testing.assert_allclose(got, outputs(backbone, trained.seat(backbone), ROWS), rtol=0, atol=1e-6)


def test_it_answers_as_the_catalog_does(world, setup):
    rows = [{"text": "a cat sees", "text_pair": "the dog hears"}]
    (one,) = adapterlab.predict(world.transfers["adapterfusion"], rows)
    (two,) = adapterlab.predict(setup, rows, backbone=str(world.backbone))
    assert one.label == two.label
    assert list(one.probabilities.values()) == pytest.approx(list(two.probabilities.values()), abs=1e-6)


def test_another_backbone_is_refused(setup, tmp_path):
    write_backbone(tmp_path / "other", seed=9)
    with pytest.raises(BackboneError, match="was trained on a backbone"):
        adapterlab.predict(setup, [{"text": "a"}], backbone=str(tmp_path / "other"))
    (setup / "adapterlab.json").unlink()
    write_backbone(tmp_path / "deep", layers=3)
    with pytest.raises(BackboneError, match="2 layers of width 32"):
        adapterlab.predict(setup, [{"text": "a"}], backbone=str(tmp_path / "deep"))


def test_pickles_are_written_on_request_and_read_the_same(world, tmp_path):
    adapterlab.export(world.transfers["adapterfusion"], tmp_path / "out", pickles=True)
    safe = fusion.read_fusion(tmp_path / "out" / FUSION)
    (tmp_path / "out" / FUSION / "model_adapter_fusion.safetensors").unlink()
    pickled = fusion.read_fusion(tmp_path / "out" / FUSION)
    assert all(torch.equal(safe.tensors[name], pickled.tensors[name]) for name in safe.tensors)


def test_the_librarys_own_folder_is_read(reference_fixtures):
    """The sample that ``adapters`` wrote holds the official weights."""
    read = fusion.read_fusion(reference_fixtures / "adapterhub_saved" / "fusion")
    assert read.names == ("a0", "a1", "a2")
    assert (read.layers, read.hidden_size, read.architecture) == (2, 32, "roberta")
    base = np.load(reference_fixtures / "tiny_base.npz")
    for name, tensor in read.tensors.items():
        np.testing.assert_array_equal(tensor.numpy(), base[f"fusion.{name}"])


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_with_a_payload_is_refused_and_not_run(reference_fixtures, tmp_path):
    shutil.copytree(reference_fixtures / "adapterhub_saved" / "fusion", tmp_path / "f")
    mark = tmp_path / "it ran"
    (tmp_path / "f" / "pytorch_model_adapter_fusion.bin").write_bytes(pickle.dumps(Payload(mark)))
    with pytest.raises(DataError, match="nothing in it was run"):
        fusion.read_fusion(tmp_path / "f")
    assert not mark.exists()


def _damage(tensors, how):
    name = next(
        one for one in tensors if one.endswith("layer.1.output.adapter_fusion_layer.mrpc,cb,rte.key.bias")
    )
    if how == "missing":
        del tensors[name]
    elif how == "extra":
        tensors[name.replace("key.bias", "dense.bias")] = tensors[name].clone()
    elif how == "another fusion's":
        tensors[name.replace("mrpc,cb,rte", "mrpc,cb")] = tensors.pop(name)
    elif how == "misshapen":
        tensors[name] = tensors[name][:-1].clone()
    elif how == "not a number":
        tensors[name][0] = float("nan")
    else:
        tensors[name.replace("layer.1.", "layer.3.")] = tensors.pop(name)


@pytest.mark.parametrize(
    "how", ["missing", "extra", "another fusion's", "misshapen", "not a number", "another layer's"]
)
def test_odd_tensors_are_refused(setup, how):
    path = setup / FUSION / "model_adapter_fusion.safetensors"
    tensors = load_file(path)
    _damage(tensors, how)
    save_file(tensors, path)
    with pytest.raises(DataError):
        fusion.read_setup(setup)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("temperature", True),
        ("residual_before", True),
        ("query_before_ln", True),
        ("value", False),
        ("new", 1),
    ],
)
def test_another_computation_is_refused(setup, key, value):
    path = setup / FUSION / "adapter_fusion_config.json"
    config = json.loads(path.read_text())
    config["config"][key] = value
    path.write_text(json.dumps(config))
    with pytest.raises(DataError, match=key):
        fusion.read_setup(setup)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda told: told["adapter_setup"].update(type="Stack"), "'Stack' setup"),
        (lambda told: told["adapter_setup"]["children"].reverse(), "does not exist"),
        (
            lambda told: told["adapter_setup"]["children"].append({"type": "single", "children": ["rte"]}),
            "twice",
        ),
        (lambda told: told["adapter_setup"]["children"][0].update(children=["../mrpc"]), "no adapter's name"),
        (lambda told: told["adapter_setup"]["children"][0].update(type="Stack"), "single adapters"),
        (lambda told: told.update(head_setup="../rte-fusion"), "no adapter's name"),
        (lambda told: told.update(head_setup=["a", "b"]), "expected one name"),
    ],
)
def test_odd_setups_are_refused(setup, change, complaint):
    path = setup / "adapter_setup.json"
    told = json.loads(path.read_text())
    change(told)
    path.write_text(json.dumps(told))
    with pytest.raises((DataError, NotFoundError), match=complaint):
        fusion.read_setup(setup)


def test_a_source_in_anothers_place_is_refused(setup):
    """Names decide which source has which key; a swapped folder would compute something else."""
    shutil.rmtree(setup / "mrpc")
    shutil.copytree(setup / "cb", setup / "mrpc")
    with pytest.raises(DataError, match="is named 'cb'"):
        fusion.read_setup(setup)


def test_a_changed_weight_fails_the_self_test(world, setup):
    path = setup / "cb" / "adapter.safetensors"
    tensors = load_file(path)
    name = next(one for one in tensors if one.endswith("up.weight"))
    tensors[name] = tensors[name] + 1
    save_file(tensors, path)
    with pytest.raises(TrainingError, match="self-test"):
        adapterlab.predict(setup, [{"text": "a"}], backbone=str(world.backbone))


def test_a_long_list_of_sources_gets_a_short_name():
    names = [f"task_{number}" for number in range(64)]
    assert fusion.fusion_name(names, "rte-fusion") == "rte-fusion"
    told = fusion.setup_config(names, "rte-fusion", None)
    assert told["adapter_setup"]["kwargs"] == {"name": "rte-fusion"}
    assert "kwargs" not in fusion.setup_config(names[:2], ",".join(names[:2]), None)["adapter_setup"]


def test_names_that_contain_each_other_stay_apart(tmp_path, monkeypatch):
    """The tasks an4 and an4_v2 of one pool, in either order."""
    from tiny_trained import write_trained

    for number, tasks in enumerate((("x/an4", "x/an4_v2", "y/an4"), ("x/an4_v2", "x/an4"))):
        world = write_trained(tmp_path / str(number), tasks=tasks)
        monkeypatch.setenv("ADAPTERLAB_HOME", str(world.home))
        adapterlab.export(world.transfers["adapterfusion"], tmp_path / f"out{number}")
        read = fusion.read_setup(tmp_path / f"out{number}")
        assert read.fusion.names == (("x-an4", "an4_v2", "y-an4") if number == 0 else ("an4_v2", "an4"))
        with world.open() as catalog:
            trained = open_trained(catalog, world.transfers["adapterfusion"])
        for source, wanted in zip(read.sources, trained.adapters, strict=True):
            assert all(torch.equal(source.tensors[name], wanted[name]) for name in wanted)


def test_a_fusion_is_composed_as_it_was_learned(world, setup):
    ids = torch.randint(4, 25, (3, 8), generator=torch.Generator().manual_seed(0))
    read = fusion.read_setup(setup)
    composed = adapterlab.compose(world.backbone, setup)(ids).last_hidden_state
    by_hand = adapterlab.compose(
        world.backbone, list(world.sources), "adapterfusion", dict(read.fusion.tensors)
    )
    torch.testing.assert_close(composed, by_hand(ids).last_hidden_state, rtol=0, atol=1e-6)
    assert torch.equal(composed, adapterlab.compose(world.backbone, [str(setup)])(ids).last_hidden_state)
    with pytest.raises(UsageError, match="is a fusion, which has its combiner"):
        adapterlab.compose(world.backbone, setup, "scalearn")
    with pytest.raises(UsageError, match="a fusion of several adapters, not one of a pool"):
        adapterlab.compose(world.backbone, [setup, world.sources[0]])
    write_backbone(setup.parent / "other", seed=9)
    with pytest.raises(BackboneError, match="was trained on a backbone with sha256"):
        adapterlab.compose(setup.parent / "other", setup)
