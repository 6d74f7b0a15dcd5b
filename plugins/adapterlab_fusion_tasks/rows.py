"""Columns the multiple-choice tasks read, derived from the hub's or from the original files'."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from adapterlab.plugin import Row

Made = Iterator[dict[str, Any]]


def commonsense_qa(row: Row) -> Made:
    """Spread the five choices; the answer's letter is the label where there is no number.

    The hub has ``choices = {"label": […], "text": […]}``, the original file a list of such pairs
    inside ``question``.
    """
    question = row["question"]
    choices = row.get("choices")
    if isinstance(question, Mapping):
        question, choices = question["stem"], question["choices"]
    if isinstance(choices, Mapping):
        texts = choices["text"]
    else:
        texts = [one["text"] if isinstance(one, Mapping) else one for one in choices or ()]
    label = {} if "label" in row or "answerKey" not in row else {"label": row["answerKey"]}
    yield {**row, "question": question, **_spread("choice", texts, 5), **label}


def hellaswag(row: Row) -> Made:
    """Spread the four endings."""
    yield {**row, **_spread("ending", row["endings"], 4)}


def winogrande(row: Row) -> Made:
    """Cut the sentence at its blank and fill it: the part before, and each option with the part behind.

    Source: Sakaguchi et al. 2020, WinoGrande, and its code's processor.
    """
    sentence = str(row["sentence"])
    before, blank, behind = sentence.partition("_")
    if not blank:
        raise ValueError("sentence has no blank '_'")
    endings = {f"ending{i}": f"{row[f'option{i}']} {behind.strip()}".strip() for i in (1, 2)}
    label = {}
    if "label" not in row and "answer" in row:
        label = {"label": int(row["answer"]) - 1}
    # a sentence that starts with its blank has nothing before it: then all of it stands there
    yield {**row, "before": before.strip() or sentence, **endings, **label}


def _spread(name: str, texts: Any, count: int) -> dict[str, Any]:
    if not isinstance(texts, list | tuple) and not hasattr(texts, "tolist"):
        raise ValueError(f"expected a list of {count} {name}s")
    texts = list(texts)
    if len(texts) != count:
        raise ValueError(f"{len(texts)} {name}s, expected {count}")
    return {f"{name}{number}": text for number, text in enumerate(texts)}
