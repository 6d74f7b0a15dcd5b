"""How the sources of a pool are selected: the rules of ``pool.rule``, and the settings of those that measure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Final, Literal, TypeAlias, TypeVar

from pydantic import Field

from adapterlab.spec.search_space import Frozen

Rule: TypeAlias = Literal["order", "random", "text_similarity", "adapter_similarity", "forward_selection"]

TEXT_SIMILARITY: Final = "text_similarity"
ADAPTER_SIMILARITY: Final = "adapter_similarity"
FORWARD_SELECTION: Final = "forward_selection"
MEASURED: Final = frozenset({TEXT_SIMILARITY, ADAPTER_SIMILARITY, FORWARD_SELECTION})
"""Rules whose choice is measured by a step of its own; what the others choose follows from the spec alone."""

COSINE: Final = "cosine"
"""What the scores of the rules are that compare vectors."""

T = TypeVar("T")


class SelectionSpec(Frozen):
    """How the rules that measure do so."""

    max_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """``text_similarity``: training rows of each task whose texts are embedded, at most, the first of the shuffled
    split."""
    max_epochs: Annotated[int, Field(ge=1)] | None = None
    """``forward_selection``: epochs that every set of sources is trained for, at most; absent: as many as the study's
    runs."""


def rule_words(rule: str) -> str:
    """Return a rule as people read it: ``text similarity``."""
    return rule.replace("_", " ")


def selection_words(name: str, rule: str) -> str:
    """Return the name of a selection by a rule as people read it: ``forward selection with scalearn``."""
    return name.replace(rule, rule_words(rule), 1)


def possible_choices(others: Sequence[T], count: int) -> Iterator[list[T]]:
    """Yield choices of some sources so that each source is missing from one of them, where any can be.

    What holds of a pool whatever is chosen holds of all of these.

    Args:
        others: All there are to choose from.
        count: How many are chosen.
    """
    if count >= len(others):
        yield list(others)
        return
    for left_out in range(len(others)):
        yield [*others[:left_out], *others[left_out + 1 :]][:count]
