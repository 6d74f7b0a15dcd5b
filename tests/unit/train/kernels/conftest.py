"""Triton's kernels, run by its interpreter where there is no GPU."""

from __future__ import annotations

import os

import pytest
import torch

if not torch.cuda.is_available():  # read when the kernels are first imported
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture(scope="session")
def with_triton():
    pytest.importorskip("triton", reason="Triton is made for Linux alone")
    from adapterlab.train.kernels import with_triton

    return with_triton
