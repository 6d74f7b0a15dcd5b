"""Tiny backbones and tasks for the training floor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from adapterlab.records import Examples, ProblemType, TaskData, TaskFacts
from adapterlab_encoder.config import EncoderConfig, encoder_shape
from adapterlab_encoder.encoder import Encoder


def random_encoder(
    *, layers=2, d=16, heads=2, inner=24, vocab=40, dropout=0.1, dtype=torch.float64, seed=0
) -> Encoder:
    """Return an encoder with random weights and active backbone dropout."""
    config = EncoderConfig(
        architecture="bert",
        shape=encoder_shape(layers, d, inner, vocab + 64 + 2),
        heads=heads,
        intermediate_size=inner,
        layer_norm_eps=1e-12,
        activation="gelu",
        hidden_dropout=dropout,
        attention_dropout=dropout,
        pad_token_id=0,
        vocabulary=vocab,
        max_positions=64,
        type_vocab_size=2,
    )
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator) * 0.3

    weights = {
        "embeddings.word_embeddings.weight": normal(vocab, d),
        "embeddings.position_embeddings.weight": normal(64, d),
        "embeddings.token_type_embeddings.weight": normal(2, d),
        "embeddings.LayerNorm.weight": 1 + normal(d),
        "embeddings.LayerNorm.bias": normal(d),
    }
    for layer in range(layers):
        base = f"encoder.layer.{layer}."
        for name, shape in {
            "attention.self.query": (d, d),
            "attention.self.key": (d, d),
            "attention.self.value": (d, d),
            "attention.output.dense": (d, d),
            "intermediate.dense": (inner, d),
            "output.dense": (d, inner),
        }.items():
            weights[f"{base}{name}.weight"] = normal(*shape)
            weights[f"{base}{name}.bias"] = normal(shape[0])
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            weights[f"{base}{name}.weight"] = 1 + normal(d)
            weights[f"{base}{name}.bias"] = normal(d)
    return Encoder(config, weights, dtype=dtype)


def random_examples(rows: int, n_labels: int, *, seed: int, longest=12, vocab=40) -> Examples:
    """Return random rows of random lengths; labels depend on the tokens a little."""
    random = np.random.default_rng(seed)
    lengths = random.integers(2, longest + 1, rows)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    tokens = random.integers(1, vocab, offsets[-1]).astype(np.int32)
    first = tokens[offsets[:-1]]
    labels = first.astype(np.float32) / vocab if n_labels == 1 else (first % n_labels).astype(np.int64)
    return Examples(tokens, (tokens % 2).astype(np.int32), offsets.astype(np.int64), labels)


def random_choices(rows: int, choices: int, *, seed: int, longest=12, vocab=40) -> Examples:
    """Return random examples of several sequences; the one with the greatest first token is right."""
    flat = random_examples(rows * choices, 2, seed=seed, longest=longest, vocab=vocab)
    first = flat.token_ids[flat.offsets[:-1]].reshape(rows, choices)
    return replace(flat, labels=first.argmax(axis=1).astype(np.int64), choices=choices)


def random_label_sets(rows: int, labels: int, *, seed: int, longest=12, vocab=40) -> Examples:
    """Return random rows with any number of labels each; label ``c`` is bit ``c`` of the first token."""
    flat = random_examples(rows, 2, seed=seed, longest=longest, vocab=vocab)
    first = flat.token_ids[flat.offsets[:-1]]
    bits = (first[:, None] >> np.arange(labels)) & 1  # (N,) -> (N, C)
    return replace(flat, labels=bits.astype(np.float32))


def random_choice_task(*, rows=20, choices=3, seed=0, longest=12) -> TaskData:
    """Return a small random multiple-choice task."""
    facts = TaskFacts(
        task="suite/choices",
        problem_type=ProblemType.MULTIPLE_CHOICE,
        n_labels=1,
        labels=tuple(f"choice{i}" for i in range(choices)),
        metrics=("accuracy",),
        content_digest="1" * 64,
        choices=choices,
    )
    parts = (random_choices(n, choices, seed=seed + i, longest=longest) for i, n in enumerate((rows, 9, 11)))
    return TaskData(facts, *parts)


def random_label_task(*, rows=20, labels=4, seed=0, longest=12) -> TaskData:
    """Return a small random multi-label task."""
    facts = TaskFacts(
        task="suite/labels",
        problem_type=ProblemType.MULTI_LABEL,
        n_labels=labels,
        labels=tuple(f"label{i}" for i in range(labels)),
        metrics=("f1_macro", "subset_accuracy"),
        content_digest="2" * 64,
    )
    parts = (
        random_label_sets(n, labels, seed=seed + i, longest=longest) for i, n in enumerate((rows, 9, 11))
    )
    return TaskData(facts, *parts)


def random_task(name="suite/task", *, rows=20, n_labels=2, seed=0, longest=12, vocab=40) -> TaskData:
    """Return a small random task."""
    regression = n_labels == 1
    facts = TaskFacts(
        task=name,
        problem_type=ProblemType.REGRESSION if regression else ProblemType.CLASSIFICATION,
        n_labels=n_labels,
        labels=() if regression else tuple(str(i) for i in range(n_labels)),
        metrics=("pearson",) if regression else ("accuracy",),
        content_digest="0" * 64,
    )
    return TaskData(
        facts,
        random_examples(rows, n_labels, seed=seed, longest=longest, vocab=vocab),
        random_examples(9, n_labels, seed=seed + 1, longest=longest, vocab=vocab),
        random_examples(11, n_labels, seed=seed + 2, longest=longest, vocab=vocab),
    )
