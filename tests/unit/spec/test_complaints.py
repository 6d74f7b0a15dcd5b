"""Messages: the near name, values as TOML writes them, unions that speak with one voice."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, field_validator

from adapterlab.spec.complaints import ALIASES, complaints_of, show, suggest
from adapterlab.spec.model import Spec


class Inner(BaseModel):
    """A nested table."""

    model_config = ConfigDict(extra="forbid", strict=True)
    width: Annotated[int, Field(ge=1)] = 1


class Settings(BaseModel):
    """A plug-in's settings, looser than ours."""

    model_config = ConfigDict(extra="forbid", strict=True)
    inner: Inner = Inner()
    names: dict[str, Inner] = {}
    mode: int | str | None = None
    odd: Any = None

    @field_validator("odd")
    @classmethod
    def _refuse(cls, value: Any) -> Any:
        if value == "overflow":
            raise OverflowError("too much")
        return value


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("lerning_rate", "lr"), ("learning-rate", "lr"), ("Epochs", "max_epochs"), ("batchsize", "batch_size"),
        ("patiance", "patience"), ("trails", "trials"), ("n_trials", "trials"), ("zzz", None), ("", None),
    ],
)  # fmt: skip
def test_misspelt_keys_and_the_fields_own_words_lead_to_ours(written: str, meant: str | None) -> None:
    assert suggest(written, ["lr", "max_epochs", "batch_size", "patience", "trials", "seed"]) == meant


def test_every_alias_leads_to_a_key_that_exists() -> None:
    def keys(model: type[BaseModel]) -> set[str]:
        schema = Spec.model_json_schema()
        return {name for body in [schema, *schema["$defs"].values()] for name in body.get("properties", {})}

    assert set(ALIASES.values()) <= keys(Spec)
    assert not set(ALIASES.values()) & set(ALIASES), "an alias must not shadow a key it leads to"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("x", '"x"'), ('a"b', '"a\\"b"'), (True, "true"), (1, "1"), (0.1, "0.1"), ([], "an empty list"),
        ([1], "a list"), ({}, "a table"), (10**100, "a number of more than 60 digits"),
    ],
)  # fmt: skip
def test_values_are_shown_as_toml_writes_them(value: Any, shown: str) -> None:
    assert show(value) == shown


def test_a_long_value_is_cut() -> None:
    assert len(show("x" * 1000)) < 70
    assert show("x" * 1000).endswith('…"')


@pytest.mark.parametrize(
    ("document", "path", "message"),
    [
        ({"inner": {"widht": 2}}, ("s", "inner", "widht"), 'unknown key "widht" in [s.inner]'),
        ({"inner": {"width": 0}}, ("s", "inner", "width"), "s.inner.width: must be at least 1, got 0"),
        ({"names": {"a b": {"width": "1"}}}, ("s", "names", "a b", "width"),
         's.names."a b".width: expected a whole number, got "1"'),
        ({"mode": 1.5}, ("s", "mode"), "s.mode: expected a whole number or text, got 1.5"),
        ({"odd": "overflow"}, ("s",), "s: too much"),
    ],
)  # fmt: skip
def test_a_plug_ins_settings_are_judged_like_our_own(
    document: dict[str, Any], path: tuple[str, ...], message: str
) -> None:
    (complaint,) = complaints_of(Settings, document, ("s",))
    assert (complaint.path, complaint.message) == (path, message)


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "search", "lr", "low", "high", "choices", "kind", "combiner", "pool", "tasks",
                             "range", "value", "backbone", "settings", "expect", "x"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from([*Spec.model_fields, "x"]), junk, max_size=6))
def test_every_complaint_about_any_document_names_a_path_of_it(document: dict[str, Any]) -> None:
    for complaint in complaints_of(Spec, document):
        here: Any = document
        for part in complaint.path[:-1] if complaint.kind == "missing" else complaint.path:
            here = here[part]
        assert complaint.message
