"""Folders as PEFT writes them answer as PEFT's formula says, merged into transformers' own models."""

from __future__ import annotations

import json
import math
import re
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import AutoModelForSequenceClassification, BertConfig, RobertaConfig

import adapterlab
from adapterlab.cli.main import main
from adapterlab.errors import BackboneError, DataError
from adapterlab.exporting import peft, peft_settings
from adapterlab.exporting.peft_settings import LoraConfig
from tiny_world import write_backbone

D, LAYERS = 16, 3
ROWS = [{"text": "the cat sees a dog", "text_pair": "a dog"}, {"text": "a dog runs", "text_pair": "the bird"}]
SIZES = {
    "hidden_size": D, "num_hidden_layers": LAYERS, "num_attention_heads": 2, "intermediate_size": 24,
    "vocab_size": 64, "max_position_embeddings": 66, "num_labels": 3,
}  # fmt: skip
PLAIN = {
    "peft_type": "LORA", "task_type": "SEQ_CLS", "r": 4, "lora_alpha": 8, "target_modules": ["query", "value"],
    "bias": "none", "init_lora_weights": True, "inference_mode": True, "lora_dropout": 0.1, "rank_pattern": {},
    "alpha_pattern": {}, "use_dora": False, "use_rslora": False, "alora_invocation_tokens": None, "loftq_config": {},
}  # fmt: skip


class Model:
    """A model of transformers with a LoRA, and the folder of the LoRA."""

    def __init__(self, folder, architecture, config, ranks, *, saved, suffix="safetensors"):
        self.folder, self.backbone = folder / "lora", folder / "backbone"
        self.folder.mkdir()
        config_of = {"bert": BertConfig, "roberta": RobertaConfig}[architecture]
        torch.manual_seed(1)
        types = {"bert": 2, "roberta": 1}[architecture]
        made = config_of(**SIZES, pad_token_id=0, type_vocab_size=types)
        self.model = AutoModelForSequenceClassification.from_config(made).eval()
        with torch.no_grad():
            for (
                parameter
            ) in self.model.parameters():  # far from transformers' small starts: all of it must matter
                parameter.add_(torch.randn_like(parameter) * 0.2)
        self.model.save_pretrained(self.backbone)
        write_backbone(folder / "tokenizer")
        shutil.copy(folder / "tokenizer" / "tokenizer.json", self.backbone)
        self._add(config, ranks, saved, suffix)

    def _add(self, config, ranks, saved, suffix):
        """Write the folder, and add to the model's weights what PEFT adds to its products."""
        tensors = {}
        for name, module in self.model.named_modules():
            if name not in ranks:
                continue
            rank, factor = ranks[name]
            outputs, inputs = module.weight.shape
            a, b = torch.randn(rank, inputs) * 0.3, torch.randn(outputs, rank) * 0.3
            tensors[f"base_model.model.{name}.lora_A.weight"] = a
            tensors[f"base_model.model.{name}.lora_B.weight"] = b
            module.weight.data += factor * (b @ a)
        for name, tensor in self.model.state_dict().items():
            if name.startswith(tuple(saved)):
                tensor.add_(torch.randn_like(tensor) * 0.5)
                tensors[f"base_model.model.{name}"] = tensor.clone()
        (self.folder / "adapter_config.json").write_text(json.dumps(config))
        if suffix == "bin":
            torch.save(tensors, self.folder / "adapter_model.bin")
        else:
            save_file(tensors, self.folder / "adapter_model.safetensors")

    def answers(self):
        tokenizer = Tokenizer.from_file(str(self.backbone / "tokenizer.json"))
        tokenizer.enable_padding(pad_id=0)
        rows = tokenizer.encode_batch([(row["text"], row["text_pair"]) for row in ROWS])
        encoded = {
            "input_ids": torch.tensor([row.ids for row in rows]),
            "attention_mask": torch.tensor([row.attention_mask for row in rows]),
            "token_type_ids": torch.tensor([row.type_ids for row in rows]),
        }
        if self.model.config.model_type == "roberta":
            encoded["token_type_ids"].zero_()
        with torch.no_grad():
            return self.model(**encoded).logits.softmax(-1).numpy()


def modules(architecture, layers=range(LAYERS), targets=("query", "value")):
    return [
        f"{architecture}.encoder.layer.{layer}.attention.self.{target}"
        for layer in layers
        for target in targets
    ]


def predicted(folder, backbone):
    return np.array(
        [list(one.probabilities.values()) for one in adapterlab.predict(folder, ROWS, backbone=str(backbone))]
    )


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("ADAPTERLAB_HOME", str(tmp_path / "home"))


def check(made):
    wanted = made.answers()
    assert np.abs(wanted - wanted[0]).max() > 1e-3, "else this shows nothing"
    np.testing.assert_allclose(predicted(made.folder, made.backbone), wanted, rtol=0, atol=1e-5)


KINDS = {
    "plain": ({}, lambda _name: (4, 2.0)),
    "rsLoRA": ({"use_rslora": True}, lambda _name: (4, 8 / math.sqrt(4))),
    "a pattern of ranks": (
        {"rank_pattern": {r"layer\.[01]\..*query": 2, "value": 6}},
        lambda name: (6, 8 / 6) if name.endswith("value") else (4, 2.0) if ".2." in name else (2, 4.0),
    ),
    "a pattern of alphas": (
        {"alpha_pattern": {"^encoder.layer.0.attention.self.query": 99, r"layer\.[01]\..*query": 64}},
        lambda name: (4, 16.0) if re.search(r"[01]\.attention\.self\.query", name) else (4, 2.0),
    ),
    "a whole name": (
        {"alpha_pattern": {"^{}.encoder.layer.1.attention.self.value": 20}},
        lambda name: (4, 5.0) if name.endswith("1.attention.self.value") else (4, 2.0),
    ),
    "some layers": (
        {"layers_to_transform": [1]},
        lambda name: (4, 2.0) if ".layer.1." in name else None,
    ),
    "the first layers, by a number": (
        {"layers_to_transform": 0, "layers_pattern": "layer"},
        lambda name: (4, 2.0) if ".layer.0." in name else None,
    ),
    "a pattern of targets": (
        {"target_modules": r".*layer\.[12]\.attention\.self\.(query|value)"},
        lambda name: None if ".layer.0." in name else (4, 2.0),
    ),
    "not the excluded": (
        {"exclude_modules": ["layer.2.attention.self.value"]},
        lambda name: None if name.endswith("2.attention.self.value") else (4, 2.0),
    ),
    "another start": ({"init_lora_weights": "gaussian"}, lambda _name: (4, 2.0)),
}


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("architecture", ["bert", "roberta"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_answers_as_peft_would(tmp_path, architecture, kind):
    change, of = KINDS[kind]
    change = json.loads(json.dumps(change).replace("^{}", f"^{architecture}"))
    points = {name: of(name) for name in modules(architecture) if of(name) is not None}
    saved = ("classifier", "bert.pooler") if architecture == "bert" else ("classifier",)
    check(Model(tmp_path, architecture, {**PLAIN, **change}, points, saved=saved))


@pytest.mark.usefixtures("home")
def test_a_pickle_of_tensors_is_read(tmp_path):
    points = dict.fromkeys(modules("roberta"), (4, 2.0))
    check(Model(tmp_path, "roberta", PLAIN, points, saved=("classifier",), suffix="bin"))


@pytest.mark.usefixtures("home")
def test_a_pooler_that_the_folder_lacks_is_the_backbones(tmp_path):
    made = Model(tmp_path, "bert", PLAIN, dict.fromkeys(modules("bert"), (4, 2.0)), saved=("classifier",))
    check(made)
    write_backbone(tmp_path / "other", layers=LAYERS, hidden=D)  # without a pooler
    with pytest.raises(BackboneError, match=r"bert\.pooler\.dense"):
        predicted(made.folder, tmp_path / "other")


@pytest.mark.usefixtures("home")
def test_a_backbone_of_more_layers_than_it_chose_is_refused(tmp_path):
    points = dict.fromkeys(modules("bert", layers=[0, 1]), (4, 2.0))
    config = {**PLAIN, "layers_to_transform": [0, 1]}
    made = Model(tmp_path, "bert", config, points, saved=("classifier", "bert.pooler"))
    check(made)
    (made.folder / "adapter_config.json").write_text(json.dumps(PLAIN))
    with pytest.raises(BackboneError, match="made for 2 layers, the backbone has 3"):
        predicted(made.folder, made.backbone)


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("architecture", ["bert", "roberta"])
def test_a_lora_on_any_linear_map_of_a_layer_is_read(tmp_path, architecture):
    maps = ["attention.self.query", "attention.output.dense", "intermediate.dense", "output.dense"]
    points = {
        f"{architecture}.encoder.layer.{layer}.{one}": (4, 2.0) for layer in range(LAYERS) for one in maps
    }
    config = {
        **PLAIN,
        "target_modules": ["query", "attention.output.dense", "intermediate.dense", "output.dense"],
    }
    saved = ("classifier", "bert.pooler") if architecture == "bert" else ("classifier",)
    check(Model(tmp_path, architecture, config, points, saved=saved))


@pytest.mark.usefixtures("home")
def test_a_lora_elsewhere_than_in_a_layer_is_named(tmp_path):
    made = Model(
        tmp_path, "roberta", PLAIN, dict.fromkeys(modules("roberta"), (4, 2.0)), saved=("classifier",)
    )
    path = made.folder / "adapter_model.safetensors"
    tensors = load_file(path)
    tensors["base_model.model.roberta.embeddings.position_embeddings.lora_A.weight"] = torch.zeros(4, D)
    save_file(tensors, path)
    with pytest.raises(DataError, match=r"an adapter on roberta\.embeddings\.position_embeddings"):
        peft.read_lora(made.folder)


@pytest.mark.parametrize("task", ["TOKEN_CLS", "QUESTION_ANS", "CAUSAL_LM", "FEATURE_EXTRACTION"])
def test_a_head_of_another_task_is_refused_and_its_adapter_alone_is_read(tmp_path, task):
    """Its head would be read as one of whole texts."""
    points = dict.fromkeys(modules("bert"), (4, 2.0))
    made = Model(tmp_path, "bert", PLAIN | {"task_type": task}, points, saved=("classifier",))
    with pytest.raises(DataError, match=f"task_type = '{task}'.*not one of whole texts"):
        peft.read_lora(made.folder)
    found = load_file(made.folder / "adapter_model.safetensors")
    adapter = {name: one for name, one in found.items() if "lora_" in name}
    save_file(adapter, made.folder / "adapter_model.safetensors")
    assert not peft.read_lora(made.folder).head.tensors


@pytest.mark.parametrize(
    "change",
    [
        *(
            {"init_lora_weights": how}
            for how in ("pissa", "pissa_niter_16", "olora", "loftq", "corda", "lora_ga")
        ),
        {"alora_invocation_tokens": [1, 2]},
        {"trainable_token_indices": [5]},
        {"target_parameters": ["x"]},
        {"use_qalora": True},
        {"lora_bias": True},
        {"layer_replication": [[0, 2]]},
        {"peft_type": "LOHA"},
        {"of_a_later_version": {"on": True}},
    ],
)
def test_what_may_change_the_numbers_is_refused_by_name(change):
    (name,) = change
    with pytest.raises(DataError, match=f"{name} = .* may change"):
        LoraConfig.of({**PLAIN, **change}, "config")
    assert LoraConfig.of({**PLAIN, "of_a_later_version": None, "another": {}, "third": False}, "config")


@pytest.mark.parametrize(
    "change",
    [
        {"rank_pattern": {"(": 4}},
        {"rank_pattern": {"query": 2.5}},
        {"rank_pattern": {"query": True}},
        {"rank_pattern": ["query"]},
        {"alpha_pattern": {"q" * 3000: 4}},
        {"lora_alpha": -1},
        {"lora_alpha": math.nan},
    ],
)
def test_a_config_that_makes_no_sense_is_refused(change):
    with pytest.raises(DataError, match="config: "):
        LoraConfig.of({**PLAIN, **change}, "config").factor("bert.encoder.layer.0.attention.self.query")


def test_a_pattern_is_given_some_time_only(monkeypatch):
    """Whatever a file asks for."""
    config = LoraConfig.of({**PLAIN, "rank_pattern": {".*a.*a.*a.*[xy]": 4}}, "config")
    assert config.rank("a" * 150) == 4
    monkeypatch.setattr(peft_settings, "_MATCH_S", 1e-6)
    with pytest.raises(DataError, match="no pattern that can be used"):
        config.rank("a" * 150)


@pytest.mark.parametrize(
    ("case", "backbone", "pair", "right"),
    [
        ("plain_classifier", "roberta", True, [0.2857, 0.2591, 0.4552]),
        ("pissa", "roberta", True, None),
        ("alpha_pattern_regex", "roberta", True, -1.5144),
        ("onlycls", "bert", False, [0.7961, 0.1279, 0.0761]),
        ("rslora", "bert", False, [0.0886, 0.5772, 0.3341]),
        ("bin", "bert", False, [0.1703, 0.6108, 0.2189]),
    ],
)
@pytest.mark.usefixtures("home")
def test_what_was_read_wrong_once_is_read_right(misread_cases, capsys, case, backbone, pair, right):
    texts = (
        ["--text", "the film was good", "--text-pair", "i liked it"] if pair else ["--text", "a good film"]
    )
    place = f"folder:{misread_cases / 'backbones' / backbone}"
    code = main(["predict", str(misread_cases / "peft" / case), "--backbone", place, *texts, "--json"])
    out, err = capsys.readouterr()
    if right is None:
        assert (code, "init_lora_weights" in out + err) == (3, True)
        return
    (row,) = json.loads(out)["predictions"] if isinstance(json.loads(out), dict) else json.loads(out)
    got = row["value"] if isinstance(right, float) else list(row["probabilities"].values())
    assert got == pytest.approx(right, abs=1e-4)
