"""Copies between host and device that nobody waits for, and when a device has come so far.

A copy from ordinary memory holds up the host until the device has done all it was given before; one from page-locked
(pinned) memory does not. On a CPU nothing is copied.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

_ON_HOST = torch.device("cpu")


def on_device(values: Any, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return numbers of the host on a device, which need not have arrived yet for the host to go on.

    Args:
        values: Whatever NumPy makes an array of.
        dtype: Of the tensor.
        device: Where to.
    """
    array = np.asarray(values)
    host = torch.empty(array.shape, dtype=dtype, pin_memory=device.type == "cuda")
    host.numpy()[...] = array
    return host.to(device, non_blocking=True)


def sent_together(tensors: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Return tensors of the host on a device, those of one precision in one copy.

    Args:
        tensors: Without gradients, of any shapes.
        device: Where to.

    Returns:
        The same in their order: views into what was copied, or on a CPU the given ones.
    """
    if device.type == "cpu":
        return list(tensors)
    return copied_together(tensors, device)


def copied_together(tensors: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Return copies of tensors of the host, as :func:`sent_together` makes them; on a CPU too."""
    found: dict[int, Tensor] = {}
    for dtype in {one.dtype: None for one in tensors}:
        places = [place for place, one in enumerate(tensors) if one.dtype is dtype]
        sizes = [tensors[place].numel() for place in places]
        whole = torch.empty(sum(sizes), dtype=dtype, pin_memory=device.type == "cuda")
        np.concatenate([tensors[place].numpy().reshape(-1) for place in places], out=whole.numpy())
        arrived = torch.split(whole.to(device, non_blocking=True), sizes)
        found |= {place: one.view(tensors[place].shape) for place, one in zip(places, arrived, strict=True)}
    return [found[place] for place in range(len(tensors))]


class Fetched:
    """A tensor on its way to the host.

    Args:
        tensor: On any device; on a CPU it is there already, and must not change until it is read.
    """

    def __init__(self, tensor: Tensor) -> None:
        # With non_blocking torch makes the copy in pinned memory. Other devices than CUDA's have no marks to wait for.
        self._host = tensor.to(_ON_HOST, non_blocking=tensor.device.type == "cuda")
        self._arrival = mark(tensor.device)

    def read(self) -> Tensor:
        """Wait until it has arrived, and return it, on the CPU."""
        self._arrival.wait()
        return self._host


class Mark(Protocol):
    """A place in the order of what a device was given to do."""

    def wait(self) -> None:
        """Wait until the device has come so far."""

    def seconds_since(self, earlier: Any) -> float:
        """Return the time the device took from an earlier mark of its own to this one; waits for neither."""


@dataclass(frozen=True)
class HostMark:
    """A moment: what a CPU was given is done when the call returns."""

    at: float

    def wait(self) -> None:
        """Return at once."""

    def seconds_since(self, earlier: HostMark) -> float:
        """Return the seconds between the two."""
        return self.at - earlier.at


@dataclass(frozen=True)
class CardMark:
    """An event in the present stream of a card, which has the time when the card comes to it."""

    event: Any

    def wait(self) -> None:
        """Wait for the card."""
        self.event.synchronize()

    def seconds_since(self, earlier: CardMark) -> float:
        """Return the seconds on the card's own clock; both must have been waited for."""
        milliseconds: float = earlier.event.elapsed_time(self.event)
        return milliseconds / 1000


def mark(device: torch.device) -> Mark:
    """Return where a device is now: after all that it was given so far, and before whatever follows."""
    if device.type != "cuda":
        return HostMark(time.monotonic())
    event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    event.record(torch.cuda.current_stream(device))
    return CardMark(event)
