"""A Compacter's projections written out are the sums of Kronecker products that its library computes."""

from __future__ import annotations

import pytest
import torch

from adapterlab.errors import DataError
from adapterlab.exporting import phm

N, D, R = 2, 8, 4
SWITCHES = ["shared_phm_rule", "factorized_phm_rule", "shared_W_phm", "factorized_phm_W", "phm_bias"]


def made(**switches):
    """A bottleneck's own tensors, what is shared, the settings, and the matrices both projections are."""
    settings = phm.settings_of(switches, "x")
    generator = torch.Generator().manual_seed(0)

    def factor(where, name, size, *, factorised):
        a, b, c = size
        if not factorised:
            where[name] = torch.randn(size, generator=generator)
            return where[name]
        where[f"{name}_left"] = torch.randn(a, b, 1, generator=generator)
        where[f"{name}_right"] = torch.randn(a, 1, c, generator=generator)
        return where[f"{name}_left"] @ where[f"{name}_right"]

    part, shared, wanted = {}, {}, {}
    rule_size, common = (N, N, N), None
    for position, place, rows, columns in (("down", "adapter_down.0", D, R), ("up", "adapter_up", R, D)):
        own_rule, own_weight = not settings["shared_phm_rule"], not settings["shared_W_phm"]
        if own_rule or common is None:
            held, name = (part, f"{place}.phm_rule") if own_rule else (shared, "phm_rule")
            common = factor(held, name, rule_size, factorised=settings["factorized_phm_rule"])
        held, name = (part, f"{place}.W") if own_weight else (shared, f"W_{position}")
        size = (N, rows // N, columns // N)
        weight = factor(held, name, size, factorised=settings["factorized_phm_W"])
        part |= {f"{place}.b": torch.randn(columns, generator=generator)} if settings["phm_bias"] else {}
        wanted[place] = sum(torch.kron(a, w) for a, w in zip(common, weight, strict=True))
    return part, shared, settings, wanted


@pytest.mark.parametrize("switch", [None, *SWITCHES])
def test_they_are_sums_of_kronecker_products(switch):
    usual = phm.settings_of({}, "x")
    part, shared, settings, wanted = made(**({} if switch is None else {switch: not usual[switch]}))
    if not part:
        part["adapter_up.b"] = torch.zeros(D)
    dense = phm.dense(part, shared, settings, "x")
    x = torch.randn(3, D)
    for place, matrix in wanted.items():
        torch.testing.assert_close(dense[f"{place}.weight"], matrix.T, rtol=1e-5, atol=1e-5)
    assert dense["adapter_down.0.weight"].shape == (R, D)
    assert (x @ dense["adapter_down.0.weight"].T + dense["adapter_down.0.bias"]).shape == (3, R)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda part, shared: shared.clear(), "no phm_rule"),
        (lambda part, shared: part.pop("adapter_up.b"), "no bias"),
        (lambda part, shared: part.pop("adapter_up.W_left"), "no W_left"),
        (lambda part, shared: part.update({"adapter_up.W": torch.zeros(N, 1, 1)}), "not of a Compacter"),
        (lambda part, shared: part.update({"adapter_up.W_right": torch.zeros(N, 3, 4)}), "do not fit"),
        (lambda part, shared: shared.update(phm_rule=torch.zeros(3, 3, 3)), "a rule of 3 summands"),
    ],
)
def test_what_does_not_fit_is_named(change, complaint):
    part, shared, settings, _ = made()
    change(part, shared)
    with pytest.raises(DataError, match=complaint):
        phm.dense(part, shared, settings, "x")
