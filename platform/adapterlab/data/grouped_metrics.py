"""Metrics over groups of rows: all answers of a question, all candidates for a blank.

Shapes: ``N`` rows, ``G`` groups.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True)
class Scored:
    """Predictions on a split, with what grouped metrics read besides."""

    predictions: Any
    """Class ids, (N,)."""
    labels: Any
    """Class ids, (N,)."""
    outputs: Any = None
    """Logits, (N, C)."""
    groups: Any = None
    """Group of each row, (N,); ``None``: each row alone."""
    extras: Sequence[Mapping[str, Any]] | None = None
    """Of each row, N mappings; the entity metrics read ``entity`` and ``answers``."""

    def members(self) -> Iterator[list[int]]:
        """Yield the rows of each group, groups in the order of their first row."""
        if self.groups is None:
            yield from ([row] for row in range(len(self.labels)))
            return
        found: dict[int, list[int]] = {}
        for row, group in enumerate(self.groups.tolist() if hasattr(self.groups, "tolist") else self.groups):
            found.setdefault(group, []).append(row)
        yield from found.values()


def group_accuracy(scored: Scored, _: None = None) -> float:
    """Return the share of groups all of whose rows are right: MultiRC's exact match of a question.

    Source: Khashabi et al. 2018, Looking Beyond the Surface (MultiRC), metric EM0.
    """
    right = [all(scored.predictions[row] == scored.labels[row] for row in rows) for rows in scored.members()]
    return sum(right) / len(right)


def entity_f1(scored: Scored, _: None = None) -> float:
    """Return the mean over groups of the chosen entity's token F1 with its best gold answer."""
    return _over_groups(scored, token_f1)


def entity_em(scored: Scored, _: None = None) -> float:
    """Return the share of groups whose chosen entity is a gold answer, once both are normalised."""
    return _over_groups(scored, lambda one, gold: float(normalised(one) == normalised(gold)))


def _over_groups(scored: Scored, alike: Callable[[str, str], float]) -> float:
    """Average the best likeness of each group's chosen entity to any of its answers.

    A group without answers counts 0, as no entity can be right.

    Raises:
        ValueError: Outputs of two classes or the entities and answers are missing.

    Source: Zhang et al. 2018, ReCoRD; SuperGLUE's evaluation: the entity with the greatest logit of
    class 1 is the answer, ties go to the greater entity string.
    """
    outputs, extras = scored.outputs, scored.extras
    if outputs is None or extras is None or outputs.ndim != 2 or outputs.shape[1] != 2:
        raise ValueError("entity metrics need outputs (N, 2) and each row's entity and answers")
    values = []
    for rows in scored.members():
        entity, answers = max(
            (
                (float(outputs[row, 1]), str(extras[row]["entity"]), tuple(extras[row]["answers"]))
                for row in rows
            ),
            key=lambda candidate: candidate[:2],
        )[1:]
        values.append(max((alike(entity, gold) for gold in answers), default=0.0))
    return sum(values) / len(values)


def normalised(text: str) -> str:
    """Return an answer without case, punctuation, articles and superfluous white space.

    Source: Rajpurkar et al. 2016, SQuAD; its evaluation script's normalisation.
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def token_f1(answer: str, gold: str) -> float:
    """Return the harmonic mean of precision and recall of an answer's normalised words, in [0, 1]."""
    words, wanted = normalised(answer).split(), normalised(gold).split()
    common = sum((Counter(words) & Counter(wanted)).values())
    return 2 * common / (len(words) + len(wanted)) if common else 0.0
