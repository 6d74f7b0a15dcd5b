"""Triton's kernels, run by its interpreter where there is no GPU: see the conftest of all tests."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def with_triton():
    pytest.importorskip("triton", reason="Triton is made for Linux alone")
    from adapterlab.train.kernels import with_triton

    return with_triton
