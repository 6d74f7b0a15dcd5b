"""Small numbers from Python to a device, without waiting for what the device has to do."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def on_device(values: Sequence[int] | Sequence[float], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return values as a tensor on a device, (len(values),).

    To a GPU they go by pinned memory: from any other, torch waits until the copy, and all work before it, is done.
    """
    tensor = torch.tensor(values, dtype=dtype)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
