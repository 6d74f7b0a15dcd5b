"""A card's numbers: wherever it has them, and nothing of what is no number."""

from __future__ import annotations

import json

import pytest

from adapterlab.importing.card import read_card

INDEX = [{"results": [{"metrics": [{"type": "accuracy", "value": 0.91}, {"name": "f1", "value": "good"}]}]}]


@pytest.mark.parametrize(
    ("told", "metrics"),
    [
        ({"model-index": INDEX}, {"accuracy": 0.91}),
        ({"metrics": ["accuracy", "f1"]}, {}),
        ({"metrics": {"accuracy": 0.91, "f1": True, "loss": "low"}}, {"accuracy": 0.91}),
        ({"metrics": [{"accuracy": 0.91}, "f1"]}, {"accuracy": 0.91}),
        (
            {"metrics": [{"type": "accuracy", "value": 0.91}, {"name": "f1", "value": 1}]},
            {"accuracy": 0.91, "f1": 1.0},
        ),
        ({"metrics": {"accuracy": 0.5}, "model-index": INDEX}, {"accuracy": 0.91}),
        ({"metrics": {"x" * 300: 1.0, "": 1.0}}, {}),
        ({"metrics": 0.91}, {}),
        ({"metrics": None}, {}),
    ],
)
def test_the_metrics_a_card_reports(tmp_path, told, metrics):
    (tmp_path / "README.md").write_text(f"---\n{json.dumps(told)}\n---\n# an adapter\n")
    assert read_card(tmp_path).metrics == metrics
