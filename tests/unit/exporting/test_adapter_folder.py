"""Files of an adapter's folder that lie, are damaged, or would run code."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file

from adapterlab.errors import AdapterlabError, DataError, NotFoundError
from adapterlab.exporting.adapter_folder import read_adapter, read_head
from adapterlab.train.tensor_files import read_tensor_file


@pytest.fixture
def folder(reference_fixtures, tmp_path):
    """A copy of a folder the library wrote, with safetensors."""
    shutil.copytree(reference_fixtures / "adapterhub_saved" / "a0_safetensors", tmp_path / "a0")
    return tmp_path / "a0"


@pytest.fixture
def pickled_folder(reference_fixtures, tmp_path):
    """A copy of a folder the library wrote, with a pickle."""
    shutil.copytree(reference_fixtures / "adapterhub_saved" / "a0", tmp_path / "pickled")
    return tmp_path / "pickled"


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_both_forms_hold_the_same(folder, pickled_folder):
    safe, pickled = read_adapter(folder), read_adapter(pickled_folder)
    assert safe.tensors.keys() == pickled.tensors.keys()
    assert all(torch.equal(safe.tensors[name], pickled.tensors[name]) for name in safe.tensors)
    assert safe.layers == 2
    assert safe.facts is None
    assert read_head(folder) is None


@pytest.mark.parametrize("how", ["torch.save", "plain pickle", "inside a tensor file"])
def test_a_pickle_with_a_payload_is_refused_and_not_run(pickled_folder, tmp_path, how):
    mark = tmp_path / "it ran"
    path = pickled_folder / "pytorch_adapter.bin"
    good = torch.load(path, weights_only=True)
    if how == "torch.save":
        torch.save(Payload(mark), path)
    elif how == "plain pickle":
        path.write_bytes(pickle.dumps(Payload(mark)))
    else:
        torch.save({**good, "more": Payload(mark)}, path)
    with pytest.raises(DataError, match=r"pytorch_adapter\.bin"):
        read_adapter(pickled_folder)
    assert not mark.exists()
    torch.load(path, weights_only=False) if how != "plain pickle" else pickle.loads(path.read_bytes())
    assert mark.exists(), "the payload works, so that the test means something"


def test_a_pickle_beside_safetensors_is_never_opened(folder, tmp_path):
    mark = tmp_path / "it ran"
    (folder / "pytorch_adapter.bin").write_bytes(pickle.dumps(Payload(mark)))
    assert read_adapter(folder).layers == 2
    assert not mark.exists()


def lying(header, data=b""):
    """Return a safetensors file with a header of our own."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 7,
        struct.pack("<Q", 2**63) + b"{}",
        lying(b"not json"),
        lying({"a": {"dtype": "F32", "shape": [1000], "data_offsets": [0, 4000]}}),
        lying({"a": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 4]}}, b"1234"),
        lying({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}, b"1234"),
        lying(
            {
                "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
                "b": {"dtype": "F32", "shape": [1], "data_offsets": [2, 6]},
            },
            b"123456",
        ),
        lying({"a": {"dtype": "X9", "shape": [1], "data_offsets": [0, 4]}}, b"1234"),
        lying({"a": {"dtype": "I64", "shape": [1], "data_offsets": [0, 8]}}, b"12345678"),
        lying({}),
        pickle.dumps({"a": 1}),
    ],
)
def test_a_safetensors_file_that_lies_is_refused(folder, data):
    (folder / "adapter.safetensors").write_bytes(data)
    with pytest.raises(DataError, match=r"adapter\.safetensors"):
        read_adapter(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(folder, pickled_folder, value):
    tensors = load_file(folder / "adapter.safetensors")
    next(iter(tensors.values())).view(-1)[0] = value
    save_file(tensors, folder / "adapter.safetensors")
    torch.save(tensors, pickled_folder / "pytorch_adapter.bin")
    for one in (folder, pickled_folder):
        with pytest.raises(DataError, match="not finite"):
            read_adapter(one)


@pytest.mark.parametrize(
    "content",
    [
        {},
        [1, 2],
        torch.zeros(3),
        {"a": 1},
        {1: torch.zeros(2)},
        {"a": torch.zeros(2, dtype=torch.int64)},
        {"a": torch.zeros(2, 2).to_sparse()},
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_pickle_that_holds_no_named_tensors_is_refused(tmp_path, content):
    path = tmp_path / "pytorch_adapter.bin"
    torch.save(content, path)
    with pytest.raises(DataError, match=r"pytorch_adapter\.bin"):
        read_tensor_file(path)


@pytest.mark.parametrize("cut", [0, 10, 500, -10])
def test_a_cut_off_pickle_is_refused(pickled_folder, cut):
    path = pickled_folder / "pytorch_adapter.bin"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match=r"pytorch_adapter\.bin"):
        read_adapter(pickled_folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"config": 3}', "\xff", "[" * 100_000])
def test_a_broken_config_is_refused(folder, text):
    (folder / "adapter_config.json").write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=r"adapter_config\.json"):
        read_adapter(folder)


def test_missing_files_are_named(folder, tmp_path):
    (folder / "adapter.safetensors").unlink()
    with pytest.raises(NotFoundError, match=r"no adapter\.safetensors and no pytorch_adapter\.bin"):
        read_adapter(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFoundError, match=r"adapter_config\.json does not exist"):
        read_adapter(tmp_path / "empty")


@pytest.mark.parametrize(
    "facts", ["{", "{}", '{"format": 99, "backbone": {"digest": "x"}}', '{"format": 1}', "[]"]
)
def test_broken_facts_of_ours_are_refused(folder, facts):
    (folder / "adapterlab.json").write_text(facts)
    with pytest.raises(AdapterlabError, match=r"adapterlab\.json"):
        read_adapter(folder)
