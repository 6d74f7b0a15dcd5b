"""Spans of time that touch or overlap are one."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from adapterlab.search.spans import joined_spans


@given(
    st.lists(
        st.tuples(st.floats(0, 100), st.floats(0, 100)).map(lambda pair: tuple(sorted(pair))), max_size=8
    )
)
def test_joined_spans_never_count_a_moment_twice(spans):
    joined = joined_spans(spans)
    assert all(before[1] < after[0] for before, after in itertools.pairwise(joined))
    length = sum(end - start for start, end in joined)
    assert length <= sum(end - start for start, end in spans) + 1e-6
    if spans:
        assert length <= max(end for _, end in spans) - min(start for start, _ in spans) + 1e-6
    assert all(any(one[0] <= start and end <= one[1] for one in joined) for start, end in spans)
