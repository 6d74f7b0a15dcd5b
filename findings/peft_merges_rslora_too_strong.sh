#!/usr/bin/env bash
# PEFT 0.21.2: a merge of rank-stabilised LoRAs is as many times too strong as the square root of their rank.
#
# `add_weighted_adapter(["a"], [1.0], ...)` of an adapter with use_rslora=True and r = 4 makes an adapter whose weight
# change is twice that of "a", with each of the combinations linear, cat and svd; without use_rslora it is that of "a".
# The new adapter is added with a copy of the config, use_rslora included, and its alpha is set to its rank: its scale is
# then alpha / sqrt(r) = sqrt(r), where the merge counts on 1.
#
# Seen: plain linear 1.0000, plain cat 1.0000, plain svd 1.0000, rslora linear 2.0000, rslora cat 2.0000, rslora svd 2.0000
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 transformers==4.57.6 peft==0.21.2
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import torch
from peft import LoraConfig, get_peft_model
from transformers import BertConfig, BertModel

config = BertConfig(
    vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
)
for rslora, wanted in ((False, 1.0), (True, 2.0)):
    torch.manual_seed(0)
    one = LoraConfig(r=4, lora_alpha=8, target_modules=["query"], use_rslora=rslora, init_lora_weights=False)
    model = get_peft_model(BertModel(config), one, adapter_name="a")
    query = model.base_model.model.encoder.layer[0].attention.self.query
    for how in ("linear", "cat", "svd"):
        model.add_weighted_adapter(["a"], [1.0], how, combination_type=how)
        ratio = float(query.get_delta_weight(how).norm() / query.get_delta_weight("a").norm())
        print("rslora" if rslora else "plain", how, f"{ratio:.4f}")
        assert abs(ratio - wanted) < 1e-4, "this has changed"
PYTHON
