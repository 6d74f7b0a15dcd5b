"""What a worker's process is told before it trains."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

GROWTH = """
import psutil, torch
from adapterlab.train.device import prepare
print(prepare(threads=1, gpu=True).type, torch.get_num_threads())
weight = torch.randn(64, 64).bfloat16()
def products(first, last):
    for tokens in range(first, last):
        torch.randn(tokens, 64).bfloat16() @ weight
    return psutil.Process().memory_info().rss
print(-products(100, 300) + products(300, 1300))
"""


def measured(**environment):
    """Return the device, the threads, and the bytes that products of ever other sizes keep."""
    done = subprocess.run(
        [sys.executable, "-c", GROWTH],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    device, threads, growth = done.stdout.split()
    return device, int(threads), int(growth)


def test_products_of_ever_other_sizes_do_not_fill_the_memory():
    """And who sets the number of kept kernels keeps it: 1,024 is oneDNN's own."""
    import torch

    device, threads, growth = measured()
    assert device == ("cuda" if torch.cuda.is_available() else "cpu")
    assert threads == 1
    if not torch.backends.mkldnn.is_available() or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("16-bit products are not oneDNN's here")
    *_, own = measured(ONEDNN_PRIMITIVE_CACHE_CAPACITY="1024", LRU_CACHE_CAPACITY="1024")
    assert own > 2 * growth
