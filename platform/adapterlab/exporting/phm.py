"""Compacter's projections in AdapterHub's folders: sums of Kronecker products, written out as dense matrices.

``H = Σ_i A_i ⊗ W_i`` maps by ``y = x H + b``. The rule A and the weights W may be factorised, and be one for all
layers or one for each projection; written out, a Compacter is a Houlsby adapter, a Compacter++ a Pfeiffer adapter.

Shapes: ``n`` summands, ``i`` and ``e`` a projection's input and output width.

Source: Compacter (arXiv 2106.04647), equations 4 to 6; adapters 1.3.0, ``methods/modeling.py`` (``PHMLayer``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from adapterlab.errors import DataError
from adapterlab.train.layers import Tensors

if TYPE_CHECKING:
    from torch import Tensor

PARTS = ("W_left", "W_right", "W", "b", "phm_rule_left", "phm_rule_right", "phm_rule")
"""What a projection may hold."""
_SHARED_WEIGHTS = tuple(
    f"W_{position}{side}" for position in ("down", "up") for side in ("_left", "_right", "")
)
SHARED = ("phm_rule_left", "phm_rule_right", "phm_rule", *_SHARED_WEIGHTS)
"""What all projections may share."""
_PLACES = {"down": "adapter_down.0", "up": "adapter_up"}
_SWITCHES = {
    "shared_phm_rule": True,
    "factorized_phm_rule": False,
    "shared_W_phm": False,
    "factorized_phm_W": True,
    "phm_bias": True,
}
"""With the library's defaults."""


def settings_of(settings: Mapping[str, Any], where: str) -> dict[str, bool]:
    """Return what a config says of its projections.

    Args:
        settings: The adapter's.
        where: Named in errors.

    Raises:
        DataError: A value makes no sense.
    """
    found = {key: settings.get(key, usual) for key, usual in _SWITCHES.items()}
    for key, value in found.items():
        if not isinstance(value, bool):
            raise DataError(f"{where}: {key} = {value!r}, expected true or false")
    return found


def dense(part: Tensors, shared: Tensors, settings: Mapping[str, Any], where: str) -> Tensors:
    """Return a bottleneck's projections as dense ones, under the library's names.

    Args:
        part: The bottleneck's own, for example ``adapter_down.0.W_left``, (n, i/n, 1).
        shared: What all share, for example ``phm_rule``, (n, n, n).
        settings: From :func:`settings_of`.
        where: Named in errors.

    Raises:
        DataError: Tensors are missing, do not fit each other, or there are others.
    """
    left = set(part)
    found: Tensors = {}

    def take(own: str, of_all: str, *, is_shared: bool) -> Tensor:
        tensor = shared.get(of_all) if is_shared else part.get(own)
        left.discard(own if not is_shared else "")
        if tensor is None:
            raise DataError(f"{where}: a Compacter without {of_all if is_shared else own}")
        if tensor.dim() != 3:
            raise DataError(f"{where}: {own} has shape {tuple(tensor.shape)}, expected three axes")
        return tensor.double()

    def product(own: str, of_all: str, *, is_shared: bool, factorised: bool) -> Tensor:
        if not factorised:
            return take(own, of_all, is_shared=is_shared)
        return take(f"{own}_left", f"{of_all}_left", is_shared=is_shared) @ take(
            f"{own}_right", f"{of_all}_right", is_shared=is_shared
        )

    for position, place in _PLACES.items():
        try:
            rule = product(
                f"{place}.phm_rule",
                "phm_rule",
                is_shared=settings["shared_phm_rule"],
                factorised=settings["factorized_phm_rule"],
            )
            weight = product(
                f"{place}.W",
                f"W_{position}",
                is_shared=settings["shared_W_phm"],
                factorised=settings["factorized_phm_W"],
            )
            whole = torch.einsum("nab,npq->apbq", rule, weight)  # (n, i/n, n, e/n)
        except RuntimeError as error:
            raise DataError(f"{where}: {place}: its factors do not fit each other ({error})") from None
        precision = next(iter(part.values())).dtype if part else torch.float32
        found[f"{place}.weight"] = whole.flatten(2).flatten(0, 1).mT.to(precision).contiguous()  # (e, i)
        outputs = found[f"{place}.weight"].shape[0]
        if settings["phm_bias"]:
            if f"{place}.b" not in part:
                raise DataError(f"{where}: a Compacter without {place}.b")
            left.discard(f"{place}.b")
            found[f"{place}.bias"] = part[f"{place}.b"]
        else:
            found[f"{place}.bias"] = torch.zeros(outputs, dtype=precision)
    if left:
        raise DataError(f"{where}: not of a Compacter as its config says: {', '.join(sorted(left)[:4])}")
    return found
