"""What the troubleshooting page quotes is what the code says."""

from __future__ import annotations

import re

import pytest

from adapterlab import errors
from documents import DOCS, is_said, quoted_messages

PAGE = DOCS / "troubleshooting.md"
QUOTES = list(quoted_messages(PAGE))


def test_quotes_are_found_and_looked_for() -> None:
    assert len(QUOTES) > 40
    assert is_said("the claim with token … is no longer valid")
    assert not is_said("the claim with coin … is no longer valid")
    assert not is_said("the lock has rusted")


@pytest.mark.parametrize(("heading", "message"), QUOTES, ids=[message for _, message in QUOTES])
def test_a_quoted_message_is_one_the_code_gives(heading: str, message: str) -> None:
    assert is_said(message), f"{heading}: no part of the code says {message!r}"


def test_every_error_is_in_the_table_under_its_own_exit_code() -> None:
    rows = re.findall(r"^\| (\d+) \| (.+?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    written = {name: int(code) for code, names in rows for name in re.findall(r"`(\w+Error)`", names)}
    kinds = [errors.AdapterlabError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    ours = {kind.__name__: kind.exit_code for kind in kinds if kind.__module__ == errors.__name__}
    assert written == ours
