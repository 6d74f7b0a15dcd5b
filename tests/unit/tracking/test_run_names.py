"""Names are what a person reads in a list of runs."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterlab.tracking import run_names as names


def test_trial_name_says_task_combiner_and_setting():
    settings = {"dropout": 0.3, "lr": 0.006, "init_scale": 2.0}
    assert (
        names.trial_name("glue/rte", "scalearn", settings)
        == "rte · scalearn · lr 6e-3 · init 2 · dropout 0.3"
    )


def test_trial_name_puts_other_settings_last_in_alphabetical_order():
    settings = {"weight_decay": 0.01, "lr": 1e-3, "batch_size": 32}
    assert names.trial_name("cb", "pp", settings) == "cb · pp · lr 1e-3 · batch size 32 · weight decay 0.01"


def test_other_names_read_from_the_general_to_the_special():
    assert names.source_name("glue/mnli", 0) == "source · mnli · seed 0"
    assert names.source_name("glue/mnli", 2, label="lora") == "lora · mnli · seed 2"
    assert names.study_name("glue/rte", "scalearn") == "rte · scalearn"
    assert names.final_name("rte", "scalearn", 2) == "rte · scalearn · final · seed 2"
    assert names.sweep_name("quickstart") == "sweep · quickstart"
    assert names.sweep_name("quickstart", "ab" * 32) == "sweep · quickstart · abababab"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.006, "6e-3"),
        (0.0003, "3e-4"),
        (0.00123456, "1.23e-3"),
        (2.0, "2"),
        (2, "2"),
        (0.3, "0.3"),
        (0.05, "0.05"),
        (0.01, "0.01"),
        (0.00999, "9.99e-3"),
        (0.009999, "0.01"),
        (1500, "1500"),
        (12345.6, "12300"),
        (1e6, "1e6"),
        (-0.004, "-4e-3"),
        (0.0, "0"),
        (-0.0, "0"),
        (99999, "1e5"),
        (math.inf, "inf"),
        (True, "True"),
        ("relu", "relu"),
        (None, "None"),
    ],
)
def test_compact_writes_a_number_as_a_person_would(value, text):
    assert names.compact(value) == text


@given(st.floats(-1e300, 1e300))
def test_compact_keeps_three_significant_digits_and_is_short(value):
    text = names.compact(value)
    assert len(text) <= 10
    assert float(text) == pytest.approx(value, rel=0.005, abs=5e-324)
