#!/usr/bin/env bash
# adapters 1.3.0: a merged (IA)^3 is not the adapter it was: layers with a bias answer differently.
#
# (IA)^3 scales what a linear layer gives out, W x + b. `merge_adapter` scales W and leaves b as it is, so the merged layer
# computes s W x + b where the adapter computed s (W x + b). BERT, RoBERTa and most encoders have biases; with those at zero
# the two agree, and PEFT 0.21.2 merges the same method with the bias scaled. No error and no warning.
#
# Seen: largest difference by merging: biases of 0: adapters 0.000, PEFT 0.000; biases of 1: adapters 0.500, PEFT 0.000
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 adapters==1.3.0 peft==0.21.2
"$folder/venv/bin/python" -W ignore - 2>/dev/null <<'PYTHON'
import peft
import torch
from adapters import BertAdapterModel, IA3Config
from transformers import BertConfig, BertModel

config = BertConfig(
    vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
)
states = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))


def by_adapters(bias):
    """Return the largest change of a value projection's answers that merging makes."""
    torch.manual_seed(0)
    model = BertAdapterModel(config).eval()
    model.add_adapter("a", IA3Config())
    model.set_active_adapters("a")
    value = model.bert.encoder.layer[0].attention.self.value
    with torch.no_grad():
        value.bias.fill_(bias)
        for one in value.loras["a"].parameters():
            one.fill_(1.5)  # as if trained
        before = value(states)
        model.merge_adapter("a")
        return float((value(states) - before).abs().max())


def by_peft(bias):
    torch.manual_seed(0)
    model = peft.get_peft_model(
        BertModel(config), peft.IA3Config(target_modules=["value"], feedforward_modules=[])
    ).eval()
    value = model.base_model.model.encoder.layer[0].attention.self.value
    with torch.no_grad():
        value.base_layer.bias.fill_(bias)
        value.ia3_l["default"].fill_(1.5)
        before = value(states)
        model.merge_adapter()
        return float((value(states) - before).abs().max())


seen = [(by_adapters(bias), by_peft(bias)) for bias in (0.0, 1.0)]
print(
    "largest difference by merging: "
    + "; ".join(f"biases of {bias}: adapters {a:.3f}, PEFT {p:.3f}" for bias, (a, p) in enumerate(seen))
)
assert [[round(one, 3) for one in pair] for pair in seen] == [[0, 0], [0.5, 0]], "this has changed"
PYTHON
