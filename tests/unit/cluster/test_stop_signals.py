"""Signals ask for a stop: noted always, raised where work can be left at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import pytest

from adapterlab.cluster import stop_signals
from adapterlab.cluster.stop_signals import Interrupted, StopSignals, signals_raised
from adapterlab.errors import CancelledError

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def every_signal_a_request(monkeypatch):
    monkeypatch.setattr(stop_signals, "_ONE_REQUEST_S", 0.0)


@pytest.fixture(autouse=True)
def none_ignored():
    """Under ``nohup`` SIGHUP would be, and stay so."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in NUMBERS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_is_noted_and_named_when_asked_for(number):
    before = signal.getsignal(number)
    signals = StopSignals()
    with signals.heard():
        signals.check()
        send(number)
        assert (signals.first, signals.count) == (number.name, 1)
    assert signal.getsignal(number) is before
    with pytest.raises(CancelledError) as error:
        signals.check()
    assert error.value.details["signal"] == number.name


def test_work_that_can_be_left_is_interrupted_and_work_inside_it_that_cannot_is_not():
    signals = StopSignals()
    begun = []

    def work():
        with signals.explained(), signals.interrupting():
            with signals.noting():
                send(signal.SIGTERM)
            begun.append("noted")
            with signals.interrupting():
                begun.append("a block after the stop was asked for")

    with signals.heard(), pytest.raises(CancelledError, match="stopped by SIGTERM"):
        work()
    assert begun == ["noted"]


def test_the_request_that_a_block_waits_for_interrupts_it():
    signals = StopSignals()
    with signals.heard(), signals.interrupting(2):
        send(signal.SIGINT)
        with pytest.raises(Interrupted) as raised:
            send(signal.SIGTERM)
    assert raised.value.number == signal.SIGTERM


def test_the_fourth_request_ends_even_the_orderly_end():
    signals = StopSignals()
    with signals.heard():
        for _ in range(3):
            send(signal.SIGINT)
        with pytest.raises(Interrupted):
            send(signal.SIGINT)


def test_a_request_that_arrives_in_a_finaliser_interrupts_all_the_same():
    """Python prints what is raised in ``__del__`` or in a weak reference's callback, and goes on."""

    class Finalised:
        def __del__(self):
            send(signal.SIGTERM)

    signals = StopSignals()

    def work():
        with signals.interrupting():
            one = Finalised()
            del one
            end = time.monotonic() + 10
            while time.monotonic() < end:
                time.sleep(0.01)

    with signals.heard():
        with pytest.raises(Interrupted):
            work()
        assert signals.count == 1


def test_what_else_a_finaliser_raises_is_told_as_ever(capsys, monkeypatch):
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)

    class Finalised:
        def __del__(self):
            raise ValueError("in a finaliser")

    with StopSignals().heard():
        one = Finalised()
        del one
    assert "in a finaliser" in capsys.readouterr().err
    assert sys.unraisablehook is sys.__unraisablehook__


def test_signals_close_together_are_one_request(monkeypatch):
    monkeypatch.setattr(stop_signals, "_ONE_REQUEST_S", 60.0)
    signals = StopSignals()
    with signals.heard():
        for _ in range(10):
            send(signal.SIGTERM)
    assert signals.count == 1


def test_a_signal_that_was_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        signals = StopSignals()
        with signals.heard():
            send(signal.SIGHUP)
        assert signals.first is None
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_another_thread_than_the_first_hears_nothing_and_changes_nothing():
    before = signal.getsignal(signal.SIGTERM)
    found = []

    def listen():
        with StopSignals().heard():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert found == [before]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_a_block_as_ctrl_c_does_and_what_was_before_comes_back(number):
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    closed = []

    def work():
        try:
            os.kill(os.getpid(), number)
            time.sleep(60)
        finally:
            closed.append(True)

    with signals_raised() as heard, pytest.raises(KeyboardInterrupt):
        work()
    assert (heard, closed) == ([number], [True])
    assert {one: signal.getsignal(one) for one in before} == before


def test_a_signal_that_is_ignored_or_handled_already_stays_so():
    told = []
    before = signal.signal(signal.SIGTERM, lambda *_: told.append("mine"))
    ignored = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals_raised() as heard:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGHUP)
        assert (told, heard) == (["mine"], [])
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGHUP, ignored)
