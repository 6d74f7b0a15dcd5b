"""A DoRA and the LoRA that it is on its backbone are one function."""

from __future__ import annotations

import pytest
import torch

from adapterlab.train.dora import as_lora


@pytest.mark.parametrize(("outputs", "inputs"), [(8, 8), (12, 8), (8, 12)])
def test_the_lora_is_the_rescaled_weight(outputs, inputs):
    generator = torch.Generator().manual_seed(0)
    draw = lambda *size: torch.randn(size, generator=generator, dtype=torch.float64)  # noqa: E731
    weight, a, b, magnitude = draw(outputs, inputs), draw(3, inputs), draw(outputs, 3), draw(outputs).abs()
    moved = weight + 0.7 * b @ a
    wanted = magnitude[:, None] * moved / moved.norm(dim=1, keepdim=True)
    whole_a, whole_b = as_lora(a, b, 0.7, magnitude, weight)
    assert whole_a.shape[0] == min(outputs, inputs) + 3
    torch.testing.assert_close(weight + whole_b @ whole_a, wanted)
