"""Times as people type them, sizes and ages as they read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterlab.cli.quantities import age_text, seconds_of, size_text
from adapterlab.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("24h", 86400),
        ("7d", 604800),
        ("90min", 5400),
        ("90m", 5400),
        ("1.5 h", 5400),
        ("1d12h", 129600),
        ("1d 12h 30s", 129630),
        (" 30S ", 30),
        ("0", 0),
        ("0s", 0),
    ],
)
def test_lengths_of_time(text, seconds):
    assert seconds_of(text, "--grace") == seconds


@pytest.mark.parametrize(
    "text", ["", "24", "h", "-1h", "1 week", "1h!", "1h,2m", "nan", "inf", "1e9d", "9" * 400 + "d", "24ｈ"]
)
def test_what_is_no_length_of_time_says_how_to_write_one(text):
    with pytest.raises(UsageError, match="--grace") as error:
        seconds_of(text, "--grace")
    assert "24h" in error.value.remedy


@given(st.integers(0, 3000), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_parts_add_up(days, hours, minutes, seconds):
    text = f"{days}d{hours}h{minutes}min{seconds}s"
    assert seconds_of(text, "--grace") == ((days * 24 + hours) * 60 + minutes) * 60 + seconds


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (200 * 1024, "200 KiB"),
        (1468006, "1.4 MiB"),
        (5 << 40, "5.0 TiB"),
        (5 << 50, "5120 TiB"),
    ],
)
def test_sizes(count, text):
    assert size_text(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "unknown"),
        (0.4, "0 s"),
        (59.0, "59 s"),
        (60, "1 minute"),
        (7300, "2 hours"),
        (300000, "3 days"),
    ],
)
def test_ages(seconds, text):
    assert age_text(seconds) == text
