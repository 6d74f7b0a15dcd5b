"""How alike two tasks are: by their texts, as the frozen backbone embeds them, or by the adapters trained on them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adapterlab.errors import UsageError
from adapterlab.records import Examples, Reads
from adapterlab.train.evaluate import MAX_TOKENS
from adapterlab.train.layers import Backbone
from adapterlab.train.passes import Pass, evaluation_rectangles
from adapterlab.train.row_checks import check_examples

Vector = NDArray[np.float64]


@torch.inference_mode()
def text_embedding(backbone: Backbone, examples: Examples) -> Vector:
    """Return the mean over texts of the mean over each text's tokens of the backbone's last hidden states, (d,).

    Every choice of a multiple-choice row is a text.

    Source: TextEmb of Vu et al. 2020 (arXiv 2005.00770), section 4.1; among the embeddings that Poth et al. 2021
    (arXiv 2104.08247) compare.

    Args:
        backbone: The frozen backbone, without its dropout.
        examples: Tokenised rows, at least one.
    """
    check_examples(backbone, examples, "rows")
    total = torch.zeros(backbone.shape.hidden_size, dtype=torch.float64)
    count = 0
    for one in evaluation_rectangles(examples, MAX_TOKENS):
        rectangle = one.to(backbone.device)
        states = backbone.forward(Pass((rectangle,))).float()
        means = rectangle.read(states, Reads.MEAN)
        total += means.double().sum(0).cpu()
        count += len(means)
    embedding: Vector = (total / count).numpy()
    return embedding


def adapter_vector(tensors: Mapping[str, Tensor]) -> Vector:
    """Return an adapter's weights as one vector, (n,): its tensors by name, each row by row.

    Adapters trained from one initialisation are comparable like this, as those of one seed are.

    Source: tuned parameters as task embeddings, TuPaTE, Zhou et al. 2022 (arXiv 2210.11705), section 3.

    Args:
        tensors: Its own, without a head.
    """
    flat = [tensors[name].detach().double().cpu().flatten() for name in sorted(tensors)]
    vector: Vector = torch.cat(flat).numpy()
    return vector


def cosine(one: Vector, other: Vector) -> float:
    """Return the cosine of two vectors, in [-1, 1]; 0 where one of them is zero.

    Raises:
        UsageError: They differ in length.
    """
    if one.shape != other.shape:
        raise UsageError(
            f"vectors of {one.size:,} and {other.size:,} numbers cannot be compared",
            remedy="Take adapters of one method and size, or select sources by text_similarity.",
        )
    length = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.clip(one @ other / length, -1.0, 1.0)) if length else 0.0
