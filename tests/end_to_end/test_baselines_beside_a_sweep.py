"""Baselines of other methods train beside the pool, once, and are catalogued like any adapter."""

from __future__ import annotations

import json

import pytest

from tiny_world import platform, write_world

BASELINES = """\
[[baseline]]
method = "full"
seeds = [0]

[[baseline]]
method = "lora"
settings = { r = 2 }

[[baseline]]
method = "pfeiffer"
name = "adapter"
settings = { reduction_factor = 8 }
seeds = [0]

[cluster]"""


@pytest.mark.slow
def test_baselines_are_trained_once_and_can_be_asked(tmp_path):
    spec = write_world(tmp_path, trials=1, rows=40)
    spec.write_text(spec.read_text().replace("[cluster]", BASELINES))
    home = tmp_path / "home"
    planned = platform(home, "plan", str(spec), "--steps")
    assert "full · rte · seed 0" in planned.stdout
    assert "adapter · rte" not in planned.stdout  # the pool's own
    assert "full: trains the backbone's own weights" in planned.stdout + planned.stderr

    done = platform(home, "submit", str(spec))
    assert done.returncode == 0, done.stderr
    again = platform(home, "submit", str(spec))
    assert again.returncode == 0
    assert "Nothing to train" in again.stderr

    listed = json.loads(platform(home, "catalog", "list", "--json").stdout)
    found = {(one["method"], one["task"], one["seed"]): one["key"] for one in listed["adapters"]}
    assert set(found) == {
        ("pfeiffer", "glue/rte", 0),
        ("pfeiffer", "superglue/cb", 0),
        ("full", "glue/rte", 0),
        ("lora", "glue/rte", 0),
        ("lora", "glue/rte", 1),
    }
    for method in ("full", "lora"):
        key = found[method, "glue/rte", 0]
        answer = platform(home, "predict", key, "--text", "the cat sees", "--text-pair", "a dog")
        assert answer.returncode == 0, answer.stderr
    refused = platform(home, "export", found["full", "glue/rte", 0], "--to", str(tmp_path / "export"))
    assert refused.returncode != 0
    assert "made of full adapters" in refused.stderr
    assert not (tmp_path / "export").exists()
