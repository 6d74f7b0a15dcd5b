"""The spec's JSON Schema, for editors: completion, descriptions and checks while typing.

Follows JSON Schema draft 2020-12, as Taplo, Tombi and Even Better TOML read it. Installed plug-ins
are part of it: their names complete, and their settings are checked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from adapterlab.registry import entry_points
from adapterlab.spec.model import AUTO, Spec

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REFERENCE = "#/$defs/"


def json_schema(*, plugins: bool = True) -> dict[str, Any]:
    """Return the JSON Schema of a spec.

    Args:
        plugins: Include the names and settings of the installed plug-ins.
    """
    schema: dict[str, Any] = plain(Spec.model_json_schema())
    if plugins:
        methods = entry_points.names(entry_points.ADAPTER_METHODS)
        combiners = entry_points.names(entry_points.COMBINERS)
        _offer(schema, "AdapterSpec", "method", methods, entry_points.adapter_method)
        _offer(schema, "BaselineSpec", "method", methods, entry_points.adapter_method)
        joint = entry_points.names(entry_points.JOINT_METHODS)
        _offer(schema, "JointRunSpec", "method", joint, entry_points.joint_method)
        _offer(schema, "CombinerSpec", "kind", combiners, entry_points.combiner, besides=(AUTO,))
        _offer_own(schema, combiners)
        # What a spec does not say, the one that it extends may.
        schema["anyOf"] = [{"required": ["extends"]}, {"required": schema.pop("required")}]
    return {"$schema": DIALECT, **schema, "title": "adapterlab spec"}


def plain(node: Any) -> Any:
    """Take out what TOML cannot say (null) and what only repeats the key (titles)."""
    if isinstance(node, list):
        return [plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {name: plain(item) for name, item in node.items() if not (name == "default" and item is None)}
    if isinstance(node.get("title"), str):
        del node["title"]
    if isinstance(node.get("description"), str):
        node["description"] = node["description"].replace("``", "`")
    if "$ref" in node:
        node.pop("default", None)  # a table's default is the sum of its keys' defaults
    branches = [branch for branch in node.get("anyOf", ()) if branch != {"type": "null"}]
    if len(branches) > 1:
        node["anyOf"] = branches
    if len(branches) == 1:
        node = {**branches[0], **{name: item for name, item in node.items() if name != "anyOf"}}
    return node


def _offer(
    schema: dict[str, Any],
    table: str,
    key: str,
    names: tuple[str, ...],
    get: Callable[[str], Any],
    *,
    besides: tuple[str, ...] = (),
) -> None:
    """Let ``key`` take the installed names only (and those ``besides``), and tie each name to its settings."""
    definition = schema["$defs"][table]
    choice = {"type": "string", "enum": [*names, *besides]}
    if names:
        old = definition["properties"][key]
        kept = {name: old[name] for name in ("default", "description") if name in old}
        one_or_many = [choice, {"type": "array", "items": choice, "minItems": 1}]
        definition["properties"][key] = (
            {**kept, "anyOf": one_or_many} if "anyOf" in old else {**kept, **choice}
        )
    default = definition["properties"][key].get("default")
    rules = []
    for name in names:
        model: type[BaseModel] = get(name).settings
        settings = plain(model.model_json_schema(ref_template=f"{_REFERENCE}{name}.{{model}}"))
        for inner, body in settings.pop("$defs", {}).items():
            schema["$defs"][f"{name}.{inner}"] = body
        schema["$defs"][f"{name} settings"] = settings
        named: dict[str, Any] = {"properties": {key: {"const": name}}}
        if name != default:
            named["required"] = [key]
        rules.append(
            {"if": named, "then": {"properties": {"settings": {"$ref": f"{_REFERENCE}{name} settings"}}}}
        )
    if rules:
        definition["allOf"] = rules


def _offer_own(schema: dict[str, Any], combiners: tuple[str, ...]) -> None:
    """Let ``among`` and ``per_kind`` name installed combiners only, the latter with their own settings."""
    properties = schema["$defs"]["CombinerSpec"]["properties"]
    properties["among"]["items"] = {"type": "string", "enum": list(combiners)}
    own = properties["per_kind"]
    body = own.pop("additionalProperties")
    own["additionalProperties"] = False
    own["properties"] = {
        name: {
            "allOf": [body, {"properties": {"settings": {"$ref": f"{_REFERENCE}{name} settings"}}}],
        }
        for name in combiners
    }
