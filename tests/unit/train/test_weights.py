"""Weights survive storage exactly, and bad bytes are refused."""

from __future__ import annotations

import pickle

import pytest
import torch

from adapterlab.errors import CorruptBlobError
from adapterlab.train import weights


def test_tensors_come_back_bit_for_bit():
    tensors = {"omega": torch.randn(2, 3, 1), "head.out.bias": torch.randn(4, dtype=torch.float64)}
    back = weights.from_bytes(weights.to_bytes(tensors, {"task": "glue/rte"}))
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)


def test_equal_tensors_give_equal_bytes():
    tensors = {"b": torch.ones(3), "a": torch.zeros(2)}
    facts = {"key": "0" * 64, "task": "glue/rte", "kind": "adapter", "more": "x"}
    written = {weights.to_bytes(tensors, facts) for _ in range(8)}
    assert written == {weights.to_bytes(dict(reversed(tensors.items())), facts)}


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff" * 8, b"\x00" * 64, pickle.dumps({"a": 1}), weights.to_bytes({"a": torch.ones(9)})[:-8]],
)
def test_bytes_that_are_no_safetensors_are_refused(data):
    with pytest.raises(CorruptBlobError):
        weights.from_bytes(data)


def test_values_that_are_not_finite_are_refused():
    with pytest.raises(CorruptBlobError, match="omega"):
        weights.from_bytes(weights.to_bytes({"omega": torch.tensor([1.0, float("nan")])}))
