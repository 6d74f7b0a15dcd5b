"""A backbone is counted without its heads, from headers alone."""

from __future__ import annotations

import torch
from safetensors.torch import save_file

from adapterlab.backbones.parameters import backbone_parameters
from tiny_trained import write_backbone


def test_it_counts_what_torch_counts(tmp_path):
    from transformers import AutoModel

    write_backbone(tmp_path / "roberta", "roberta")
    model = AutoModel.from_pretrained(tmp_path / "roberta", add_pooling_layer=False)
    assert backbone_parameters(tmp_path / "roberta") == sum(one.numel() for one in model.parameters())


def test_heads_and_integer_buffers_are_left_out(tmp_path):
    tensors = {
        "roberta.embeddings.word_embeddings.weight": torch.zeros(7, 3),
        "roberta.embeddings.position_ids": torch.zeros(1, 9, dtype=torch.int64),
        "roberta.pooler.dense.weight": torch.zeros(3, 3),
        "lm_head.dense.weight": torch.zeros(3, 3),
    }
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"model_type": "roberta"}')
    assert backbone_parameters(tmp_path) == 7 * 3 + 3 * 3


def test_a_folder_without_weights_has_no_size(tmp_path):
    assert backbone_parameters(tmp_path) is None
