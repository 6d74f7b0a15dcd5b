"""Keys: the same work has the same key however it was written, other work has another."""

from __future__ import annotations

import hashlib
import io
import json
import random
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterlab.fingerprint import canonical_json, digest_file, digest_of, digest_stream, key_of

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def _shuffled(value: Any, rng: random.Random) -> Any:
    if isinstance(value, dict):
        names = list(value)
        rng.shuffle(names)
        return {name: _shuffled(value[name], rng) for name in names}
    return [_shuffled(item, rng) for item in value] if isinstance(value, list) else value


@given(values, st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_matter(value: Any, rng: random.Random) -> None:
    assert digest_of(_shuffled(value, rng)) == digest_of(value)


@given(values)
def test_the_canonical_text_says_the_same_as_the_value(value: Any) -> None:
    text = canonical_json(value)
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text


@given(values, values)
def test_different_values_have_different_texts(one: Any, other: Any) -> None:
    if canonical_json(one) == canonical_json(other):
        assert json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True) or one == other


@pytest.mark.parametrize("forms", ["0.1 1e-1 0.10 1.0E-1", "3e-4 0.0003 3E-04", "0.0 -0.0 0e9", "1e22 1E+22"])
def test_a_number_has_one_form_however_it_was_written(forms: str) -> None:
    texts = {canonical_json(tomllib.loads(f"v = {form}")["v"]) for form in forms.split()}
    assert len(texts) == 1


def test_whole_and_real_numbers_stay_apart() -> None:
    assert digest_of(1) != digest_of(1.0)
    assert digest_of(value=True) != digest_of(1)
    assert digest_of("1") != digest_of(1)


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), [float("-inf")], {"a": {1: 2}}, {"a": {1, 2}}, b"x"]
)
def test_what_has_no_identity_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="a key"):
        canonical_json(value)


def test_kind_and_version_are_part_of_a_key() -> None:
    keys = {key_of("source", 1, {"a": 1}), key_of("source", 2, {"a": 1}), key_of("study", 1, {"a": 1})}
    assert len(keys) == 3
    assert all(len(key) == 64 and set(key) <= set("0123456789abcdef") for key in keys)


def test_a_key_is_the_same_on_every_machine_and_day() -> None:
    """A frozen value: if this fails, every stored key of every user is lost; raise FORMAT_VERSION instead."""
    key = key_of("source", 1, {"lr": 3e-4, "tasks": ["glue/rte"], "text": "é😀", "none": None, "flag": True})
    assert key == "e03c8a7bd3a7db3811f7b3cdad505143b8415f43f421d218d1bde27cd01ae5a5"


def test_a_key_does_not_depend_on_the_process() -> None:
    program = "from adapterlab.fingerprint import digest_of; print(digest_of({'b': [1.5, 'x'], 'a': {}}))"
    run = [sys.executable, "-c", program]
    seen = {
        subprocess.run(run, env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True).stdout
        for seed in ("0", "1", "2")
    }
    assert seen == {digest_of({"a": {}, "b": [1.5, "x"]}) + "\n"}


def test_files_and_streams_are_digested_whole(tmp_path: Path) -> None:
    data = b"x" * (3 << 20) + b"y"
    path = tmp_path / "file"
    path.write_bytes(data)
    assert digest_file(path) == digest_stream(io.BytesIO(data)) == hashlib.sha256(data).hexdigest()
