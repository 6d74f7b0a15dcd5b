"""Folders of adapters as ``platform export`` writes them, and an empty home to import them into."""

from __future__ import annotations

import pytest

import tiny_trained
from adapterlab import home as homes
from adapterlab.api import export


@pytest.fixture(scope="package")
def made(tmp_path_factory):
    """A catalog of bottlenecks with its backbone."""
    return tiny_trained.write_trained(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="package")
def loras(tmp_path_factory):
    """A catalog of LoRAs on the same backbone."""
    settings = {"r": 4, "alpha": 8.0}
    return tiny_trained.write_trained(tmp_path_factory.mktemp("loras"), method="lora", settings=settings)


@pytest.fixture
def export_to(tmp_path, monkeypatch):
    """Export an adapter of a catalog to a folder."""

    def write(trained, key, name, **wishes):
        with monkeypatch.context() as patch:
            patch.setenv("ADAPTERLAB_HOME", str(trained.home))
            export(key, tmp_path / name, backbone=str(trained.backbone), **wishes)
        return tmp_path / name

    return write


@pytest.fixture
def stores(tmp_path, monkeypatch):
    """An empty home."""
    monkeypatch.setenv("ADAPTERLAB_HOME", str(tmp_path / "home"))
    for name in ("ADAPTERLAB_CATALOG", "ADAPTERLAB_BLOBS"):
        monkeypatch.delenv(name, raising=False)
    return homes.stores()
