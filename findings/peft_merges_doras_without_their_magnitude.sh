#!/usr/bin/env bash
# PEFT 0.21.2: a merge of DoRAs has a magnitude that none of them had, another one each time.
#
# `add_weighted_adapter(["a"], [1.0], ...)` of one DoRA keeps its two factors and drops its magnitude vector, which DoRA
# trains beside them. The new adapter's magnitude is what a fresh one starts with, taken while its own factors were still
# random: neither that of "a", nor the norm of the backbone's rows, nor that of the rows with the merged change; two calls
# with the same arguments differ. No error and no warning.
#
# Seen: same factors True, same magnitude False, magnitude of the merged weight False, two merges alike False
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 transformers==4.57.6 peft==0.21.2
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import torch
from peft import LoraConfig, get_peft_model
from transformers import BertConfig, BertModel

torch.manual_seed(0)
config = BertConfig(
    vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
)
dora = LoraConfig(r=4, lora_alpha=8, target_modules=["query"], use_dora=True, init_lora_weights=False)
model = get_peft_model(BertModel(config), dora, adapter_name="a")
query = model.base_model.model.encoder.layer[0].attention.self.query
with torch.no_grad():
    query.lora_magnitude_vector["a"].weight.mul_(1.5)  # as if trained
for name in ("one", "two"):
    model.add_weighted_adapter(["a"], [1.0], name, combination_type="linear")
magnitude = {name: query.lora_magnitude_vector[name].weight for name in ("a", "one", "two")}
delta = {name: query.get_delta_weight(name) for name in ("a", "one")}
of_rows = (query.base_layer.weight + delta["one"]).norm(dim=1)
seen = (
    torch.allclose(delta["a"], delta["one"], atol=1e-6),
    torch.allclose(magnitude["a"], magnitude["one"]),
    torch.allclose(of_rows, magnitude["one"]),
    torch.allclose(magnitude["one"], magnitude["two"]),
)
print("same factors {}, same magnitude {}, magnitude of the merged weight {}, two merges alike {}".format(*seen))
assert seen == (True, False, False, False), "this has changed"
PYTHON
