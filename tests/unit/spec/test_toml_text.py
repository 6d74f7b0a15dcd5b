"""Plain values as TOML: whatever is written reads back as it was."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterlab.spec.load import load_spec_text
from adapterlab.spec.text import SpecText
from adapterlab.spec.toml_text import toml_document
from specs import spec

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=6)
VALUES = st.recursive(
    st.integers(-(2**62), 2**62) | st.booleans() | TEXT | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(TEXT, VALUES, max_size=4))
def test_what_is_written_reads_back(document) -> None:
    assert tomllib.loads(toml_document(document)) == document


def test_a_resolved_spec_is_the_same_spec(tmp_path):
    resolved = spec().model_dump(mode="json")
    text = SpecText(path="-", name="again", folder=tmp_path, text=toml_document(resolved))
    assert load_spec_text(text).spec == spec()


def test_a_table_is_under_its_header_and_a_dimension_on_one_line() -> None:
    text = toml_document(
        {"search": {"lr": {"low": 1e-3, "high": 0.02}, "trials": 4}, "task": [{"name": "a"}]}
    )
    assert text == '[search]\nlr = { low = 1e-3, high = 0.02 }\ntrials = 4\n\n[[task]]\nname = "a"\n'


def test_nothing_is_left_out_and_strange_values_are_refused() -> None:
    assert toml_document({"a": None, "b": 1}) == "b = 1\n"
    with pytest.raises(TypeError, match="object is nothing"):
        toml_document({"a": object()})
