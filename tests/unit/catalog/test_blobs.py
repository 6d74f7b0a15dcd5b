"""Blobs: bytes by their digest, in a folder and behind fsspec URLs."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
import uuid

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterlab.catalog.blobs import LocalBlobs, RemoteBlobs, open_blobs, valid_digest
from adapterlab.errors import CorruptBlobError, UnavailableError

DATA = b"the weights of an adapter"
DIGEST = hashlib.sha256(DATA).hexdigest()
ABSENT = "0" * 64


@pytest.fixture(params=["folder", "file-url", "memory", "rename"])
def place(request, tmp_path):
    """URL of an empty store; ``rename`` is a protocol whose writes are not atomic by themselves."""
    memory = f"memory://test-{uuid.uuid4().hex}"
    yield {
        "folder": str(tmp_path / "blobs"),
        "file-url": f"file://{tmp_path / 'blobs'}",
        "memory": memory,
        "rename": f"local://{tmp_path / 'blobs'}",
    }[request.param]
    fsspec.filesystem("memory").store.clear()


def files_of(place):
    """Return every file of a store, by its path below the root."""
    system, root = fsspec.core.url_to_fs(place)
    return {path.removeprefix(root).lstrip("/"): system.cat_file(path) for path in system.find(root)}


def damage(place, data):
    """Overwrite the blob behind the store's back."""
    system, root = fsspec.core.url_to_fs(place)
    system.pipe_file(f"{root}/sha256/{DIGEST[:2]}/{DIGEST}.safetensors", data)


def test_what_is_written_is_read_and_nothing_else_is_left(place):
    blobs = open_blobs(place)
    assert blobs.write(DATA) == DIGEST
    assert blobs.read(DIGEST) == DATA
    assert blobs.exists(DIGEST)
    assert list(blobs.digests()) == [DIGEST]
    assert list(blobs.leftovers()) == []
    assert files_of(place) == {f"sha256/{DIGEST[:2]}/{DIGEST}.safetensors": DATA}


def test_writing_again_is_the_same_as_once(place):
    blobs = open_blobs(place)
    assert blobs.write(DATA) == blobs.write(DATA)
    assert list(open_blobs(place).digests()) == [DIGEST]


def test_an_empty_store_has_nothing(place):
    blobs = open_blobs(place)
    assert not blobs.exists(ABSENT)
    assert list(blobs.digests()) == list(blobs.leftovers()) == []
    with pytest.raises(CorruptBlobError, match="missing"):
        blobs.read(ABSENT)
    assert blobs.quarantine(ABSENT) is None


@pytest.mark.parametrize("bad", [b"", DATA[:-1], DATA + b"!", b"X" + DATA[1:]], ids=str)
def test_a_damaged_blob_is_found_set_aside_and_healed_by_writing(place, bad):
    blobs = open_blobs(place)
    blobs.write(DATA)
    damage(place, bad)
    with pytest.raises(CorruptBlobError, match="damaged"):
        blobs.read(DIGEST)
    aside = blobs.quarantine(DIGEST)
    assert "quarantine" in aside
    assert not blobs.exists(DIGEST)
    assert list(files_of(place).values()) == [bad]
    blobs.write(DATA)
    assert blobs.read(DIGEST) == DATA


def test_an_intact_blob_is_never_set_aside(place):
    blobs = open_blobs(place)
    blobs.write(DATA)
    assert blobs.quarantine(DIGEST) is None
    assert blobs.read(DIGEST) == DATA


def test_writing_replaces_a_damaged_file(place):
    blobs = open_blobs(place)
    blobs.write(DATA)
    damage(place, b"bad")
    blobs.write(DATA)
    assert blobs.read(DIGEST) == DATA


@pytest.mark.parametrize(
    "digest",
    ["", "../../etc/passwd", "a" * 63, "A" * 64, "a" * 64 + "/..", "a" * 64 + "\n", "é" * 64, "/" * 64],
)
def test_a_digest_that_is_none_never_becomes_a_path(place, digest):
    blobs = open_blobs(place)
    for use in (blobs.read, blobs.exists, blobs.quarantine):
        with pytest.raises(CorruptBlobError, match="not a blob digest"):
            use(digest)


@given(st.text(max_size=80))
@settings(max_examples=200)
def test_only_64_hexadecimal_digits_are_a_digest(text):
    expected = len(text) == 64 and set(text) <= set("0123456789abcdef")
    try:
        assert (valid_digest(text) == text) is expected
    except CorruptBlobError:
        assert not expected


@given(st.binary(max_size=3000))
@settings(max_examples=25, deadline=None)
def test_any_bytes_come_back(tmp_path_factory, data):
    blobs = LocalBlobs(tmp_path_factory.getbasetemp() / "any-bytes")
    assert blobs.read(blobs.write(data)) == data


@pytest.mark.parametrize("obstacle", ["", "sha256", f"sha256/{DIGEST[:2]}", "incoming"])
def test_a_store_that_cannot_be_written_says_so_and_leaves_nothing(tmp_path, obstacle):
    root = tmp_path / "blobs"
    (root / obstacle).parent.mkdir(parents=True, exist_ok=True)
    (root / obstacle).write_text("a file where a folder should be")
    blobs = LocalBlobs(root)
    with pytest.raises(UnavailableError, match="cannot store") as error:
        blobs.write(DATA)
    assert "submit again" in error.value.remedy
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files == [root / obstacle]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110
def test_a_full_disk_leaves_no_temporary_file(tmp_path, monkeypatch):
    blobs = LocalBlobs(tmp_path / "blobs")
    sync = os.fsync

    def full(descriptor):
        with open("/dev/full", "wb", buffering=0) as device:  # noqa: PTH123
            device.write(b"x")  # raises the system's own ENOSPC
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UnavailableError, match="No space left on device"):
        blobs.write(DATA)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_old_temporary_files_are_leftovers_and_fresh_ones_are_not(tmp_path):
    blobs = LocalBlobs(tmp_path)
    blobs.write(DATA)
    for name in ("old", "fresh"):
        (tmp_path / "incoming" / name).write_bytes(b"half")
    long_ago = time.time() - 2 * 24 * 3600
    os.utime(tmp_path / "incoming" / "old", (long_ago, long_ago))
    assert list(blobs.leftovers()) == [str(tmp_path / "incoming" / "old")]


def test_strange_files_in_the_store_are_no_blobs(tmp_path):
    blobs = LocalBlobs(tmp_path)
    blobs.write(DATA)
    (tmp_path / "sha256" / "ab").mkdir()
    (tmp_path / "sha256" / "ab" / "README.safetensors").write_text("hello")
    assert list(blobs.digests()) == [DIGEST]


def test_a_store_that_vanished_is_missing_not_broken(tmp_path):
    blobs = LocalBlobs(tmp_path / "blobs")
    blobs.write(DATA)
    shutil.rmtree(tmp_path / "blobs")
    with pytest.raises(CorruptBlobError, match="missing"):
        blobs.read(DIGEST)


def test_an_unknown_protocol_names_the_remedy():
    with pytest.raises(UnavailableError) as error:
        open_blobs("nosuchprotocol://bucket/x")
    assert "nosuchprotocol" in error.value.remedy


def test_names_for_messages_hold_no_secret():
    blobs = RemoteBlobs("memory://user:canary@bucket/path?token=canary#canary")
    assert "canary" not in blobs.name
    assert "bucket" in blobs.name
