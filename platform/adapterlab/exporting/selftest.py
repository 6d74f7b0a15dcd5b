"""A few fixed texts with the logits an export must give, so that any loader can check itself.

The texts are our own, not rows of a data set: an export carries nobody's data.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterlab.backbones.facts import input_format
from adapterlab.backbones.tokenizer import load_tokenizer
from adapterlab.data.encoding import encode
from adapterlab.errors import DataError, TrainingError
from adapterlab.records import Examples

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FILE = "self_test.json"
FORMAT = 1
TOLERANCE = 1e-4
"""Greatest difference of a logit, relative to the greatest one (at least 1), between machines in float32."""
_DEFAULT_LENGTH = 128
_LONG = (
    "Although the committee had met three times since the spring, it had not agreed on a single one of the "
    "twelve proposals, and the chair asked everyone to read them once more."
)
_TEXTS = (
    ("The river froze early that year.", "It was a cold winter."),
    ("She sold the house and moved to the coast with her two dogs.", "She still lives in the old house."),
    ("No.", "Nobody answered."),
    (_LONG, "The committee has accepted all proposals."),
)
"""Of different lengths, so that padding is part of the check."""


def encoded(texts: Sequence[tuple[str, ...]], folder: Path, max_length: int | None) -> Examples:
    """Return texts as a backbone's tokenizer cuts them, in order.

    Args:
        texts: One or two sequences a row; at least one row.
        folder: The backbone's.
        max_length: Tokens of a row at most; ``None``: 128, or what the backbone takes if that is less.
    """
    import numpy as np

    form = input_format(folder)
    longest = form.longest
    size = max_length or min(_DEFAULT_LENGTH, longest or _DEFAULT_LENGTH)
    tokenizer = load_tokenizer(folder, size if longest is None else min(size, longest))
    token_ids, type_ids, offsets = encode(tokenizer, texts, segments=form.segments > 1)
    return Examples(token_ids, type_ids, offsets, np.zeros(len(texts), dtype=np.int64))


def texts_for(sequences: int) -> list[tuple[str, ...]]:
    """Return the fixed texts with one or two sequences a row."""
    return [pair[:sequences] for pair in _TEXTS]


def document(
    texts: Sequence[tuple[str, ...]], examples: Examples, logits: NDArray[np.float64]
) -> dict[str, Any]:
    """Return ``self_test.json``: texts, their ids, and the logits of the exported adapter in float32."""
    rows = []
    for index, text in enumerate(texts):
        start, end = examples.offsets[index : index + 2]
        pair = {"text_pair": text[1]} if len(text) > 1 else {}
        rows.append(
            {
                "text": text[0],
                **pair,
                "input_ids": examples.token_ids[start:end].tolist(),
                "token_type_ids": examples.type_ids[start:end].tolist(),
                "logits": [float(value) for value in logits[index]],
            }
        )
    return {"format": FORMAT, "precision": "float32", "tolerance": TOLERANCE, "rows": rows}


def text_of(document: Mapping[str, Any]) -> str:
    """Return a self-test as JSON text, one row a line."""
    head = {key: value for key, value in document.items() if key != "rows"}
    rows = ",\n".join(f"  {json.dumps(row, ensure_ascii=False, allow_nan=False)}" for row in document["rows"])
    return f'{json.dumps(head)[:-1]}, "rows": [\n{rows}\n]}}\n'


def rows_of(document: Mapping[str, Any], where: str) -> tuple[Examples, NDArray[np.float64]]:
    """Return the token ids of a self-test and the logits it expects, (N, C).

    Raises:
        DataError: It is malformed.
    """
    import numpy as np

    from adapterlab.train.predict import examples_of

    try:
        rows = document["rows"]
        for row in rows:
            ids, types, logits = row["input_ids"], row["token_type_ids"], row["logits"]
            if (
                not ids
                or len(ids) != len(types)
                or any(type(one) is not int or not 0 <= one < 1 << 31 for one in (*ids, *types))
            ):
                raise ValueError(
                    "input_ids and token_type_ids must be whole numbers, as many of one as of the other"
                )
            if not all(type(one) in (int, float) and abs(one) < 1e38 for one in logits):
                raise ValueError("logits must be finite numbers")
        examples = examples_of([row["input_ids"] for row in rows], [row["token_type_ids"] for row in rows])
        return examples, np.asarray([row["logits"] for row in rows], dtype=np.float64)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{where}: no self-test ({type(error).__name__}: {error})") from None


def difference(got: NDArray[np.float64], wanted: NDArray[np.float64]) -> float:
    """Return the greatest absolute difference, in units of the greatest expected logit or 1."""
    scale = max(1.0, float(abs(wanted).max()))
    return float(abs(got - wanted).max()) / scale


def check_finite(got: NDArray[np.float64], what: str) -> None:
    """Check that every text of the self-test has outputs.

    Raises:
        TrainingError: One has none.
    """
    from adapterlab.train import finite

    bad = finite.rows_without_answer(got)
    if bad:
        raise TrainingError(f"{what}: self-test: {finite.told(bad)}", remedy=finite.OVERFLOW)


def check(got: NDArray[np.float64], wanted: NDArray[np.float64], what: str) -> float:
    """Check that logits agree, and return their difference.

    Raises:
        TrainingError: They do not.
    """
    check_finite(got, what)
    found = difference(got, wanted)
    if not found <= TOLERANCE:
        raise TrainingError(
            f"{what}: logits differ by {found:.2g} on the self-test, expected at most {TOLERANCE:.0e}",
            remedy="Do not use it. If it was just exported, its combiner may depend on the token, or this is a bug.",
        )
    return found
