"""AdapterHub's LoRA and (IA)³ are read as what their configs say, and nothing else of that family is."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from adapterlab.errors import BackboneError, DataError
from adapterlab.exporting import adapterhub_lora as hub_lora
from adapterlab.exporting.foreign_adapter import read_foreign
from tiny_trained import HIDDEN, LAYERS, SHAPE

IA3 = hub_lora.ia3_config(
    "a", ("attention.key", "ffn.up"), architecture="bert", model_name="", hidden_size=HIDDEN
)
LORA = {
    "alpha": 6, "architecture": "lora", "attn_matrices": ["q"], "composition_mode": "add", "dropout": 0.1,
    "intermediate_lora": False, "leave_out": [], "output_lora": True, "r": 2, "selfattn_lora": True,
    "use_dora": False, "use_gating": False,
}  # fmt: skip


def written(folder, settings, tensors, **about):
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps({**IA3, "config": settings, **about}))
    save_file(tensors, folder / "adapter.safetensors")
    return folder


def lora_tensors(layers=range(LAYERS)):
    maps = {"attention.self.query": (HIDDEN, HIDDEN), "output.dense": (HIDDEN, 2 * HIDDEN)}
    tensors = {}
    for layer in layers:
        for module, (outputs, inputs) in maps.items():
            place = f"bert.encoder.layer.{layer}.{module}.loras.a"
            tensors[f"{place}.lora_A"] = torch.randn(2, inputs)
            tensors[f"{place}.lora_B"] = torch.randn(outputs, 2)
    return tensors


def no_weights(_wanted):
    raise AssertionError("only a DoRA asks for the backbone's weights")


def test_factors_come_back_times_alpha(tmp_path):
    ours = {
        f"layer.{layer}.{site}.scale": torch.randn(size)
        for layer in range(LAYERS)
        for site, size in (("attention.key", HIDDEN), ("ffn.up", 2 * HIDDEN))
    }
    theirs = hub_lora.ia3_tensors(ours, "a", "bert")
    read = read_foreign(written(tmp_path / "f", {**IA3["config"], "alpha": 3}, theirs))
    assert (read.method, read.settings.targets) == ("ia3", ("key", "intermediate"))
    back = read.adapter(SHAPE, no_weights)
    assert set(back) == set(ours)
    for name, one in ours.items():
        torch.testing.assert_close(back[name], 3 * one)


def test_a_lora_has_its_scale_and_adds_nothing_where_it_is_left_out(tmp_path):
    folder = written(tmp_path / "f", {**LORA, "leave_out": [0]}, lora_tensors([1]))
    read = read_foreign(folder)
    assert (read.method, read.settings.targets) == ("lora", ("query", "output"))
    assert read.settings.alpha / read.settings.r == 3
    tensors = read.adapter(SHAPE, no_weights)
    assert not tensors["layer.0.ffn.down.b"].any()
    assert tensors["layer.1.ffn.down.a"].shape == (2, 2 * HIDDEN)
    deeper = SimpleNamespace(layers=LAYERS + 1, site=SHAPE.site)
    with pytest.raises(BackboneError, match="layers"):
        read.adapter(deeper, no_weights)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"use_dora": True}, "use_dora = True"),
        ({"use_gating": True}, "use_gating = True"),
        ({"vera_d": 0.1}, "vera_d = 0.1"),
        ({"new_trick": 1}, "new_trick = 1"),
        ({"composition_mode": "other"}, "composition_mode = 'other'"),
        ({"attn_matrices": ["q", "o"]}, "attn_matrices"),
        ({"output_lora": 1}, "output_lora = 1"),
        ({"r": 0}, "r is 0"),
        ({"alpha": float("nan")}, "alpha is nan"),
        ({"r": 3}, "not of rank 3"),
        ({"intermediate_lora": True}, "differ at layer 0, intermediate.dense"),
        ({"leave_out": [0]}, "differ at layer 0"),
    ],
    ids=str,
)
def test_what_is_no_plain_lora_is_refused_by_name(tmp_path, change, complaint):
    folder = written(tmp_path / "f", {**LORA, **change}, lora_tensors())
    with pytest.raises(DataError, match=complaint):
        read_foreign(folder)
