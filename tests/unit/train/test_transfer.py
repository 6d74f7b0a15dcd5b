"""What goes to a device and comes back is what it was; a mark says when."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from adapterlab.train import transfer
from adapterlab.train.passes import gather, placed
from adapterlab.train.transfer import Fetched, copied_together, mark, on_device, sent_together
from tiny_models import random_examples

CPU = torch.device("cpu")
DTYPES = (torch.int64, torch.float32, torch.float64, torch.bool)


@given(st.lists(st.tuples(st.sampled_from(DTYPES), st.lists(st.integers(0, 4), max_size=3)), max_size=8))
def test_tensors_of_any_shapes_and_precisions_arrive_as_they_were(given_shapes):
    tensors = [torch.randint(0, 9, shape).to(dtype) for dtype, shape in given_shapes]
    for got, wanted in zip(copied_together(tensors, CPU), tensors, strict=True):
        assert got.dtype is wanted.dtype
        assert torch.equal(got, wanted)
        assert not got.numel() or got.data_ptr() != wanted.data_ptr()


def test_those_of_one_precision_are_one_piece_of_memory():
    tensors = [torch.ones(2, 3), torch.zeros(4, dtype=torch.int64), torch.ones(5)]
    first, other, last = copied_together(tensors, CPU)
    assert first.untyped_storage().data_ptr() == last.untyped_storage().data_ptr()
    assert first.untyped_storage().data_ptr() != other.untyped_storage().data_ptr()


def test_on_a_cpu_nothing_is_copied():
    tensors = [torch.ones(2, 3)]
    assert sent_together(tensors, CPU)[0] is tensors[0]
    rectangle = gather(random_examples(4, 2, seed=0), np.arange(4))
    assert placed([rectangle], CPU)[0] is rectangle
    assert Fetched(tensors[0]).read() is tensors[0]


def test_a_rectangle_that_goes_over_keeps_its_rows_and_knows_its_split(monkeypatch):
    """As to a GPU; one of the two has no padding, so that fewer tensors are its."""
    monkeypatch.setattr(
        "adapterlab.train.passes.sent_together", lambda tensors, _: copied_together(tensors, CPU)
    )
    examples = random_examples(9, 2, seed=3)
    alike = np.flatnonzero(examples.lengths == examples.lengths[0])
    given_ones = [gather(examples, np.arange(5)), gather(examples, alike)]
    assert given_ones[1].cells is None
    for got, wanted in zip(placed(given_ones, torch.device("meta")), given_ones, strict=True):
        assert got is not wanted
        assert got.examples is examples
        assert got.tensors.keys() == wanted.tensors.keys()
        assert all(torch.equal(one, wanted.tensors[name]) for name, one in got.tensors.items())


def test_numbers_of_the_host_are_sent_in_the_precision_asked_for():
    assert torch.equal(on_device([1, 2], torch.float32, CPU), torch.tensor([1.0, 2.0]))
    assert on_device(np.arange(3), torch.int64, CPU).tolist() == [0, 1, 2]


def test_on_a_cpu_a_mark_is_a_moment(monkeypatch):
    moments = iter((1.5, 4.0))
    monkeypatch.setattr(transfer, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    first, second = mark(CPU), mark(CPU)
    second.wait()
    assert second.seconds_since(first) == 2.5


def test_on_a_card_it_is_an_event_of_the_present_stream(monkeypatch):
    """CUDA's events count milliseconds; torch's own class is not to be had without a card."""

    class Event:
        def __init__(self, *, enable_timing):
            assert enable_timing
            self.waited = False

        def record(self, stream):
            self.at = stream

        def synchronize(self):
            self.waited = True

        def elapsed_time(self, later):
            return later.at - self.at

    places = iter((100.0, 350.0))
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: next(places))
    first, second = (mark(torch.device("cuda")) for _ in range(2))
    second.wait()
    assert second.event.waited
    assert not first.event.waited
    assert second.seconds_since(first) == pytest.approx(0.25)
