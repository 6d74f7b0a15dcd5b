"""Repeated rows are found exactly, whatever their number and order."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from adapterlab.data.duplicates import _across, _digests, _inside

ROWS = st.lists(st.sampled_from("abcdefg"), max_size=30)


def digests(rows: list[str]) -> np.ndarray:
    return _digests(((row, "second"),) for row in rows)


@given(ROWS)
def test_a_repeated_row_names_the_first_like_it(rows):
    later, first = _inside(digests(rows))
    expected = [(place, rows.index(row)) for place, row in enumerate(rows) if rows.index(row) != place]
    assert list(zip(later.tolist(), first.tolist(), strict=True)) == expected


@given(ROWS, ROWS)
def test_a_row_of_another_split_names_the_first_like_it(rows, earlier):
    later, first = _across(digests(rows), digests(earlier))
    expected = [(place, earlier.index(row)) for place, row in enumerate(rows) if row in earlier]
    assert list(zip(later.tolist(), first.tolist(), strict=True)) == expected


def test_where_one_text_ends_and_the_next_begins_counts():
    assert len(np.unique(_digests([(("a", "bc"),), (("ab", "c"),), (("a",), ("bc",))]).view("S16"))) == 3
