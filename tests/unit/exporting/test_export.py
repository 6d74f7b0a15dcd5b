"""An export computes what was trained, is whole or absent, and tells nothing of this machine."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import threading

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

import adapterlab
from adapterlab.errors import (
    BackboneError,
    ConflictError,
    CorruptBlobError,
    NotFoundError,
    TrainingError,
    UnavailableError,
    UsageError,
)
from adapterlab.exporting import selftest
from adapterlab.exporting.adapter_folder import read_adapter, read_head
from adapterlab.exporting.draft import slug
from adapterlab.exporting.stored_models import open_trained
from adapterlab.provenance import DIRTY, Provenance, provenance_of
from adapterlab.train.adaptation import OwnAdapter, Seat
from adapterlab.train.heads import head_layer
from adapterlab.train.layers import Coefficients
from adapterlab.train.predict import outputs
from adapterlab_bottleneck.plugin import PFEIFFER, PfeifferSettings
from adapterlab_encoder.loading import load
from adapterlab_scalearn.layer import ScaLearnLayer
from catalogs import sql
from tiny_models import random_examples
from tiny_trained import COMBINERS, SHAPE, write_backbone

FILES = {
    "README.md",
    "adapter.safetensors",
    "adapter_config.json",
    "adapterlab.json",
    "head_config.json",
    "model_head.safetensors",
    "self_test.json",
}


def logits_of(folder, backbone, rows):
    """Run an exported folder by hand."""
    tensors = {**read_adapter(folder).tensors, **read_head(folder).tensors}
    head = head_layer(outputs=len(tensors["head.out.bias"]), hidden_size=backbone.shape.hidden_size)
    seat = Seat(
        OwnAdapter(PFEIFFER.layer(PfeifferSettings(), backbone.shape)),
        {k: v.to(backbone.dtype) for k, v in tensors.items()},
        head,
    )
    return outputs(backbone, seat, rows)


@pytest.mark.parametrize("what", [*COMBINERS, "stsb", "source"])
def test_an_export_computes_what_was_trained(world, tmp_path, what):
    key = world.sources[1] if what == "source" else world.transfers[what]
    exported = adapterlab.export(key, tmp_path / "out")
    with world.open() as catalog:
        trained = open_trained(catalog, key)
    backbone = load(world.backbone, dtype=torch.float64)
    rows = random_examples(30, 2, seed=1, vocab=25)
    wanted = outputs(backbone, trained.seat(backbone), rows)
    got = logits_of(tmp_path / "out", backbone, rows)
    np.testing.assert_allclose(got, wanted, rtol=0, atol=2e-6)  # folded weights are rounded to float32
    assert np.ptp(wanted, axis=0).min() > 0.1, "rows differ, so that agreeing means something"
    assert exported.difference < 1e-6
    assert exported.widths == ((4, 4) if what == "source" else (12, 12))


def test_the_folder_holds_everything_and_the_config_fits(world, tmp_path):
    exported = adapterlab.export(world.transfers["scalearn"], tmp_path / "deep" / "out")
    folder = tmp_path / "deep" / "out"
    assert (
        {path.name for path in folder.iterdir()}
        == FILES | {"coefficients.safetensors"}
        == set(exported.files)
    )
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["name"] == exported.name == f"rte-scalearn-{exported.key[:8]}"
    assert config["model_class"] == "BertAdapterModel"
    assert int(config["hidden_size"] // config["config"]["reduction_factor"]) == 12
    head = json.loads((folder / "head_config.json").read_text())
    assert head["config"]["label2id"] == {"entailment": 0, "not_entailment": 1}
    assert head["name"] == exported.name
    with world.open() as catalog:
        omega = open_trained(catalog, exported.key).coefficients(SHAPE)
    stored = load_file(folder / "coefficients.safetensors")["coefficients"]
    assert torch.equal(stored, torch.stack(omega.rows))
    assert not list(tmp_path.glob("deep/.*")), "no draft is left"


def test_the_self_test_is_true_and_fits_the_task(world, tmp_path):
    backbone = load(world.backbone)
    for what, texts in (("scalearn", {"text", "text_pair"}), ("cola", {"text"})):
        adapterlab.export(world.transfers[what], tmp_path / what)
        document = json.loads((tmp_path / what / "self_test.json").read_text())
        assert all(set(row) - {"input_ids", "token_type_ids", "logits"} == texts for row in document["rows"])
        assert len({len(row["input_ids"]) for row in document["rows"]}) > 1
        rows, wanted = selftest.rows_of(document, what)
        np.testing.assert_allclose(logits_of(tmp_path / what, backbone, rows), wanted, rtol=0, atol=1e-6)


def test_a_regression_has_one_output_and_no_class_names(world, tmp_path):
    adapterlab.export(world.transfers["stsb"], tmp_path / "out")
    head = json.loads((tmp_path / "out" / "head_config.json").read_text())
    assert head["config"]["num_labels"] == 1
    facts = json.loads((tmp_path / "out" / "adapterlab.json").read_text())
    assert facts["answers"]["problem_type"] == "regression"


def test_pickles_are_written_on_request_only(world, tmp_path):
    adapterlab.export(world.sources[0], tmp_path / "safe")
    assert not list((tmp_path / "safe").glob("*.bin"))
    adapterlab.export(world.sources[0], tmp_path / "both", pickles=True)
    for pickled, safe in (("pytorch_adapter", "adapter"), ("pytorch_model_head", "model_head")):
        tensors = torch.load(tmp_path / "both" / f"{pickled}.bin", weights_only=True)
        same = load_file(tmp_path / "both" / f"{safe}.safetensors")
        assert all(torch.equal(tensors[name], same[name]) for name in same)


def test_a_tolerance_drops_sources_and_says_what_it_changed(world, tmp_path):
    exact = adapterlab.export(world.transfers["scalearn_uniform_pp"], tmp_path / "exact")
    with world.open() as catalog:
        omega = open_trained(catalog, exact.key).coefficients(SHAPE).rows[0][:, 0]
    smallest = int(omega.abs().argmin())
    bound = float(omega.abs().min())
    dropped = adapterlab.export(exact.key, tmp_path / "dropped", tolerance=bound * 1.001)
    assert dropped.dropped == (exact.sources[smallest],)
    assert dropped.largest_dropped == pytest.approx(bound)
    assert (exact.widths, dropped.widths) == ((12, 12), (8, 8))
    assert dropped.difference > exact.difference
    card = (tmp_path / "dropped" / "README.md").read_text()
    assert f"sources left out altogether: {exact.sources[smallest]}" in card
    config = json.loads((tmp_path / "dropped" / "adapter_config.json").read_text())
    assert config["config"]["reduction_factor"] == 4


def test_layers_may_keep_different_sources(world, tmp_path):
    with world.open() as catalog:
        trained = open_trained(catalog, world.transfers["scalearn_uniform"])
    sizes = torch.stack(trained.coefficients(SHAPE).rows).abs().flatten()
    bound = float(sizes.sort().values[0]) * 1.001
    exported = adapterlab.export(trained.record.key, tmp_path / "out", tolerance=bound)
    assert sorted(exported.widths) == [8, 12]
    assert read_adapter(tmp_path / "out").described.width(exported.widths.index(8)) == 8


def test_the_card_is_valid_and_says_what_one_needs(world, tmp_path):
    adapterlab.export(
        world.transfers["scalearn"], tmp_path / "out", license="apache-2.0", base_model="owner/model"
    )
    text = (tmp_path / "out" / "README.md").read_text()
    matter = yaml.safe_load(text.split("---")[1])
    assert matter == {
        "library_name": "adapter-transformers",
        "base_model": "owner/model",
        "license": "apache-2.0",
        "datasets": ["glue", "superglue"],
        "metrics": ["accuracy"],
        "tags": ["adapter-transformers", "bert", "adapterlab", "adapterhub:glue/rte"],
        "model-index": [
            {
                "name": "rte-scalearn-6d001311",
                "results": [
                    {
                        "task": {"type": "text-classification"},
                        "dataset": {"type": "glue", "name": "glue/rte", "split": "test"},
                        "metrics": [{"type": "accuracy", "name": "accuracy", "value": 0.75}],
                    }
                ],
            }
        ],
    }
    for part in ("glue/mrpc", "superglue/cb", "0.7500", "0.8000", "use_safetensors=True", "owner/model"):
        assert part in text


def test_it_says_what_trained_it_and_what_exported_it(own_world, tmp_path):
    """The transfer was trained elsewhere, by older code; the source before anybody recorded that."""
    key = own_world.transfers["scalearn"]
    made_with = Provenance("0.0.9", "ab" * 20 + DIRTY, "3.11.2", "2.8.0+cu128", "5.1.0", "NVIDIA H100")
    with own_world.open() as catalog:
        columns = ", ".join(f"{name} = :{name}" for name in made_with.to_json())
        where = {"key": key, **made_with.to_json()}
        sql(catalog, f"UPDATE transfers SET {columns}, device = 'cuda:0' WHERE key = :key", **where)
    for one, name in ((key, "new"), (own_world.sources[0], "old")):
        adapterlab.export(one, tmp_path / name)
    parts = [
        (tmp_path / name / "README.md").read_text().partition("## Made with\n\n")[2]
        for name in ("new", "old")
    ]
    exporter = f"- exported with {provenance_of().code}\n"
    assert parts[0] == (
        "- trained with adapterlab 0.0.9, commit abababababab+dirty; torch 2.8.0+cu128, transformers 5.1.0, "
        f"Python 3.11.2; on cuda:0 (NVIDIA H100)\n{exporter}"
    )
    assert parts[1] == f"- trained with: unknown, the catalog did not record it yet\n{exporter}"
    new, old = (json.loads((tmp_path / name / "adapterlab.json").read_text()) for name in ("new", "old"))
    assert Provenance(**new["made_with"]) == made_with
    assert old["made_with"] is None
    assert new["exported_with"]["adapterlab_version"] == adapterlab.__version__


def test_nothing_of_this_machine_is_in_it(world, tmp_path):
    adapterlab.export(world.transfers["scalearn"], tmp_path / "out", pickles=True)
    for path in (tmp_path / "out").iterdir():
        data = path.read_bytes()
        assert str(world.backbone.parent).encode() not in data, path.name
        assert str(tmp_path).encode() not in data, path.name


def test_the_same_export_twice_is_the_same_bytes(world, tmp_path):
    for name in ("one", "two"):
        adapterlab.export(world.transfers["scalearn"], tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


# -- where it goes ----------------------------------------------------------------------------------


def test_an_empty_folder_is_filled_and_a_full_one_is_not_touched(world, tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    adapterlab.export(world.sources[0], target)
    before = sorted(path.name for path in target.iterdir())
    with pytest.raises(ConflictError, match="exists and is not empty; nothing was written"):
        adapterlab.export(world.transfers["scalearn"], target)
    assert sorted(path.name for path in target.iterdir()) == before
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConflictError, match="is a file"):
        adapterlab.export(world.sources[0], tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_link_to_an_empty_folder_is_followed(world, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    adapterlab.export(world.sources[0], tmp_path / "link")
    assert (tmp_path / "real" / "adapter.safetensors").is_file()
    assert (tmp_path / "link").is_symlink()


def test_a_place_that_cannot_be_written_is_an_error_of_its_own(world, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UnavailableError, match="cannot be written"):
        adapterlab.export(world.sources[0], tmp_path / "file" / "out")


def test_of_two_exports_into_one_folder_one_wins(world, tmp_path):
    results = []

    def run():
        try:
            results.append(adapterlab.export(world.sources[0], tmp_path / "out").kind)
        except ConflictError:
            results.append("conflict")

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["adapter", "conflict"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES


def test_the_draft_of_a_killed_export_is_removed_by_the_next_and_a_living_one_s_is_not(world, tmp_path):
    left, living, other = (
        tmp_path / name for name in (".out.0123abcd.draft", ".out.4567abcd.draft", ".other.0123abcd.draft")
    )
    for draft in (left, living, other):
        draft.mkdir()
        (draft / "README.md").write_text("half")
        for path in (draft / "README.md", draft):
            os.utime(path, (0, 0))
    lock = os.open(living, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        adapterlab.export(world.sources[0], tmp_path / "out")
    finally:
        os.close(lock)
    assert {path.name for path in tmp_path.iterdir()} == {"out", living.name, other.name}
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES


def test_what_does_not_compute_what_was_trained_never_appears(world, tmp_path, monkeypatch):
    """As it would be with a combiner whose coefficients depend on the token."""
    monkeypatch.setattr(
        ScaLearnLayer,
        "coefficients",
        lambda _, tensors: Coefficients.of(tensors["omega"].detach() * 1.01),
    )
    for settings in ({}, {"tolerance": 0.01}):
        with pytest.raises(TrainingError, match="logits differ by"):
            adapterlab.export(world.transfers["scalearn"], tmp_path / "out", **settings)
    assert not list(tmp_path.iterdir())


# -- what it is made of -----------------------------------------------------------------------------


def test_a_study_has_no_weights_and_names_those_that_have(world, tmp_path):
    with pytest.raises(UsageError, match="is a study") as refused:
        adapterlab.export(world.study, tmp_path / "out")
    assert world.transfers["scalearn"][:12] in refused.value.remedy


@pytest.mark.parametrize("key", ["0" * 64, "zz", "", "../../x"])
def test_a_key_of_nothing_is_refused(world, tmp_path, key):
    with pytest.raises(NotFoundError):
        adapterlab.export(key, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_looking_in_an_empty_home_creates_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("ADAPTERLAB_HOME", str(tmp_path / "home"))
    with pytest.raises(NotFoundError, match="the catalog is empty"):
        adapterlab.export("abcd", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_damaged_weights_are_found_and_nothing_is_written(own_world, tmp_path):
    with own_world.open() as catalog:
        blob = catalog.get_adapter(own_world.sources[0]).blob
    (path,) = own_world.home.glob(f"blobs/sha256/??/{blob}*")
    path.write_bytes(path.read_bytes()[:-4] + b"\x00\x00\x00\x01")
    with pytest.raises(CorruptBlobError):
        adapterlab.export(own_world.transfers["scalearn"], tmp_path / "out")
    with pytest.raises(CorruptBlobError, match="found damaged"):
        adapterlab.export(own_world.sources[0], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_backbone_is_refused_and_a_moved_one_can_be_named(world, tmp_path):
    write_backbone(tmp_path / "other", seed=5)
    with pytest.raises(BackboneError, match="was trained on a backbone with sha256"):
        adapterlab.export(world.sources[0], tmp_path / "out", backbone=str(tmp_path / "other"))
    shutil.copytree(world.backbone, tmp_path / "moved")
    exported = adapterlab.export(world.sources[0], tmp_path / "out", backbone=str(tmp_path / "moved"))
    assert exported.backbone is None
    with pytest.raises(NotFoundError, match="no folder"):
        adapterlab.export(world.sources[0], tmp_path / "out2", backbone=f"folder:{tmp_path / 'gone'}")


@pytest.mark.parametrize(
    "name", ["a.b", "", "../x", "items", "keys", "training", "-x", "a b", "ä", "x" * 101]
)
def test_a_name_the_library_could_not_use_is_refused(world, tmp_path, name):
    with pytest.raises(UsageError, match="cannot be an adapter's name"):
        adapterlab.export(world.sources[0], tmp_path / "out", name=name)
    assert not list(tmp_path.iterdir())


def test_a_name_of_ones_own_is_used(world, tmp_path):
    assert adapterlab.export(world.sources[0], tmp_path / "out", name="an4_v2").name == "an4_v2"
    assert read_adapter(tmp_path / "out").described.name == "an4_v2"


@given(st.lists(st.text(), max_size=3))
def test_a_slug_is_safe_everywhere(parts):
    assert re.fullmatch(r"[A-Za-z0-9_-]{0,100}", slug(*parts, "0a1b2c3d"))
    assert slug(*parts, "0a1b2c3d")
