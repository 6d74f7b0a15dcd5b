"""transformers' classifiers are our head; what a folder leaves to the backbone is the backbone's."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForSequenceClassification, BertConfig, BertModel, RobertaConfig

from adapterlab.cli.main import main
from adapterlab.errors import BackboneError, DataError
from adapterlab.exporting.adapter_folder import read_head
from adapterlab.exporting.classifiers import read_classifier

D, OUTPUTS = 16, 3
SIZES = {
    "hidden_size": D,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "num_labels": OUTPUTS,
}


def classifier_of(architecture):
    """Return a model with random weights."""
    config = {"bert": BertConfig, "roberta": RobertaConfig}[architecture](**SIZES, vocab_size=30)
    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_config(config).eval()


def static_head(folder, model, **change):
    """Write a head as ``adapters`` does for a model whose classifier is its own: without the model's own parts."""
    folder.mkdir(exist_ok=True)
    kind = model.config.model_type
    config = {
        "config": None, "hidden_size": D, "label2id": {"neg": 0, "pos": 2, "neu": 1}, "model_type": kind, "name": None,
        "num_labels": OUTPUTS, **change,
    }  # fmt: skip
    (folder / "head_config.json").write_text(json.dumps(config))
    tensors = {name: one for name, one in model.state_dict().items() if not name.startswith(f"{kind}.")}
    save_file(tensors, folder / "model_head.safetensors")
    return folder


@pytest.mark.parametrize("architecture", ["bert", "roberta"])
@pytest.mark.parametrize("bare", [True, False], ids=["a backbone by itself", "a model with a head"])
def test_a_static_head_gives_what_the_model_gives(tmp_path, architecture, bare):
    model = classifier_of(architecture)
    inner = getattr(model, architecture)
    (inner if bare else model).save_pretrained(tmp_path / "backbone")
    head = read_head(static_head(tmp_path / "head", model))
    assert head.labels == ("neg", "neu", "pos")
    assert bool(head.borrowed) == (architecture == "bert")
    tensors = head.whole([tmp_path / "backbone" / "model.safetensors"], "it")
    first = torch.randn(5, D)
    with torch.no_grad():
        if architecture == "bert":
            wanted = model.classifier(inner.pooler(first[:, None]))
        else:
            wanted = model.classifier(first[:, None])
    hidden = torch.tanh(first @ tensors["head.dense.weight"].T + tensors["head.dense.bias"])
    by_hand = hidden @ tensors["head.out.weight"].T + tensors["head.out.bias"]
    torch.testing.assert_close(by_hand, wanted, rtol=0, atol=1e-6)


def test_a_backbone_without_a_pooler_cannot_lend_it(tmp_path):
    model = classifier_of("bert")
    BertModel(model.config, add_pooling_layer=False).save_pretrained(tmp_path / "backbone")
    head = read_head(static_head(tmp_path / "head", model))
    with pytest.raises(BackboneError, match=r"it: its head stands on bert\.pooler\.dense"):
        head.whole([tmp_path / "backbone" / "model.safetensors"], "it")


@pytest.mark.parametrize(
    "change", [{"num_labels": 4}, {"hidden_size": 8}, {"model_type": "gpt2"}, {"num_labels": None}]
)
def test_a_head_that_does_not_fit_its_config_is_refused(tmp_path, change):
    with pytest.raises(DataError):
        read_head(static_head(tmp_path / "head", classifier_of("roberta"), **change))


@pytest.mark.parametrize("architecture", ["bert", "roberta"])
def test_half_a_classifier_is_refused(architecture):
    whole = {
        name: one
        for name, one in classifier_of(architecture).state_dict().items()
        if ".encoder." not in name and ".embeddings." not in name
    }
    assert read_classifier(whole, architecture, "it").borrowed == {}
    for name in whole:
        with pytest.raises(DataError, match="half of one"):
            read_classifier({key: one for key, one in whole.items() if key != name}, architecture, "it")
    with pytest.raises(DataError, match="surplus"):
        read_classifier({**whole, "surplus": torch.zeros(1)}, architecture, "it")


@pytest.mark.parametrize(
    ("case", "backbone", "right"),
    [
        ("v2_inv_none", "bert", {"LABEL_0": 0.5522, "LABEL_1": 0.0115, "LABEL_2": 0.4364}),
        ("v1_invertible", "bert", {"LABEL_0": 0.5522, "LABEL_1": 0.0115, "LABEL_2": 0.4364}),
        ("static_head_roberta", "roberta", {"neg": 0.8313, "neu": 0.0222, "pos": 0.1465}),
    ],
)
def test_what_was_refused_once_is_read(misread_cases, tmp_path, monkeypatch, capsys, case, backbone, right):
    monkeypatch.setenv("ADAPTERLAB_HOME", str(tmp_path / "home"))
    place = f"folder:{misread_cases / 'backbones' / backbone}"
    folder = misread_cases / "adapterhub" / case
    code = main(["predict", str(folder), "--backbone", place, "--text", "a good film", "--json"])
    out, err = capsys.readouterr()
    assert code == 0, out + err
    found = json.loads(out)
    (row,) = found["predictions"] if isinstance(found, dict) else found
    assert row["probabilities"] == pytest.approx(right, abs=1e-4)
