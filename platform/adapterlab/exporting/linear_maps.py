"""What other libraries call the linear maps of a layer, and the sites and targets that they are here.

Source: transformers 4.57, ``modeling_bert.py`` and ``modeling_roberta.py``.
"""

from __future__ import annotations

from collections.abc import Mapping

MODULES: Mapping[str, str] = {
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.dense": "attention.output.dense",
    "ffn.up": "intermediate.dense",
    "ffn.down": "output.dense",
}
"""A layer's modules by site, in the order of their targets."""
SITES: Mapping[str, str] = {module: site for site, module in MODULES.items()}
INPUTS: Mapping[str, str] = {"attention.dense": "attention.context", "ffn.down": "ffn.inner"}
"""The sites where a map's input can be changed, by the map's own."""
TARGETS: Mapping[str, str] = {
    "attention.query": "query",
    "attention.key": "key",
    "attention.value": "value",
    "attention.context": "attention_output_input",
    "attention.dense": "attention_output",
    "ffn.up": "intermediate",
    "ffn.inner": "output_input",
    "ffn.down": "output",
}
"""What the settings of methods call the sites."""


def module(layer: int, site: str) -> str:
    """Return the name of a map in a model, without the model's prefix."""
    return f"encoder.layer.{layer}.{MODULES[site]}"
