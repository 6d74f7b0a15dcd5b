"""Rows come back from an Arrow file as they went in, at any place, whatever the size of a batch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterlab.data import arrow_rows
from adapterlab.data.arrow_rows import ArrowExtras, ArrowRows, write_rows, write_texts
from adapterlab.data.row_reading import Row
from adapterlab.records import ProblemType

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@st.composite
def tables(draw):
    """Draw rows of one shape: choices, texts of a sequence, with or without groups and extras."""
    choices, texts = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    sequence = st.tuples(*[TEXT] * texts)
    grouped, extra = draw(st.booleans()), draw(st.booleans())
    row = st.builds(
        Row,
        st.tuples(*[sequence] * choices),
        st.integers(0, 4),
        st.integers(0, 9) if grouped else st.none(),
        st.fixed_dictionaries({"entity": TEXT, "answers": st.lists(TEXT, max_size=2)})
        if extra
        else st.none(),
    )
    return draw(st.lists(row, min_size=1, max_size=12))


@settings(max_examples=40, deadline=None)
@given(rows=tables(), batch=st.integers(1, 5), data=st.data())
def test_any_rows_are_read_in_any_order(tmp_path_factory, rows, batch, data):
    path = tmp_path_factory.mktemp("rows") / "train.arrow"
    order = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=8))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(arrow_rows, "BATCH_ROWS", batch)
        assert write_rows(path, iter(rows), ProblemType.CLASSIFICATION) == len(rows)
        found = ArrowRows(path)
        assert len(found) == len(rows)
        expected = [sequence for row in order for sequence in rows[row].sequences]
        assert list(found.sequences(order)) == expected
        assert found.labels(ProblemType.CLASSIFICATION, 5).tolist() == [row.label for row in rows]
        groups = found.groups()
        assert (None if groups is None else groups.tolist()) == (
            None if rows[0].group is None else [row.group for row in rows]
        )
        assert found.has_extras() is (rows[0].extras is not None)
        if found.has_extras():
            texts = path.with_name("extras.arrow")
            write_texts(texts, found.extras(order))
            extras = ArrowExtras(texts)
            assert list(extras) == [rows[row].extras for row in order]
            assert list(extras[1:3]) == [rows[row].extras for row in order[1:3]]


def test_numbers_and_label_sets_have_their_own_arrays(tmp_path):
    write_rows(tmp_path / "n", [Row((("a",),), 1.5), Row((("b",),), -2)], ProblemType.REGRESSION)
    numbers = ArrowRows(tmp_path / "n").labels(ProblemType.REGRESSION, 1)
    assert (numbers.dtype, numbers.tolist()) == (np.float32, [1.5, -2.0])
    sets = [Row((("a",),), (0, 2)), Row((("b",),), ()), Row((("c",),), (1,))]
    write_rows(tmp_path / "s", sets, ProblemType.MULTI_LABEL)
    hot = ArrowRows(tmp_path / "s").labels(ProblemType.MULTI_LABEL, 3)
    assert (hot.dtype, hot.tolist()) == (np.float32, [[1, 0, 1], [0, 0, 0], [0, 1, 0]])


@pytest.mark.parametrize("content", [b"", b"no arrow file at all, but long enough", None])
def test_a_file_that_is_cut_off_or_another_is_damage(tmp_path, content):
    """``read_or_build`` takes a ValueError or OSError for damage and builds again; nothing else."""
    path = tmp_path / "x.arrow"
    write_rows(path, [Row((("a",),), 0)] * 50, ProblemType.CLASSIFICATION)
    path.write_bytes(path.read_bytes()[:-40] if content is None else content)
    with pytest.raises((ValueError, OSError)):
        ArrowRows(path)
