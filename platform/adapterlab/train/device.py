"""The device a worker trains on, and in which precision."""

from __future__ import annotations

import logging
import os

import torch

_LOG = logging.getLogger(__name__)

_KEPT_KERNELS = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128", "LRU_CACHE_CAPACITY": "128"}
"""How many kernels oneDNN, and torch's layer above it, keep for products in 16 bits: one for each number of
tokens, of which a step has some 30. Their own 1,024 fill up to a GB of a worker, and save no time that could
be measured, because steps differ in tokens."""


def prepare(*, threads: int, gpu: bool) -> torch.device:
    """Set this process's CPU threads and kept kernels, and return the device to train on.

    Args:
        threads: CPU threads, >= 1.
        gpu: Whether this process was given a GPU; without one at hand, the CPU serves.
    """
    for name, count in _KEPT_KERNELS.items():
        os.environ.setdefault(name, count)  # read at the first product
    torch.set_num_threads(threads)
    if gpu and not torch.cuda.is_available():
        _LOG.warning(
            "this worker was given a GPU, but torch %s cannot use it; training on the CPU", torch.__version__
        )
    return torch.device("cuda" if gpu and torch.cuda.is_available() else "cpu")


def precision_of(name: str) -> torch.dtype:
    """Return the precision a spec names: ``"float32"`` or ``"bfloat16"``."""
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]
