"""The starter spec is valid, and each commented key shows its true default."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from adapterlab.spec.key_tables import toml
from adapterlab.spec.load import load_spec
from adapterlab.spec.model import Spec
from adapterlab.spec.template import starter

CHOSEN: dict[str, dict[str, Any]] = {
    "backbone": {"source": "package:x"},
    "pool": {
        "tasks": [f"glue/{name}" for name in ("rte", "mrpc", "cola", "stsb", "sst2", "qnli", "qqp", "mnli")]
    },
    "targets": {"tasks": ["glue/rte"]},
}


def test_the_starter_is_a_valid_spec(tmp_path: Path) -> None:
    path = tmp_path / "spec.toml"
    path.write_text(starter("mine", CHOSEN), encoding="utf-8")
    spec = load_spec(path).spec
    assert spec.name == "mine"
    assert len(spec.pool.tasks) == 8
    assert max(map(len, path.read_text(encoding="utf-8").split("\n"))) <= 110


def test_commented_keys_taken_into_use_change_nothing() -> None:
    text = starter("mine", CHOSEN)
    used = re.sub(r"^# (\w+ = )(?!\(not set\))", r"\1", text, flags=re.MULTILINE)
    assert used.count("\n") == text.count("\n")
    assert sum(line.startswith("# ") for line in text.split("\n")) > sum(
        line.startswith("# ") for line in used.split("\n")
    )
    assert Spec.model_validate(tomllib.loads(used)) == Spec.model_validate(tomllib.loads(text))


def test_what_is_not_chosen_is_as_if_it_were_not_there() -> None:
    """A bare `[pool.query]` would ask the catalog for everything."""
    assert Spec.model_validate(tomllib.loads(starter("mine", CHOSEN))) == Spec.model_validate(
        {"name": "mine", **CHOSEN}
    )


def test_every_key_of_the_model_is_in_it() -> None:
    text = starter("mine", CHOSEN)
    for name in ("max_epochs", "lease_s", "workers_per_study", "warmup_ratio", "hidden_size", "uri"):
        assert re.search(rf"^(# +)?{name} = ", text, flags=re.MULTILINE), name


json_values = st.recursive(
    st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc_", min_size=1), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(json_values)
def test_values_survive_being_written_as_toml(value: Any) -> None:
    assert tomllib.loads(f"value = {toml(value)}")["value"] == value
