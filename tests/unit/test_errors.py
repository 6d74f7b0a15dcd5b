"""Every error survives pickling, whole; exit codes are those the guide promises."""

from __future__ import annotations

import copy
import multiprocessing
import pickle

import pytest

from adapterlab import errors
from adapterlab.errors import AdapterlabError


def _classes(base: type[AdapterlabError]) -> list[type[AdapterlabError]]:
    return [base, *(found for child in base.__subclasses__() for found in _classes(child))]


ALL = _classes(AdapterlabError)
DETAILS = {"faults": [{"line": 1}], "path": "a.toml"}


def _raise(kind: type[AdapterlabError]) -> None:
    raise kind("wrong", remedy="mend it", **DETAILS)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_error_survives_pickling_with_all_it_carries(
    kind: type[AdapterlabError], protocol: int
) -> None:
    error = kind("wrong", remedy="mend it", **DETAILS)
    for twin in (pickle.loads(pickle.dumps(error, protocol)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is kind
        assert (twin.message, twin.remedy, twin.details) == ("wrong", "mend it", DETAILS)
        assert str(twin) == str(error)
        assert twin.exit_code == error.exit_code


def test_an_error_comes_back_from_another_process() -> None:
    with (
        multiprocessing.get_context("spawn").Pool(1) as pool,
        pytest.raises(errors.ClaimLostError) as caught,
    ):
        pool.apply(_raise, (errors.ClaimLostError,))
    assert caught.value.details == DETAILS


def test_the_message_carries_the_remedy_on_its_own_line() -> None:
    assert str(AdapterlabError("wrong")) == "wrong"
    assert str(AdapterlabError("wrong", remedy="mend it")) == "wrong\n  mend it"


def test_json_output_carries_name_code_and_details() -> None:
    assert errors.NotFoundError("gone", remedy="look", path="x").to_json() == {
        "error": "NotFoundError",
        "message": "gone",
        "remedy": "look",
        "exit_code": 4,
        "path": "x",
    }


@pytest.mark.parametrize(
    ("name", "code", "builtin"),
    [
        ("AdapterlabError", 1, Exception),
        ("UsageError", 2, Exception),
        ("SpecError", 3, ValueError),
        ("DataError", 3, ValueError),
        ("BackboneError", 3, ValueError),
        ("NotFoundError", 4, LookupError),
        ("UnavailableError", 5, ConnectionError),
        ("ConflictError", 5, Exception),
        ("ClaimLostError", 5, errors.ConflictError),
        ("CorruptBlobError", 1, Exception),
        ("TrainingError", 1, Exception),
        ("PartialFailureError", 6, Exception),
        ("CancelledError", 130, Exception),
    ],
)
def test_exit_codes_are_stable(name: str, code: int, builtin: type[BaseException]) -> None:
    kind = getattr(errors, name)
    assert kind.exit_code == code
    assert issubclass(kind, builtin)


def test_the_tree_drawn_at_the_head_names_every_class_with_its_code() -> None:
    drawing = errors.__doc__ or ""
    for kind in (found for found in ALL if found.__module__ == errors.__name__):
        line = next(line for line in drawing.split("\n") if f"{kind.__name__} " in line)
        assert f" {kind.exit_code} " in line
