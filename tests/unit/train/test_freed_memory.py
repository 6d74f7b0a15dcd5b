"""Free memory goes back to the system, now and then."""

from __future__ import annotations

import sys

import psutil
import pytest
import torch

from adapterlab.train import freed_memory as spare
from adapterlab.train.freed_memory import Spare


@pytest.mark.skipif(spare._trim() is None, reason="another allocator than glibc's")
def test_free_memory_is_given_back():
    process = psutil.Process()
    kept = [torch.ones(25_000) for _ in range(4000)]  # 100 kB each, small enough to lie on the heap
    del kept[::2]  # every other one: none of them is the heap's last, which would shrink it
    before = process.memory_info().rss
    Spare(every_s=0).give_back()
    given_back = before - process.memory_info().rss
    assert len(kept) == 2000
    assert given_back > 100_000_000


def test_it_waits_its_time(monkeypatch):
    calls = []
    monkeypatch.setattr(spare, "_trim", lambda: calls.append)
    one = Spare(every_s=60)
    one.give_back()
    one.give_back()
    assert calls == []
    now = Spare(every_s=0)
    now.give_back()
    assert calls == [0]


def test_another_allocator_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert spare._trim.__wrapped__() is None
