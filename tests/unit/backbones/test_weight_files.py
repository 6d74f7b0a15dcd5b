"""Safetensors files that lie about themselves are refused before anything loads them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterlab.backbones.weight_files import check_safetensors, weight_files, weights_digest
from adapterlab.errors import BackboneError
from adapterlab.fingerprint import digest_file, digest_of


def _file(header: object, data: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


GOOD = _file({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, bytes(8))


def test_a_real_file_of_the_library_passes(tmp_path):
    import numpy as np
    from safetensors.numpy import save_file

    path = tmp_path / "model.safetensors"
    save_file({"a": np.zeros((2, 3)), "b": np.ones(4, dtype=np.float32)}, path, metadata={"format": "pt"})
    check_safetensors(path)
    assert weights_digest(weight_files(tmp_path), tmp_path / "cache") == digest_file(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "cut off"),
        (b"\x08", "cut off"),
        ((2**63).to_bytes(8, "little") + b"{}", "cut off"),
        ((200_000_000).to_bytes(8, "little") + bytes(10), "cut off"),
        (GOOD[:-1], "cut off"),
        (GOOD + b"\0", "promises"),
        (_file({}), "no tensor"),
        (_file([1]), "broken"),
        (_file({"a": {"data_offsets": [4, 8]}}, bytes(8)), "holes"),
        (_file({"a": {"data_offsets": [0, 8]}, "b": {"data_offsets": [4, 12]}}, bytes(12)), "overlap"),
        (_file({"a": {"data_offsets": ["0", "8"]}}, bytes(8)), "broken"),
        (_file({"a": {}}, bytes(8)), "broken"),
        (_file({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}, bytes(8)), "has 8 bytes"),
        (_file({"a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 8]}}, bytes(8)), "has 8 bytes"),
        (_file({"a": {"dtype": "F32", "shape": [-2, -1], "data_offsets": [0, 8]}}, bytes(8)), "broken"),
        (b"\x05\0\0\0\0\0\0\0{{{{{" + bytes(8), "broken"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "Git LFS"),
    ],
)
def test_a_file_that_is_not_what_it_says_is_refused(tmp_path, content, says):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(BackboneError, match=says) as caught:
        check_safetensors(path)
    assert str(path) in caught.value.message
    assert caught.value.remedy


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_check(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(BackboneError):
        check_safetensors(path)


def test_shards_are_named_by_their_digests(tmp_path):
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    (tmp_path / names[0]).write_bytes(GOOD)
    (tmp_path / names[1]).write_bytes(
        _file({"b": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(4))
    )
    index = {"weight_map": {"a": names[0], "b": names[1], "c": names[0]}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    files = weight_files(tmp_path)
    assert [path.name for path in files] == names
    assert weights_digest(files, tmp_path / "cache") == digest_of(
        {path.name: digest_file(path) for path in files}
    )


@pytest.mark.parametrize(
    ("index", "says"),
    [
        ('{"weight_map": {"a": "missing.safetensors"}}', "missing"),
        ('{"weight_map": {"a": "../model.safetensors"}}', "no safetensors file of this folder"),
        ('{"weight_map": {"a": "weights.bin"}}', "no safetensors file of this folder"),
        ("{", "no JSON"),
        ("[]", "not an index"),
    ],
)
def test_an_index_that_leads_astray_is_refused(tmp_path, index, says):
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(BackboneError, match=says):
        weight_files(tmp_path)


def test_a_folder_without_weights_has_none(tmp_path):
    assert weight_files(tmp_path) == ()
