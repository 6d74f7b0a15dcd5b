"""Where lanes and sequences lie among the rows of a pass."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from adapterlab.train.packed import LaneOfRows, PackedRows

CPU = torch.device("cpu")


@given(st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=5), min_size=1, max_size=6))
def test_every_row_knows_its_lane_and_its_place_in_it(lanes):
    lengths = torch.tensor([length for lane in lanes for length in lane])
    packed = PackedRows(
        lengths, int(lengths.max()), tuple(len(lane) for lane in lanes), tuple(sum(lane) for lane in lanes)
    )
    tokens = [(k, place) for k, lane in enumerate(lanes) for place in range(sum(lane))]
    sequences = [(k, place) for k, lane in enumerate(lanes) for place in range(len(lane))]
    assert list(zip(packed.tokens.lanes.tolist(), packed.tokens.places.tolist(), strict=True)) == tokens
    assert (
        list(zip(packed.sequences.lanes.tolist(), packed.sequences.places.tolist(), strict=True)) == sequences
    )
    starts = packed.starts.tolist()
    assert starts[0] == 0
    assert [a + n for a, n in zip(starts, lengths.tolist(), strict=True)][:-1] == starts[1:]
    assert packed.rows_of(torch.empty(len(tokens), 2)) is packed.tokens
    if len(sequences) != len(tokens):
        assert packed.rows_of(torch.empty(len(sequences), 2)) is packed.sequences


def test_a_lane_without_rows_is_passed_over():
    rows = LaneOfRows.of([2, 0, 1], CPU)
    assert rows.lanes.tolist() == [0, 0, 2]
    assert rows.places.tolist() == [0, 1, 0]
