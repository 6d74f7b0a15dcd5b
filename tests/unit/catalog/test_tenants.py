"""A store knows which catalogs keep weights in it, wherever their files are moved."""

from __future__ import annotations

import json
import shutil
import uuid

import fsspec
import pytest

from adapterlab.catalog import tenants
from adapterlab.catalog.blobs import open_blobs
from catalogs import BOTH_DATABASES, open_at, put_adapter


@pytest.fixture(params=["folder", "memory", "rename"])
def blobs(request, tmp_path):
    """An empty store."""
    yield open_blobs(
        {
            "folder": str(tmp_path / "store"),
            "memory": f"memory://test-{uuid.uuid4().hex}",
            "rename": f"local://{tmp_path / 'store'}",
        }[request.param]
    )
    fsspec.filesystem("memory").store.clear()


@pytest.mark.parametrize("catalog_url", BOTH_DATABASES, indirect=True)
def test_a_catalog_is_never_a_stranger_to_itself(catalog, blobs):
    assert tenants.others(catalog.database, blobs) == {}
    for _ in range(2):
        tenants.announce(catalog.database, blobs)
        assert tenants.others(catalog.database, blobs) == {}
    assert len(blobs.marks()) == 1


@pytest.mark.parametrize("catalog_url", BOTH_DATABASES, indirect=True)
def test_two_catalogs_see_each_other(catalog, blobs, tmp_path):
    with open_at(f"sqlite:///{tmp_path / 'other.db'}", tmp_path) as other:
        tenants.announce(catalog.database, blobs)
        assert list(tenants.others(other.database, blobs).values()) == [catalog.database.name]
        tenants.announce(other.database, blobs)
        assert list(tenants.others(catalog.database, blobs).values()) == [other.database.name]


@pytest.mark.parametrize("catalog_url", ["sqlite"], indirect=True)
def test_looking_gives_a_file_no_number(catalog, blobs, tmp_path):
    before = (tmp_path / "catalog.db").read_bytes()
    assert tenants.others(catalog.database, blobs) == {}
    assert blobs.marks() == {}
    assert (tmp_path / "catalog.db").read_bytes() == before


@pytest.mark.parametrize("catalog_url", ["sqlite"], indirect=True)
def test_a_copied_home_is_at_home_in_its_own_store(catalog, tmp_path):
    put_adapter(catalog, "a")
    catalog.close()
    for name in ("catalog.db", "blobs"):
        copy = shutil.copytree if (tmp_path / name).is_dir() else shutil.copy
        (tmp_path / "copy").mkdir(exist_ok=True)
        copy(tmp_path / name, tmp_path / "copy" / name)
    with open_at(f"sqlite:///{tmp_path / 'copy' / 'catalog.db'}", tmp_path / "copy") as copied:
        assert tenants.others(copied.database, copied.blobs) == {}


@pytest.mark.parametrize("catalog_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("content", [b"", b"[1]", b"{}", b"\xff", json.dumps({"catalog": None}).encode()])
def test_a_mark_nobody_can_read_is_a_stranger_s(catalog, blobs, content):
    blobs.mark("0" * 64, content)
    assert len(tenants.others(catalog.database, blobs)) == 1


@pytest.mark.parametrize("catalog_url", BOTH_DATABASES, indirect=True)
def test_publishing_announces_once(catalog, tmp_path):
    put_adapter(catalog, "a")
    (mark,) = (tmp_path / "blobs" / "catalogs").iterdir()
    mark.unlink()
    put_adapter(catalog, "b")
    assert not mark.exists()
