"""The JSON Schema is valid, complete, and judges documents as the models do."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from adapterlab.spec.model import Spec
from adapterlab.spec.schema import json_schema

GOOD: dict[str, Any] = {
    "name": "x",
    "backbone": {"source": "package:x"},
    "pool": {"tasks": ["glue/rte"]},
    "targets": {"tasks": ["glue/rte"]},
}


def _accepts(document: dict[str, Any]) -> bool:
    return jsonschema.Draft202012Validator(json_schema()).is_valid(document)


def test_it_is_a_valid_schema_of_its_draft() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    json.dumps(schema, allow_nan=False)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"search": {"lr": 1e-3, "dropout": {"choices": [0.1, 0.3]}, "init_scale": {"low": 1, "high": 2}}},
        {"combiner": {"kind": ["scalearn", "scalearn_pp"]}},
        {"combiner": {"kind": "scalearn_uniform"}},
        {"combiner": {"kind": "auto", "among": ["scalearn", "adapterfusion"]}},
        {
            "combiner": {
                "kind": ["scalearn", "adapterfusion"],
                "per_kind": {
                    "adapterfusion": {
                        "settings": {"value_regulariser": 0.0},
                        "search": {"lr": {"choices": [1e-5, 5e-5]}},
                        "transfer": {"patience": 3},
                    }
                },
            }
        },
        {"adapter": {"settings": {"reduction_factor": 8}}},
        {
            "adapter": {"settings": {"reduction_factor": {"choices": [4, 8]}}},
            "source": {"lr": {"low": 1e-4, "high": 1e-3, "log": True}, "max_epochs": {"low": 2, "high": 8}},
            "baseline": [{"method": "lora", "settings": {"r": {"low": 2, "high": 8}}}],
        },
        {
            "backbone": {
                "source": "hub:roberta-base",
                "revision": "0" * 40,
                "expect": {"layers": 1, "hidden_size": 8},
            }
        },
        {"cluster": {"address": "auto", "workers": 2}},
    ],
)
def test_it_accepts_what_the_models_accept(change: dict[str, Any]) -> None:
    assert _accepts({**GOOD, **change})
    Spec.model_validate({**GOOD, **change})


@pytest.mark.parametrize(
    "change",
    [
        {"x": 1},
        {"name": "../x"},
        {"search": {"lr": "x"}},
        {"search": {"lr": {"low": 1}}},
        {"search": {"trials": 0}},
        {"search": {"sampler": "tp"}},
        {"combiner": {"kind": "scaleanr"}},
        {"combiner": {"kind": ["scalearn", "scaleanr"]}},
        {"adapter": {"method": "pfeifer"}},
        {"adapter": {"settings": {"reduction_facto": 8}}},
        {"adapter": {"method": "pfeiffer", "settings": {"reduction_factor": 0}}},
        {"final": {"seeds": []}},
        {"schema_version": 2},
    ],
)
def test_it_refuses_what_loading_refuses(change: dict[str, Any]) -> None:
    assert not _accepts({**GOOD, **change})


def test_every_key_says_what_it_means_and_nothing_is_null() -> None:
    schema = json_schema()

    def visit(node: Any) -> None:
        if isinstance(node, list):
            for item in node:
                visit(item)
        if not isinstance(node, dict):
            return
        assert node.get("type") != "null"
        assert node.get("default", 0) is not None
        for item in node.values():
            visit(item)

    visit(schema)
    undocumented = [
        f"{table}.{name}"
        for table, body in {"": schema, **schema["$defs"]}.items()
        for name, key in body.get("properties", {}).items()
        if not key.get("description") and "$ref" not in key
    ]
    assert undocumented == []


def test_without_plug_ins_any_name_is_fine() -> None:
    schema = json_schema(plugins=False)
    document = {**GOOD, "combiner": {"kind": "somebody_elses", "settings": {"x": 1}}}
    assert jsonschema.Draft202012Validator(schema).is_valid(document)
