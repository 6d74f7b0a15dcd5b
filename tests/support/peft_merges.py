"""Run by a Python that has PEFT: merges LoRAs with ``add_weighted_adapter``, and writes what each merge adds.

    python peft_merges.py WANTED.json TENSORS.safetensors MERGED.safetensors

Of the wanted merges every one names PEFT's type, adapters, weights, and the masks that its random pruning draws.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from unittest import mock

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file


class Attention(torch.nn.Module):
    """Two projections, as wide as the tensors say."""

    def __init__(self, width: int, value: int) -> None:
        super().__init__()
        self.query = torch.nn.Linear(width, width)
        self.value = torch.nn.Linear(width, value)


def model_of(adapters: dict, tensors: dict, widths: list[int]):
    """Return a model that holds the LoRAs."""
    model = None
    for name, about in adapters.items():
        config = LoraConfig(target_modules=["query", "value"], **about)
        if model is None:
            model = get_peft_model(Attention(*widths).double(), config, adapter_name=name)
        else:
            model.add_adapter(name, config)
    for site in ("query", "value"):
        module = getattr(model.base_model.model, site)
        for name in adapters:
            module.lora_A[name].weight.data = tensors[f"{name}.{site}.a"]
            module.lora_B[name].weight.data = tensors[f"{name}.{site}.b"]
    return model


def main(wanted: Path, given: Path, out: Path) -> None:
    """Make every merge that is wanted, in float64."""
    asked, tensors = json.loads(wanted.read_text()), load_file(given)
    merged = {}
    for name, one in asked["merges"].items():
        about = {key: asked["adapters"][key] for key in one["adapters"]}
        model = model_of(about, tensors, asked["widths"])
        masks = iter([tensors[mask] for mask in one.get("masks", [])])
        with mock.patch("torch.bernoulli", lambda input, masks=masks: next(masks).to(input)):  # noqa: A006
            model.add_weighted_adapter(one["adapters"], one["weights"], "merged", one["type"], **one["how"])
        assert next(masks, None) is None, f"{name}: masks are left"
        for site in ("query", "value"):
            module = getattr(model.base_model.model, site)
            merged[f"{name}.{site}"] = module.get_delta_weight("merged").detach().contiguous()
    save_file(merged, out)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
