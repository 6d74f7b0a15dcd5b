#!/usr/bin/env bash
# adapters 1.3.0: reset_adapter does not take a merged DoRA out of the backbone again.
#
# `merge_adapter("a")` writes an adapter into the weights of its layers, `reset_adapter()` is to restore them. Of a LoRA it
# does. Of a DoRA the restored weight is computed and thrown away: the backbone keeps the merged weight and counts as
# plain again, so the next pass with "a" adds it a second time, and every other adapter stands on changed weights.
# `set_active_adapters` calls `reset_adapter`, so activating any adapter after a merge does this.
#
# Seen: LoRA restored: True; DoRA restored: False, still merged: True; its answers as before the merge: False
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 adapters==1.3.0
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import torch
from adapters import BertAdapterModel, DoRAConfig, LoRAConfig
from transformers import BertConfig

config = BertConfig(
    vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
)
ids = torch.randint(0, 50, (2, 5), generator=torch.Generator().manual_seed(0))


def merge_and_reset(adapter):
    torch.manual_seed(0)
    model = BertAdapterModel(config).eval()
    model.add_adapter("a", adapter)
    model.set_active_adapters("a")
    query = model.bert.encoder.layer[0].attention.self.query
    with torch.no_grad():
        for one in query.loras["a"].parameters():  # as if trained
            one.normal_()
        plain, answers = query.weight.clone(), model(ids)[0]
        model.merge_adapter("a")
        merged = query.weight.clone()
        model.reset_adapter()
        again = model(ids)[0]
    assert not torch.allclose(plain, merged, atol=1e-3)
    return [torch.allclose(query.weight, one, atol=1e-5) for one in (plain, merged)] + [
        torch.allclose(again, answers, atol=1e-5)
    ]


lora, dora = merge_and_reset(LoRAConfig(r=4, alpha=8)), merge_and_reset(DoRAConfig(r=4, alpha=8))
print(f"LoRA restored: {lora[0]}; DoRA restored: {dora[0]}, still merged: {dora[1]}; its answers as before: {dora[2]}")
assert lora == [True, False, True], "this has changed"
assert dora == [False, True, False], "this has changed"
PYTHON
