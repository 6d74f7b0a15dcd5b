"""Head-only training: no adapter at all; the backbone stays as it is and only the head learns."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from adapterlab.records import BackboneShape
from adapterlab.train.layers import Tensors


def sites(settings: Any) -> tuple[str, ...]:  # noqa: ARG001 - none at all
    """Return nothing: the backbone is left as it is."""
    return ()


def initial(settings: Any, shape: BackboneShape, generator: torch.Generator) -> Tensors:  # noqa: ARG001
    """Return no tensors."""
    return {}


def forward(
    settings: Any,  # noqa: ARG001 - the protocol's
    tensors: Tensors,  # noqa: ARG001
    site: str,
    layer: int,  # noqa: ARG001
    x: Tensor,  # noqa: ARG001
    y: Tensor,  # noqa: ARG001
) -> Tensor:
    """Never called, because there is no site.

    Raises:
        LookupError: Always.
    """
    raise LookupError(f"there is no adapter at {site!r}")
