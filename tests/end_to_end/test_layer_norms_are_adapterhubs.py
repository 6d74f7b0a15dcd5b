"""LayerNorms of an adapter's own stand where ``adapters`` 1.3.0, in an environment of its own, has them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from adapterlab_bottleneck.plugin import PFEIFFER, PfeifferSettings
from foreign_environment import hub_python, run_in  # noqa: F401 - a fixture
from tiny_models import random_encoder

pytestmark = [pytest.mark.adapterhub, pytest.mark.timeout(1800)]

POSITIONS = {"none": (False, False), "before": (True, False), "after": (False, True), "both": (True, True)}


def test_an_adapter_adds_what_the_library_adds(hub_python):  # noqa: F811 - the fixture
    encoder, generator = random_encoder(layers=1, d=16), torch.Generator().manual_seed(0)
    rows = torch.randn(7, 16, dtype=torch.float64, generator=generator)
    work, wanted = [], []
    for position, (before, after) in POSITIONS.items():
        settings = PfeifferSettings(layer_norm=position, reduction_factor=4, non_linearity="gelu")
        layer = PFEIFFER.layer(settings, encoder.shape)
        tensors = {
            name: torch.randn(one.shape, dtype=torch.float64, generator=generator)
            for name, one in layer.initial(generator).items()
        }
        named = {name.removeprefix("layer.0."): one.tolist() for name, one in tensors.items()}
        work.append({"ln_before": before, "ln_after": after, "tensors": named, "rows": rows.tolist()})
        wanted.append(layer.forward(tensors, "ffn", 0, rows, rows).numpy())
    for theirs, ours in zip(run_in(hub_python, "adapterhub_layer_norms.py", work), wanted, strict=True):
        np.testing.assert_allclose(np.array(theirs), ours, rtol=0, atol=1e-9)
