"""Kernels are tried before they are used; what is wrong, or missing, is replaced by plain torch."""

from __future__ import annotations

import pytest
import torch

from adapterlab.train.kernels import plain
from adapterlab.train.kernels.choice import checks, code_for_attention, code_for_masks, code_for_rows

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


class _Code:
    """Plain torch, but for what a test replaces."""

    keep, drop, attend, attend_backward = plain.keep, plain.drop, plain.attend, plain.attend_backward
    adamw, lay = plain.adamw, plain.lay


def _one_entry_off(keys, sizes, dropped, site):
    mask = plain.keep(keys, sizes, dropped, site)
    mask[-1] ^= 1
    return mask


def _of_another_lane(x, residual, drawn):
    return plain.drop(x, residual, type(drawn)(drawn.keys.flip(0), *list(vars(drawn).values())[1:]))


def _looking_past_the_end(q, k, v, at):
    gathered, sums = plain.attend(q, k, v, at)
    return gathered * 1.2, sums


def _values_without_dropout(*given):
    to_q, to_k, to_v = plain.attend_backward(*given)
    return to_q, to_k, to_v * 0.9


def _filled_with_a_row(x, rows):
    return x[rows]


def _whatever_diverges(tensors, gradients, moments, scales, diverged, stepped):
    plain.adamw(tensors, gradients, moments, scales, diverged * 0, stepped)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_plain_torch_passes_every_check(dtype):
    assert all(check(_Code) for check in checks(DEVICE, dtype, 24).values())


@pytest.mark.parametrize(
    ("name", "function", "wrong"),
    [
        ("masks", "keep", _one_entry_off),
        ("rows", "drop", _of_another_lane),
        ("rows", "lay", _filled_with_a_row),
        ("attention", "attend", _looking_past_the_end),
        ("attention", "attend_backward", _values_without_dropout),
        ("AdamW", "adamw", _whatever_diverges),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_code_that_is_wrong_does_not_pass(name, function, wrong, dtype):
    code = type("Wrong", (_Code,), {function: staticmethod(wrong)})
    assert not checks(DEVICE, dtype, 24)[name](code)


@pytest.mark.skipif(DEVICE.type == "cuda", reason="a CPU's part")
def test_a_cpu_is_served_by_plain_torch():
    x = torch.empty(3, 8)
    assert code_for_masks(DEVICE) is code_for_rows(x) is code_for_attention(x, 2) is plain


@pytest.mark.gpu
@pytest.mark.skipif(DEVICE.type != "cuda", reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("width", [32, 64])
def test_on_a_card_the_kernels_are_right_and_used(with_triton, dtype, width):
    x = torch.empty(3, 2 * width, device=DEVICE, dtype=dtype)
    assert all(check(with_triton) for check in checks(DEVICE, dtype, width).values())
    assert code_for_masks(DEVICE) is code_for_rows(x) is code_for_attention(x, 2) is with_triton
