#!/usr/bin/env bash
# adapters 1.3.0: on ALBERT, leave_out and per-layer reduction factors count groups of weights, not layers.
#
# ALBERT's layers share their weights, and with them the one adapter that `add_adapter` makes, which then works in every
# layer. `leave_out=[1, 2, 3]` of four layers changes nothing, `leave_out=[0]` leaves no adapter in any, and neither says so;
# a reduction factor given for layer 3 is not used. On a BERT of as many layers each number is a layer.
#
# Seen: adapters of 4 layers, ALBERT 1, BERT 4; leave_out=[1, 2, 3]: 1 and 1; leave_out=[0]: 0 and 3; width in layer 3: 8 and 2
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 adapters==1.3.0
"$folder/venv/bin/python" -W ignore - 2>/dev/null <<'PYTHON'
from adapters import AlbertAdapterModel, BertAdapterModel, SeqBnConfig
from transformers import AlbertConfig, BertConfig

sizes = dict(vocab_size=50, hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=32)


def adapters_of(kind, **settings):
    """Return the widths of the adapters that a model has, in the order of its modules."""
    model = AlbertAdapterModel(AlbertConfig(**sizes, embedding_size=8)) if kind == "albert" else BertAdapterModel(BertConfig(**sizes))
    model.add_adapter("a", SeqBnConfig(**{"reduction_factor": 2, **settings}))
    return [one.adapter_down[0].out_features for name, one in model.named_modules() if name.endswith("adapters.a")]


both = ("albert", "bert")
plain = [len(adapters_of(kind)) for kind in both]
later = [len(adapters_of(kind, leave_out=[1, 2, 3])) for kind in both]
first = [len(adapters_of(kind, leave_out=[0])) for kind in both]
width = [adapters_of(kind, reduction_factor={"3": 8, "default": 2})[-1] for kind in both]
print(
    f"adapters of 4 layers, ALBERT {plain[0]}, BERT {plain[1]}; leave_out=[1, 2, 3]: {later[0]} and {later[1]}; "
    f"leave_out=[0]: {first[0]} and {first[1]}; width in layer 3: {width[0]} and {width[1]}"
)
assert (plain, later, first, width) == ([1, 4], [1, 1], [0, 3], [8, 2]), "this has changed"
PYTHON
