"""Runs in an environment of its own: one bottleneck of ``adapters`` with LayerNorms, on given numbers.

Standard input: a JSON list of ``{"ln_before", "ln_after", "tensors", "rows"}``, tensors by our names. Standard output:
what each adds to its rows.
"""

from __future__ import annotations

import json
import sys

import torch
from adapters import SeqBnConfig  # type: ignore[import-not-found]
from adapters.methods.modeling import Adapter  # type: ignore[import-not-found]

NAMES = {
    "norm_before": "adapter_norm_before",
    "norm_after": "adapter_norm_after",
    "up": "adapter_up",
}


def main() -> None:
    """Do all of them, in float64."""
    json.dump([added(one) for one in json.load(sys.stdin)], sys.stdout)


def added(work):
    """Return ``u`` of one adapter."""
    tensors = {name: torch.tensor(values, dtype=torch.float64) for name, values in work["tensors"].items()}
    rows = torch.tensor(work["rows"], dtype=torch.float64)
    r, d = tensors["down.weight"].shape
    config = SeqBnConfig(
        reduction_factor=d / r, non_linearity="gelu", ln_before=work["ln_before"], ln_after=work["ln_after"]
    )
    adapter = Adapter("one", d, r, config).double().eval()
    modules = {ours: getattr(adapter, theirs) for ours, theirs in NAMES.items() if hasattr(adapter, theirs)}
    modules["down"] = next(one for one in adapter.adapter_down if isinstance(one, torch.nn.Linear))
    with torch.no_grad():
        for name, tensor in tensors.items():
            module, part = name.split(".")
            getattr(modules[module], part).copy_(tensor)
        output, *_ = adapter(rows, torch.zeros_like(rows))
    return output.tolist()


if __name__ == "__main__":
    main()
