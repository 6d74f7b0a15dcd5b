"""A resolved spec is written as TOML that reads back as it was."""

from __future__ import annotations

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from adapterlab.reporting.spec_text import toml_text
from adapterlab.spec.load import load_spec_text
from adapterlab.spec.text import SpecText
from specs import spec

SCALARS = (
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.integers(-(2**60), 2**60)
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_anything_reads_back_as_it_was(value):
    filled = {name: one for name, one in value.items() if one != {}}
    assert tomllib.loads(toml_text(value)) == filled


def test_a_resolved_spec_is_the_same_spec(tmp_path):
    resolved = spec().model_dump(mode="json")
    text = SpecText(path="-", name="again", folder=tmp_path, text=toml_text(resolved))
    assert load_spec_text(text).spec == spec()
