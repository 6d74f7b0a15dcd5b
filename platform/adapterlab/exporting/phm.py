"""Compacter's projections in AdapterHub's folders: sums of Kronecker products, written out as dense matrices.

``H = Σ_i A_i ⊗ W_i`` maps by ``y = x H + b``. The rule A and the weights W may be factorised, and be one for all
layers or one for each projection; written out, a Compacter is a Houlsby adapter, a Compacter++ a Pfeiffer adapter.

Shapes: ``n`` summands, ``i`` and ``e`` a projection's input and output width.

Source: Compacter (arXiv 2106.04647), equations 4 to 6; adapters 1.3.0, ``methods/modeling.py`` (``PHMLayer``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

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
    used: set[str] = set()
    found: Tensors = {}
    precision = next(iter(part.values())).dtype
    for position, place in _PLACES.items():
        own = {
            name.removeprefix(f"{place}."): tensor
            for name, tensor in part.items()
            if name.startswith(f"{place}.")
        }
        at = f"{where}: {place}"
        rule, rule_names = _factor(own, shared, "phm_rule", "phm_rule", settings, at)
        weight, weight_names = _factor(own, shared, "W", f"W_{position}", settings, at)
        whole = _sum_of_products(rule, weight, at)  # (i, e)
        used |= {f"{place}.{name}" for name in (*rule_names, *weight_names)}
        found[f"{place}.weight"] = whole.mT.to(precision).contiguous()
        if settings["phm_bias"] and "b" not in own:
            raise DataError(f"{at}: no bias b")
        used |= {f"{place}.b"} & set(part) if settings["phm_bias"] else set()
        bias = own["b"] if settings["phm_bias"] else whole.new_zeros(whole.shape[1]).to(precision)
        found[f"{place}.bias"] = bias
    if left := sorted(set(part) - used):
        raise DataError(f"{where}: not of a Compacter as its config says: {', '.join(left[:4])}")
    return found


def _factor(
    own: Tensors, shared: Tensors, name: str, of_all: str, settings: Mapping[str, Any], where: str
) -> tuple[Tensor, tuple[str, ...]]:
    """Return the rule or the weights in double precision, and what of the projection's own it is made of."""
    kind = "phm_rule" if name == "phm_rule" else "W"
    is_shared = settings["shared_phm_rule" if kind == "phm_rule" else "shared_W_phm"]
    factorised = settings["factorized_phm_rule" if kind == "phm_rule" else "factorized_phm_W"]
    held, stem = (shared, of_all) if is_shared else (own, name)
    names = (f"{stem}_left", f"{stem}_right") if factorised else (stem,)
    factors = []
    for one in names:
        tensor = held.get(one)
        if tensor is None or tensor.dim() != 3:
            raise DataError(
                f"{where}: no {one} of three axes{', shared by all,' if is_shared else ''} is there"
            )
        factors.append(tensor.double())
    try:
        whole = factors[0] @ factors[1] if factorised else factors[0]
    except RuntimeError as error:
        raise DataError(f"{where}: {stem}: its factors do not fit each other ({error})") from None
    return whole, () if is_shared else names


def _sum_of_products(rule: Tensor, weight: Tensor, where: str) -> Tensor:
    """Return ``Σ_i A_i ⊗ W_i``: (n, n, n), (n, i/n, e/n) -> (i, e)."""
    if rule.shape[0] != weight.shape[0]:
        raise DataError(f"{where}: a rule of {rule.shape[0]} summands, weights of {weight.shape[0]}")
    product = (rule[:, :, None, :, None] * weight[:, None, :, None, :]).sum(0)  # (n, i/n, n, e/n)
    return product.flatten(2).flatten(0, 1)
