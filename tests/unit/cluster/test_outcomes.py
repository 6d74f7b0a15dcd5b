"""An order ends once: with what came out, or with why nothing did."""

from __future__ import annotations

import json
from dataclasses import dataclass

from adapterlab.cluster.outcomes import attempt, death_of, outcome_of
from adapterlab.errors import CancelledError, DataError, TrainingError
from adapterlab.records import State


def go_on():
    return False


def ended(trainable, stop=go_on):
    told = attempt(json.dumps({"n": 3}), trainable, stop)
    return outcome_of(0, told, 1), json.loads(told).get("traceback")


def test_what_comes_out_comes_back():
    outcome, trace = ended(lambda payload, _stop, _in_work: {"twice": 2 * payload["n"]})
    assert (outcome.state, outcome.result, outcome.error, trace) == (State.COMPLETE, {"twice": 6}, None, None)


def test_our_errors_come_back_whole_and_others_with_their_place():
    def ours(payload, stop, in_work):
        raise DataError("line 3: no label", remedy="Add one.", line=3)

    def theirs(payload, stop, in_work):
        return {"value": 1 / 0}

    outcome, trace = ended(ours)
    assert isinstance(outcome.error, DataError)
    assert (outcome.error.remedy, outcome.error.details) == ("Add one.", {"line": 3})
    assert "in ours" in trace
    outcome, _ = ended(theirs)
    assert isinstance(outcome.error, TrainingError)
    assert outcome.error.message.startswith("ZeroDivisionError: division by zero (test_outcomes.py:")
    assert outcome.state is State.FAILED


def test_what_is_stopped_is_killed_and_does_not_begin():
    begun = []

    def obey(_payload, stop, _in_work):
        begun.append(1)
        if stop():
            raise CancelledError("stopped at the end of an epoch")
        return {}

    assert ended(obey, lambda: True)[0].state is State.KILLED
    assert begun == []
    answers = iter([False, True])
    assert ended(obey, lambda: next(answers))[0].error.message == "stopped at the end of an epoch"


@dataclass
class Trial:
    """As much of a Tune trial as its last words are read from."""

    error_file: str


def test_the_last_death_is_told_in_the_line_that_says_why(tmp_path):
    page = tmp_path / "error.txt"
    first = "The actor is dead because its worker process has died. Worker exit detail: out of memory"
    last = "The actor died because its node has died. Node Id: 4711"
    page.write_text(
        "".join(
            f"Failure # {number} (occurred at 2026-11-29_11-16-27)\n"
            f"The actor died unexpectedly before finishing this task.\n\tclass_name: worker\n{why}\n"
            for number, why in enumerate((first, last), 1)
        )
    )
    assert death_of(Trial(str(page)), 2).message == f"the worker died 2 times: {last}"
    page.write_text(
        "Failure # 1 (occurred at 2026-11-29_11-16-27)\nThe actor 02 is unavailable: Socket closed\n"
    )
    assert death_of(Trial(str(page)), 1).message.endswith("once: The actor 02 is unavailable: Socket closed")
