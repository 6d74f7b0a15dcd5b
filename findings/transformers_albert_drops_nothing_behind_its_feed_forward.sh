#!/usr/bin/env bash
# transformers 5.23.0: ALBERT's hidden_dropout_prob does not act behind the feed-forward block.
#
# The config calls it the probability of all fully connected layers, and each layer makes a dropout of it, which nothing
# calls: in training, the feed-forward block of a layer gives the same numbers twice, as BERT's does not. Behind attention
# and the embeddings the same setting does act.
#
# Seen: same twice: ALBERT True, BERT False; ALBERT's attention False; the layer's own dropout called 0 times
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 transformers==5.23.0
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import torch
from transformers import AlbertConfig, AlbertModel, BertConfig, BertModel

torch.manual_seed(0)
sizes = dict(vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
dropping = dict(hidden_dropout_prob=0.5, attention_probs_dropout_prob=0.0)
albert = AlbertModel(AlbertConfig(**sizes, **dropping, embedding_size=8)).train()
bert = BertModel(BertConfig(**sizes, **dropping)).train()
layer, usual = albert.encoder.albert_layer_groups[0].albert_layers[0], bert.encoder.layer[0]
calls = []
layer.dropout.register_forward_hook(lambda *_: calls.append(1))
x = torch.randn(1, 3, 16)


def same_twice(block):
    return torch.equal(block(), block())


seen = (
    same_twice(lambda: layer.ff_chunk(x)),
    same_twice(lambda: usual.output(usual.intermediate(x), x)),
    same_twice(lambda: layer.attention(x)[0]),
)
albert(torch.randint(0, 50, (2, 5)))
print(
    f"same twice: ALBERT {seen[0]}, BERT {seen[1]}; ALBERT's attention {seen[2]}; "
    f"the layer's own dropout called {len(calls)} times"
)
assert seen == (True, False, False), "this has changed"
assert not calls, "this has changed"
PYTHON
