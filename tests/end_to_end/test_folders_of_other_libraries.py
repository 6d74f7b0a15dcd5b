"""Folders that real ``adapters`` and real PEFT write are read as these libraries compute them; and they read ours.

A row of a table is one method, or one way of a library to place it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import adapterlab
from adapterlab import api
from adapterlab.backbones.weight_files import weight_files
from adapterlab.errors import DataError
from adapterlab.exporting import backbone_references as backbones
from adapterlab.exporting.foreign_adapter import read_foreign
from adapterlab.exporting.runnable_folder import open_folder
from adapterlab.exporting.stored_models import open_trained
from adapterlab.registry.entry_points import adapter_method
from adapterlab.train.predict import outputs
from foreign_environment import batch, hub_python, rows_of, run_in  # noqa: F401 - a fixture
from tiny_trained import COMBINERS, HIDDEN, Trained, open_at, write_backbone, write_trained

pytestmark = [pytest.mark.adapterhub, pytest.mark.timeout(1800)]

FAMILIES = ["bert", "roberta", "xlm-roberta"]
CLOSE = {"rtol": 1e-6, "atol": 1e-6}
ALL_MAPS = ["query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense"]


# -- theirs, read by ours ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Theirs:
    """One folder to write."""

    library: str
    config: str
    method: str | None
    """What it is read as; ``None``: it is refused."""
    says: str = ""
    """What the refusal names."""
    settings: Any = None
    safetensors: bool = True


def hub(method, config, *, says="", safetensors=True, **settings):
    return Theirs("adapters", config, method, says, settings, safetensors)


def peft(method, config="LoraConfig", *, says="", **settings):
    return Theirs("peft", config, method, says, settings)


BN = {"reduction_factor": 4, "non_linearity": "relu"}
PATTERNS = {
    "use_rslora": True, "r": 4, "lora_alpha": 6, "rank_pattern": {r"layer\.0\.attention\.self\.query": 8},
    "alpha_pattern": {r"layer\.1.*value": 3},
}  # fmt: skip
THEIRS = {
    "seq_bn": hub("pfeiffer", "SeqBnConfig"),
    "seq_bn_pickled": hub("pfeiffer", "SeqBnConfig", safetensors=False),
    "seq_bn_uneven": hub("pfeiffer", "SeqBnConfig", reduction_factor={"0": 4, "default": 7.5}),
    "seq_bn_left_out": hub("pfeiffer", "SeqBnConfig", leave_out=[0]),
    "seq_bn_scaled": hub("pfeiffer", "SeqBnConfig", scaling=0.5),
    "seq_bn_learned": hub("pfeiffer", "SeqBnConfig", scaling="learned"),
    "seq_bn_channel": hub("pfeiffer", "SeqBnConfig", scaling="channel"),
    "double_seq_bn": hub("houlsby", "DoubleSeqBnConfig"),
    "double_seq_bn_left_out": hub("houlsby", "DoubleSeqBnConfig", leave_out=[1], scaling="channel"),
    "attention_bn": hub("houlsby", "BnConfig", mh_adapter=True, output_adapter=False, **BN),
    "output_bn": hub("houlsby", "BnConfig", mh_adapter=False, output_adapter=True, **BN),
    "output_bn_no_residual": hub(
        "houlsby", "BnConfig", mh_adapter=False, output_adapter=True, residual_before_ln=False, **BN
    ),
    "compacter": hub("houlsby", "CompacterConfig", reduction_factor=4, phm_init_range=0.5),
    "compacter_pp": hub("pfeiffer", "CompacterPlusPlusConfig", reduction_factor=4, phm_init_range=0.5),
    "compacter_rank": hub("pfeiffer", "CompacterPlusPlusConfig", reduction_factor=4, phm_rank=2, phm_dim=2),
    "compacter_factored": hub("houlsby", "CompacterConfig", reduction_factor=4, factorized_phm_rule=True),
    "compacter_own_rules": hub("houlsby", "CompacterConfig", reduction_factor=4, shared_phm_rule=False),
    "compacter_whole": hub("houlsby", "CompacterConfig", reduction_factor=4, factorized_phm_W=False),
    "compacter_shared": hub("houlsby", "CompacterConfig", reduction_factor=4, shared_W_phm=True),
    "hub_lora": hub("lora", "LoRAConfig", r=4, alpha=6),
    "hub_lora_everywhere": hub(
        "lora", "LoRAConfig", attn_matrices=["q", "k", "v"], intermediate_lora=True, output_lora=True, leave_out=[0]
    ),
    "hub_ia3": hub("ia3", "IA3Config"),
    "hub_ia3_everywhere": hub("ia3", "IA3Config", attn_matrices=["q", "k", "v"], output_lora=True, alpha=2),
    "lora": peft("lora", r=4, lora_alpha=6),
    "lora_patterns": peft("lora", target_modules=["query", "value"], **PATTERNS),
    "lora_dense": peft("lora", target_modules=ALL_MAPS, r=4),
    "lora_dense_rslora": peft("lora", target_modules=["intermediate.dense", "output.dense"], use_rslora=True),
    "lora_any_dense": peft("lora", target_modules=["query", "dense"], r=4),
    "lora_all_linear": peft("lora", target_modules="all-linear", r=4),
    "lora_one_layer": peft("lora", target_modules=["query", "output.dense"], layers_to_transform=[1]),
    "dora": peft("lora", use_dora=True, r=4, lora_alpha=6),
    "dora_dense": peft("lora", use_dora=True, target_modules=ALL_MAPS, use_rslora=True),
    "ia3": peft("ia3", "IA3Config"),
    "ia3_before_the_activation": peft(
        "ia3", "IA3Config", target_modules=["key", "value", "intermediate.dense"], feedforward_modules=[]
    ),
    "ia3_everywhere": peft("ia3", "IA3Config", target_modules=ALL_MAPS, feedforward_modules=["attention.output.dense"]),
    # What would be other numbers is refused by its name.
    "parallel": hub(None, "ParBnConfig", says="is_parallel"),
    "gated": hub(None, "SeqBnConfig", use_gating=True, says="use_gating"),
    "with_norm": hub(None, "SeqBnConfig", ln_after=True, says="ln_after"),
    "two_of_seq_bn": hub(None, "SeqBnConfig", mh_adapter=True, says="mh_adapter"),
    "invertible": hub(None, "SeqBnInvConfig", says="inv_adapter"),
    "prefix": hub(None, "PrefixTuningConfig", says="prefix_tuning", safetensors=False),
    "hub_dora": hub(None, "LoRAConfig", use_dora=True, says="use_dora"),
    "hub_vera": hub(None, "VeraConfig", says="vera_"),
    "reft": hub(None, "LoReftConfig", says="reft"),
    "pissa": peft(None, init_lora_weights="pissa", says="init_lora_weights"),
    "lora_bias": peft(None, bias="lora_only", says="bias"),
    "ia3_of_inputs": peft(
        None, "IA3Config", target_modules=["query"], feedforward_modules=["query"], says="feedforward_modules"
    ),
    "loha": peft(None, "LoHaConfig", target_modules=["query"], says="peft_type"),
}  # fmt: skip
READ = [name for name, one in THEIRS.items() if one.method is not None]
POOLS = [name for name in READ if adapter_method(str(THEIRS[name].method)).combinable]


@dataclass(frozen=True)
class Written:
    """What the libraries wrote, and what they say of it."""

    architecture: str
    folder: Path
    found: dict[str, dict[str, Any]]

    @property
    def backbone(self) -> Path:
        return self.folder / "backbone"

    def load(self):
        return backbones.load(backbones.locate(self.backbone, cache=self.folder / "cache"))

    def check(self, got, name, kind="logits"):
        wanted = np.array(self.found[name][kind])
        assert np.ptp(wanted, axis=0).min() > 0.02, "rows differ, so that agreeing means something"
        np.testing.assert_allclose(got, wanted, **CLOSE)


@pytest.fixture(scope="module", params=FAMILIES)
def written(request, hub_python, tmp_path_factory) -> Written:  # noqa: F811 - the fixture
    """Let the libraries write every row of the table."""
    folder = tmp_path_factory.mktemp(f"theirs-{request.param}")
    write_backbone(folder / "bare", request.param)
    work = {
        "backbone": str(folder / "bare"),
        "to": str(folder),
        "rows": batch(request.param),
        "jobs": {name: vars(one) for name, one in THEIRS.items()},
    }
    said = run_in(hub_python, "foreign_writer.py", work)
    assert said["versions"] == ["1.3.0", "0.21.2"]
    return Written(request.param, folder, said["found"])


@pytest.mark.parametrize("name", READ)
def test_what_they_wrote_answers_as_there(written, name):
    backbone, read = written.load(), open_folder(written.folder / name)
    assert read_foreign(written.folder / name).method == THEIRS[name].method
    seat = read.seat(backbone, written.backbone)
    written.check(outputs(backbone, seat, rows_of(written.architecture)), name)


@pytest.mark.parametrize("name", READ)
def test_what_they_wrote_is_imported_and_answers_as_there(written, name, tmp_path, monkeypatch):
    monkeypatch.setenv("ADAPTERLAB_HOME", str(tmp_path))
    (result,) = api.import_adapters(written.folder / name, backbone=str(written.backbone))
    assert result.fault is None
    backbone = written.load()
    with open_at(tmp_path) as catalog:
        seat = open_trained(catalog, result.record.key).seat(backbone)
    written.check(outputs(backbone, seat, rows_of(written.architecture)), name)


@pytest.mark.parametrize("name", POOLS)
def test_what_they_wrote_is_composed_and_computes_as_there(written, name):
    module = adapterlab.compose(
        written.backbone, [written.folder / name], "scalearn_uniform_pp", torch.ones(1, 1, 1)
    )
    rows = {key: torch.tensor(values) for key, values in batch(written.architecture).items()}
    states = module(**rows).last_hidden_state
    real = rows["attention_mask"].bool()
    wanted = torch.tensor(written.found[name]["states"])[real]
    torch.testing.assert_close(states[real].double(), wanted.double(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", sorted(set(THEIRS) - set(READ)))
def test_what_would_be_other_numbers_is_refused_by_name(written, name):
    with pytest.raises(DataError, match=THEIRS[name].says):
        open_folder(written.folder / name)


# -- ours, read by theirs ----------------------------------------------------------------------------

OURS: dict[str, tuple[str, dict[str, Any]]] = {
    "pfeiffer": ("pfeiffer", {"reduction_factor": HIDDEN // 4}),
    "houlsby": ("houlsby", {"reduction_factor": 8}),
    "compacter_pp": ("compacter_pp", {"reduction_factor": 4}),
    "propetl": ("propetl", {"reduction_factor": 8}),
    "lora": ("lora", {"r": 4, "alpha": 6.0}),
    "lora_everywhere": (
        "lora",
        {"r": 4, "targets": ("query", "key", "value", "attention_output", "intermediate", "output")},
    ),
    "lora_output": ("lora", {"r": 4, "targets": ("output",)}),
    "ia3": ("ia3", {}),
    "ia3_as_peft": ("ia3", {"targets": ("key", "value", "attention_output_input", "output_input")}),
    "ia3_everywhere": (
        "ia3",
        {"targets": ("query", "key", "value", "attention_output_input", "intermediate", "output")},
    ),
}
"""Every method whose adapters leave the platform."""
CASES = [
    (name, what)
    for name, (method, _) in OURS.items()
    for what in (
        "source",
        *(("tolerance", *COMBINERS) if adapter_method(method).combinable else ()),
        *(["adapterfusion"] if method == "pfeiffer" else []),
    )
]
_BOTTLENECKS = ("pfeiffer", "houlsby", "compacter_pp", "propetl")
LEAVES = {
    **dict.fromkeys(FAMILIES, tuple(OURS)),
    "electra": (*_BOTTLENECKS, "ia3"),
    "deberta-v2": _BOTTLENECKS,
    "camembert": ("lora", "lora_everywhere", "lora_output", "ia3_as_peft"),
}
"""What of it one of the libraries can hold, by architecture."""
LEAVING = [(family, case) for family, names in LEAVES.items() for case in CASES if case[0] in names]


@dataclass(frozen=True)
class Exports:
    """Our exports, and what the libraries make of them."""

    worlds: dict[str, Trained]
    folders: dict[tuple[str, str], Path]
    keys: dict[tuple[str, str], str]
    answers: dict[tuple[str, str], Any]
    architecture: str


@pytest.fixture(scope="module")
def exports_of(hub_python, tmp_path_factory) -> Callable[[str], Exports]:  # noqa: F811 - the fixture
    """Return the exports of an architecture, made once: a fixture's own parameters cannot depend on a test's."""
    return cache(partial(export_all, hub_python, tmp_path_factory))


def export_all(python: Path, tmp_path_factory: pytest.TempPathFactory, architecture: str) -> Exports:
    """Export every method under every combiner, and let the libraries load all of it."""
    folder = tmp_path_factory.mktemp(f"ours-{architecture}")
    worlds = {
        name: write_trained(folder / name, architecture, method=method, settings=settings)
        for name, (method, settings) in OURS.items()
        if name in LEAVES[architecture]
    }
    folders, keys, jobs = {}, {}, []
    cases = [case for family, case in LEAVING if family == architecture]
    for case in cases:
        name, what = case
        world, folders[case] = worlds[name], folder / name / what
        of = {"source": "", "tolerance": "scalearn_uniform"}.get(what, what)
        keys[case] = world.transfers[of] if of else world.sources[1]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ADAPTERLAB_HOME", str(world.home))
            wishes = {"tolerance": 0.5} if what == "tolerance" else {}
            done = adapterlab.export(keys[case], folders[case], name=f"{name}-{what}", **wishes)
        library = "peft" if done.format.startswith("peft") else "adapters"
        setup = done.format == "adapterhub-fusion"
        jobs.append({"folder": str(folders[case]), "library": library, "setup": setup, "precision": "float",
                     "again": False, "arguments": {"use_safetensors": True}})  # fmt: skip
    work = {"backbone": str(next(iter(worlds.values())).backbone), "rows": batch(architecture), "jobs": jobs}
    said = run_in(python, "adapterhub_loader.py", work)
    return Exports(worlds, folders, keys, dict(zip(cases, said["answers"], strict=True)), architecture)


@pytest.mark.parametrize(
    ("architecture", "case"), LEAVING, ids=lambda one: one if isinstance(one, str) else "-".join(one)
)
def test_our_export_gives_our_logits_there(exports_of, architecture, case):
    exports = exports_of(architecture)
    world, theirs = exports.worlds[case[0]], exports.answers[case]
    backbone = backbones.load(backbones.locate(world.backbone, cache=world.home / "cache"))
    if case[1] == "tolerance":
        seat = open_folder(exports.folders[case]).seat(backbone, world.backbone)
    else:
        with world.open() as catalog:
            seat = open_trained(catalog, exports.keys[case]).seat(backbone)
    wanted = outputs(backbone, seat, rows_of(exports.architecture))
    assert np.ptp(wanted, axis=0).min() > 0.02, "rows differ, so that agreeing means something"
    assert theirs.get("missing_keys", []) == theirs.get("unexpected_keys", []) == []
    np.testing.assert_allclose(theirs["logits"], wanted, **CLOSE)
    again = open_folder(exports.folders[case]).seat(backbone, world.backbone)
    np.testing.assert_allclose(outputs(backbone, again, rows_of(exports.architecture)), wanted, **CLOSE)
    assert weight_files(world.backbone)
