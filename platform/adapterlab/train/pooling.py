"""Adapters of several makers side by side: do they fit a backbone, and what makes them one pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from adapterlab.errors import BackboneError
from adapterlab.records import BackboneShape
from adapterlab.registry.plugins import AdapterMethod
from adapterlab.train.layers import Tensors
from adapterlab.train.weights import without_head


def adopted(
    method: AdapterMethod, common: Any, each: Sequence[tuple[Any, Tensors]], shape: BackboneShape
) -> list[Tensors]:
    """Return adapters as a layer with the pool's settings takes them; those that have these settings as they are.

    Args:
        method: Of all of them.
        common: The settings of their pool, see :meth:`~adapterlab.registry.plugins.AdapterMethod.pooled`.
        each: Every adapter's own settings and tensors.
        shape: Of the backbone.
    """
    layer = method.layer(common, shape)
    return [tensors if own == common else layer.adopt(tensors, own) for own, tensors in each]


def check_adapter(
    method: AdapterMethod, settings: Any, tensors: Mapping[str, Any], shape: BackboneShape, where: str
) -> None:
    """Check that a method finds every tensor it asks for, at sites that the backbone has and of their widths.

    Args:
        method: The adapter method.
        settings: Its settings.
        tensors: Of one adapter; a head's are passed over.
        shape: Of the backbone.
        where: Named in errors.

    Raises:
        BackboneError: It does not fit.
        UsageError: The backbone lacks a site.
    """
    method.pool(settings, shape, 1)  # says which site is not there
    wanted = method.layer(settings, shape).initial(torch.Generator())
    own = without_head(tensors)
    sites = [shape.site(name) for name in method.sites(settings)]
    widths = {size for site in sites for size in (site.input, site.output)}
    missing, extra = sorted(set(wanted) - set(own)), sorted(set(own) - set(wanted))
    if missing or extra:
        found = f"it has no {missing[0]}" if missing else f"there is no place for its {extra[0]}"
        raise BackboneError(f"{where} does not fit the backbone: {found}")
    for name, one in own.items():
        fresh = wanted[name]
        # The width inside is each adapter's own, and may differ from layer to layer.
        outer = [axis for axis, size in enumerate(fresh.shape) if size in widths] if fresh.dim() == 2 else []
        fits = not outer or any(one.shape[axis : axis + 1] == fresh.shape[axis : axis + 1] for axis in outer)
        if one.dim() != fresh.dim() or not fits:
            raise BackboneError(
                f"{where} does not fit the backbone: {name} has shape {tuple(one.shape)}, the site's width is "
                f"{fresh.shape[outer[-1]] if outer else None}"
            )
