"""Which deaths of workers their nodes explain, and what is said of them."""

from __future__ import annotations

from adapterlab.cluster.departures import MOST_LOST, Departure, Departures

SPOT, LOST = Departure("spot-1 (10.0.0.7)", notice=True), Departure("10.0.0.8", notice=False)


def test_each_departure_is_said_with_how_often_the_work_was_moved() -> None:
    seen = Departures()
    first = seen.excuse(0, SPOT)
    assert first == "node spot-1 (10.0.0.7) had notice to go, and its worker starts again elsewhere"
    assert seen.excuse(1, LOST) == "node 10.0.0.8 was lost, and its worker starts again elsewhere"
    second = seen.excuse(0, LOST)
    assert second is not None
    assert second.endswith("starts again elsewhere; what it does was moved 2 times")


def test_an_order_that_loses_its_nodes_again_and_again_may_be_what_takes_them_down() -> None:
    seen = Departures()
    assert all(seen.excuse(0, LOST) for _ in range(MOST_LOST))
    assert seen.excuse(0, LOST) is None
    assert seen.excuse(1, LOST) is not None
    assert seen.excuse(0, SPOT) is not None, "a notice is never the work's fault"


def test_notice_is_excused_without_end() -> None:
    seen = Departures(most_lost=0)
    said = [seen.excuse(0, SPOT) for _ in range(100)]
    assert None not in said
    assert len(set(said)) == 100, "no two are alike, so that nobody takes them for one"
