"""A task as one vector: the mean of its training texts' unit vectors, kept on disk.

Vectors are kept by what decides them: the texts' digest, the encoder's, the seed and the number of
texts. They lie as ``<cache>/sentence-vectors/<key>.npy``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from adapterlab.plugin import DataError, PoolContext, kept_vector, key_of

VERSION = 1
"""Raise it when vectors change; part of their keys."""
_BATCH = 64


def task_vector(task: str, settings: Any, pool: PoolContext) -> Tensor:
    """Return a task's mean unit vector, (e,), float64, from the cache or freshly made.

    Args:
        task: Full name.
        settings: AdapterSoup's.
        pool: Where texts, encoder and cache are.

    Raises:
        DataError: The task has no training text.
    """
    assert pool.cache is not None
    encoder = pool.models["encoder"]
    key = key_of(
        "sentence vector",
        VERSION,
        {
            "texts": pool.digests[task],
            "encoder": encoder.digest,
            "seed": settings.seed,
            "max_texts": settings.max_texts,
        },
    )

    def make() -> np.ndarray[Any, Any]:
        texts = chosen(pool.texts(task), settings.max_texts, settings.seed)
        if not texts:
            raise DataError(f"{task}: it has no training text to compare")
        return mean_vector(texts, encoder.folder, pool.device)

    return torch.from_numpy(kept_vector(pool.cache, "sentence-vectors", key, make))


def chosen(texts: Sequence[str], most: int, seed: int) -> list[str]:
    """Return up to ``most`` random texts; the same ones for the same seed on every machine."""
    if len(texts) <= most:
        return list(texts)
    places = np.random.default_rng(seed).permutation(len(texts))[:most]
    return [texts[place] for place in sorted(places.tolist())]


def mean_vector(texts: Sequence[str], folder: Path, device: torch.device) -> np.ndarray[Any, Any]:
    """Return the mean of the texts' unit vectors, (e,), float64.

    A text's vector is the mean of its real tokens' last states, scaled to length 1, as the encoders of
    sentence-transformers compute it. Nothing in the folder is run or unpickled.
    """
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    model = transformers.AutoModel.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False, use_safetensors=True
    )
    model = model.eval().to(device=device, dtype=torch.float32)
    longest = _longest(folder, model.config)
    ordered = sorted(texts, key=len)  # rows of a batch alike in length
    total: Tensor | float = 0.0
    with torch.inference_mode():
        for start in range(0, len(ordered), _BATCH):
            batch = tokenizer(
                ordered[start : start + _BATCH],
                padding=True,
                truncation=True,
                max_length=longest,
                return_tensors="pt",
            ).to(device)
            states = model(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1).to(states.dtype)
            means = (states * mask).sum(1) / mask.sum(1).clamp_min(1)
            total = total + torch.nn.functional.normalize(means, dim=1).double().sum(0)
    assert isinstance(total, Tensor)
    vector: np.ndarray[Any, Any] = (total / len(ordered)).cpu().numpy()
    return vector


def _longest(folder: Path, config: Any) -> int:
    """Return how many tokens of a text are read: the encoder's own rule, else what the model can take."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        longest = int(json.loads((folder / "sentence_bert_config.json").read_bytes())["max_seq_length"])
        if 1 <= longest < 1 << 31:
            return longest
    return min(512, int(getattr(config, "max_position_embeddings", 512)) - 2)
