"""Config, weights and tokenizer that are not of one model are refused from headers, before anything is loaded."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from adapterlab.backbones.facts import backbone_facts, check_backbone
from adapterlab.errors import BackboneError
from adapterlab.spec.model import BackboneSpec


def _facts(folder, cache):
    return backbone_facts(BackboneSpec(source=f"folder:{folder}"), folder=folder, cache=cache, download=False)


def _check(folder, cache):
    return check_backbone(BackboneSpec(source=f"folder:{folder}"), folder=folder, cache=cache)


def _config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _weights(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


BIAS = "encoder.layer.1.output.dense.bias"
WORDS = "embeddings.word_embeddings.weight"


@pytest.mark.parametrize("look", [_facts, _check])
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_hidden_layers": 3}, r"no tensor 'encoder\.layer\.2\.attention\.self\.query\.weight'"),
        (
            {"hidden_size": 16},
            r"word_embeddings\.weight: config\.json makes its shape \(any, 16\), .* \(11, 8\)",
        ),
        ({"intermediate_size": 32}, r"intermediate\.dense\.weight: .* \(32, 8\), the file has \(16, 8\)"),
        ({"max_position_embeddings": 128}, r"position_embeddings\.weight: .* \(128, 8\), .* \(64, 8\)"),
        ({"vocab_size": 12}, r"word_embeddings\.weight has 11 rows, but config\.json says vocab_size = 12"),
    ],
)
def test_a_config_of_another_size_than_the_weights_names_the_tensor(model_folder, cache, look, changes, said):
    _config(model_folder, **changes)
    with pytest.raises(BackboneError, match=said) as refused:
        look(model_folder, cache)
    assert str(model_folder / "model.safetensors") in refused.value.message
    assert "not of one model" in refused.value.remedy


@pytest.mark.parametrize("look", [_facts, _check])
def test_a_config_of_fewer_layers_than_the_weights_says_which_are_left_out(model_folder, cache, look, caplog):
    look(model_folder, cache)
    assert caplog.text == ""
    _config(model_folder, num_hidden_layers=1)
    look(model_folder, cache)
    assert "num_hidden_layers is 1, but the weights hold 2 layers" in caplog.text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensors: tensors.pop(BIAS), f"no tensor '{BIAS}'"),
        (lambda tensors: tensors.update({BIAS: tensors[BIAS].long()}), f"{BIAS} holds numbers of type I64"),
        (lambda tensors: tensors.update({BIAS: tensors[BIAS] > 0}), f"{BIAS} holds numbers of type BOOL"),
        (lambda tensors: tensors.update({BIAS: tensors[BIAS].to(torch.float8_e4m3fn)}), "of type F8_E4M3"),
        (lambda tensors: tensors.update({WORDS: tensors[WORDS][:7].clone()}), f"{WORDS} has 7 rows"),
    ],
)
def test_weights_that_do_not_fit_their_config_name_the_tensor(model_folder, cache, change, said):
    _weights(model_folder, change)
    with pytest.raises(BackboneError, match=said):
        _facts(model_folder, cache)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_weights_of_any_precision_with_more_tensors_beside_them_are_taken(model_folder, cache, dtype):
    def change(tensors):
        for name in list(tensors):
            tensors[f"bert.{name}"] = tensors.pop(name).to(dtype)
        tensors["cls.seq_relationship.bias"] = torch.zeros(2, dtype=torch.int64)

    _weights(model_folder, change)
    assert _facts(model_folder, cache).weights_digest
    assert _check(model_folder, cache) == model_folder


def test_whole_numbers_are_refused_where_a_loaded_model_holds_them_too(model_folder):
    from adapterlab_encoder.loading import load

    _weights(model_folder, lambda tensors: tensors.update({BIAS: tensors[BIAS].to(torch.int8)}))
    with pytest.raises(BackboneError, match=f"{BIAS} holds torch.int8"):
        load(model_folder)


@pytest.mark.parametrize(
    "lie", [{"shape": [99]}, {"dtype": "F64"}, {"shape": "eight"}, {"shape": [-8, -1]}, {"shape": None}]
)
def test_a_header_that_contradicts_itself_is_refused(model_folder, cache, lie):
    path = model_folder / "model.safetensors"
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header[BIAS] |= lie
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])
    with pytest.raises(BackboneError):
        _facts(model_folder, cache)


def test_looking_writes_nothing(model_folder, cache):
    before = sorted(model_folder.rglob("*"))
    assert _check(model_folder, cache) == model_folder
    assert sorted(model_folder.rglob("*")) == before
    assert not cache.exists()


# -- tokenizers -------------------------------------------------------------------------------------


def _tokenizer(folder, **changes):
    path = folder / "tokenizer.json"
    told = json.loads(path.read_text())
    for part, values in changes.items():
        told[part] = {**told[part], **values}
    path.write_text(json.dumps(told))


@pytest.mark.parametrize("look", [_facts, _check])
@pytest.mark.parametrize("name", ["sentencepiece.bpe.model", "spiece.model", "vocab.json"])
def test_files_of_another_kind_of_tokenizer_are_no_tokenizer(model_folder, cache, look, name):
    """What transformers makes of them is a BERT tokenizer that knows five special tokens; it says nothing."""
    (model_folder / "tokenizer.json").unlink()
    (model_folder / name).write_text('{"the": 0}')
    with pytest.raises(BackboneError, match=f"knows no word: .* nothing of {name}") as refused:
        look(model_folder, cache)
    assert "save_pretrained" in refused.value.remedy


@pytest.mark.parametrize("look", [_facts, _check])
def test_a_sentencepiece_file_alone_is_told_before_anything_trains(model_folder, cache, look):
    _config(model_folder, model_type="xlm-roberta", pad_token_id=1)
    (model_folder / "tokenizer.json").unlink()
    (model_folder / "sentencepiece.bpe.model").write_bytes(b"broken")
    with pytest.raises(BackboneError, match="its tokenizer cannot be read") as refused:
        look(model_folder, cache)
    assert "sentencepiece protobuf" in refused.value.remedy
    assert "tiktoken" not in refused.value.message


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": {"type": "Strange"}}, "its tokenizer cannot be read"),
        ({"model": {"unk_token": "[NONE]"}}, "cannot read a text with unknown words"),
        ({"post_processor": {"special_tokens": {
            "[CLS]": {"id": "[CLS]", "ids": [900], "tokens": ["[CLS]"]},
            "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}}}}, "gives the id 900, but .* below 11"),
    ],
)  # fmt: skip
def test_a_tokenizer_that_would_fail_on_a_row_is_refused(model_folder, cache, changes, said):
    _tokenizer(model_folder, **changes)
    with pytest.raises(BackboneError, match=said):
        _facts(model_folder, cache)


def test_a_cut_tokenizer_is_told_once(model_folder, cache):
    path = model_folder / "tokenizer.json"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(BackboneError, match=r"tokenizer\.json: cannot be read: no JSON") as refused:
        _facts(model_folder, cache)
    assert "\n" not in refused.value.message


def test_a_vocabulary_in_words_is_a_tokenizer(model_folder, cache):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "dog", "sat", "ran", "not"]
    (model_folder / "tokenizer.json").unlink()
    (model_folder / "vocab.txt").write_text("\n".join(words) + "\n")
    assert _facts(model_folder, cache).tokenizer_digest
    (model_folder / "vocab.txt").write_text("the\ncat\n")
    with pytest.raises(BackboneError, match="with unknown words"):
        _facts(model_folder, cache)
