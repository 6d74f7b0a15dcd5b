"""Small numbers from Python to a device, without waiting for what the device has to do."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def sent(values: Any, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return numbers of the host on a device.

    To a GPU they go by pinned memory: from any other, torch waits until the copy, and all work before it, is done.
    """
    tensor = torch.tensor(values, dtype=dtype)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
