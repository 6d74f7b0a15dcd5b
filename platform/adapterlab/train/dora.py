"""DoRA as a plain LoRA: with the frozen weight at hand its rescaling is one more low-rank addition.

With ``W' = G (W + s·B A)``, ``G = diag(m / ‖W + s·B A‖)`` over rows, ``W' − W = (G − I) W + s·G B A``: a LoRA of rank
``min(i, e) + r``. So its algebra is kept: it can be predicted with, folded and pooled like any other.

Shapes: ``i`` and ``e`` a map's input and output width, ``r`` rank.

Source: DoRA (arXiv 2402.09353), equation 5; PEFT 0.21, ``tuners/lora/dora.py``.
"""

from __future__ import annotations

import torch
from torch import Tensor


def as_lora(a: Tensor, b: Tensor, scale: float, magnitude: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return A and B, with a factor of 1, of the LoRA that a DoRA is.

    Args:
        a: (r, i).
        b: (e, r).
        scale: ``α / r``.
        magnitude: ``m``, (e,).
        weight: The frozen ``W``, (e, i).

    Returns:
        (min(i, e) + r, i) and (e, min(i, e) + r), in the precision of ``a``.
    """
    w, down, up = weight.double(), a.double(), b.double()
    moved = w + scale * (up @ down)
    gain = (magnitude.double() / torch.linalg.norm(moved, dim=1)).unsqueeze(1)  # (e, 1)
    outputs, inputs = w.shape
    if outputs <= inputs:
        first_a, first_b = w, torch.diag(gain.squeeze(1) - 1)
    else:
        first_a, first_b = torch.eye(inputs, dtype=w.dtype), (gain - 1) * w
    whole_a = torch.cat([first_a, down])
    whole_b = torch.cat([first_b, scale * gain * up], dim=1)
    return whole_a.to(a.dtype), whole_b.to(a.dtype)
