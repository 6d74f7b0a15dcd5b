"""What a tracker holds and asks does not grow with the runs that have ended."""

from __future__ import annotations

import threading

from adapterlab.records import State
from adapterlab.tracking import writer as writing
from adapterlab.tracking.spool import Spool
from adapterlab.tracking.store import Answer
from adapterlab.tracking.writer import Writer


def test_a_run_that_has_ended_is_forgotten(place):
    with place.open() as tracker:
        place.write_tree(tracker)
        for number in range(5):
            run = tracker.run(f"s/study/x{number}", name="x", parent="s/study", new=True)
            run.metrics({"a": 0.5}, step=1)
            run.end(State.COMPLETE)
        tracker.flush()
        assert set(tracker._runs._known) == {"s", "s/source/a", "s/study", "s/study/0"}
        tracker.existing("s/study/x3").metrics({"a": 0.7, "b": 1.0}, step=1)  # one that goes on is looked up
        tracker.run("s/study/x4", name="x", parent="s/study")
    runs = place.runs()
    assert place.points("s/study/x3", "a") == [(1, 0.5)], "a point that is there stays"
    assert place.points("s/study/x3", "b") == [(1, 1.0)]
    assert runs["s/study/x3"].info.status == "FINISHED"
    assert runs["s/study/x4"].info.status == "RUNNING"


def test_what_still_runs_is_asked_for_without_reading_the_rest(place, monkeypatch):
    with place.open() as tracker:
        place.write_tree(tracker)
        for number in range(5):
            tracker.run(f"s/study/x{number}", name="x", parent="s/study", new=True).end(State.COMPLETE)
        tracker.flush()
        read = []
        search = tracker._runs._client.search_runs

        def counted(*given, **named):
            found = search(*given, **named)
            read.extend(found)
            return found

        monkeypatch.setattr(tracker._runs._client, "search_runs", counted)
        assert {one.node for one in tracker._runs.running_below("s")} == {
            *("s/source/a", "s/study", "s/study/0")
        }
        assert len(read) == 4  # with the top
        parents = {one.node: one.parent for one in tracker._runs.running_below("s")}
        assert parents == {"s/source/a": "s", "s/study": "s", "s/study/0": "s/study"}
        assert [one.node for one in tracker._runs.running_below("s/study")] == ["s/study/0"]


def test_steps_states_are_read_without_their_trials(place):
    with place.open() as tracker:
        tracker.run("s", name="s", parent=None, tags={"adapterlab.kind": "sweep"})
        tracker.run("s/a", name="a", parent="s", tags={"adapterlab.kind": "study"}).end(State.COMPLETE)
        tracker.run("s/a/0", name="0", parent="s/a", tags={"adapterlab.kind": "trial"}).end(State.PRUNED)
        assert tracker.states("s", without="trial") == {"s/a": State.COMPLETE}
        assert tracker.states("s") == {"s/a": State.COMPLETE, "s/a/0": State.PRUNED}


class _Slow:
    """Runs that are written only while ``open_`` is set."""

    def __init__(self) -> None:
        self.open_ = threading.Event()
        self.written = 0

    def write(self, *_) -> None:
        self.open_.wait(60)
        self.written += 1

    def flush(self, _node) -> None:
        pass


def _writer(place, runs) -> Writer:
    return Writer(
        Spool(place.spool, "store", "e"), lambda _: runs, "e", lambda: Answer(up=True, why=""), "place"
    )


def _entry(number: int) -> dict:
    return {"what": "tags", "node": f"n{number}", "tags": {}}


def test_entries_wait_for_a_store_that_takes_them(place, monkeypatch):
    monkeypatch.setattr(writing, "_MOST_WAITING", 20)
    monkeypatch.setattr(writing, "_ROOM_TIMEOUT_S", 60.0)
    runs = _Slow()
    runs.open_.set()
    writer = _writer(place, runs)
    most = 0
    for number in range(200):
        writer.hand_over(_entry(number))
        most = max(most, number + 1 - runs.written)
    writer.close(60)
    assert most <= 22
    assert runs.written == 200


def test_a_store_that_takes_nothing_is_waited_for_once(place, monkeypatch):
    """Training does not stop because of it; what waits is on the disk."""
    monkeypatch.setattr(writing, "_MOST_WAITING", 20)
    monkeypatch.setattr(writing, "_ROOM_TIMEOUT_S", 0.01)
    runs = _Slow()
    writer = _writer(place, runs)
    waits = []
    wait_for = writer._idle.wait_for
    monkeypatch.setattr(writer._idle, "wait_for", lambda *given: waits.append(1) or wait_for(*given))
    for number in range(100):
        writer.hand_over(_entry(number))
    assert len(waits) == 1
    runs.open_.set()
    writer.close(60)
    assert runs.written == 100
