"""A tokenizer whose ids the embeddings lack is refused when a plan is made."""

from __future__ import annotations

import json

import pytest

from adapterlab.backbones.facts import backbone_facts
from adapterlab.backbones.tokenizer import check_token_ids, load_tokenizer
from adapterlab.errors import BackboneError
from adapterlab.spec.model import BackboneSpec


def _facts(folder, cache):
    return backbone_facts(BackboneSpec(source=f"folder:{folder}"), folder=folder, cache=cache, download=False)


def test_added_tokens_without_embeddings_are_refused(model_folder, cache):
    assert _facts(model_folder, cache).weights_digest
    told = json.loads((model_folder / "tokenizer.json").read_text())
    told["added_tokens"].append({"id": 11, "content": "good", "special": False})
    (model_folder / "tokenizer.json").write_text(json.dumps(told))
    with pytest.raises(BackboneError, match=r"'good' with the id 11, but .* below 11"):
        _facts(model_folder, cache)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("vocab.txt", "\n".join(f"w{number}" for number in range(12)) + "\n"),
        ("vocab.json", json.dumps({f"w{number}": number for number in range(12)})),
    ],
)
def test_older_vocabularies_are_counted_too(tmp_path, cache, name, text):
    (tmp_path / name).write_text(text)
    check_token_ids(tmp_path, 12, cache)
    with pytest.raises(BackboneError, match="'w11' with the id 11"):
        check_token_ids(tmp_path, 11, cache)
    (tmp_path / "added_tokens.json").write_text('{"new": 12}')
    with pytest.raises(BackboneError, match="'new' with the id 12"):
        check_token_ids(tmp_path, 12, cache)
    check_token_ids(tmp_path, None, cache)


@pytest.mark.parametrize(
    "text",
    [
        *("{}", "[]", '{"model": {"vocab": 7}}', '{"a": []}', "7", '{"a": "x"}'),
        *('{"a": 1e999}', '{"model": {"vocab": {"a": Infinity}}}', '{"a": NaN}'),
    ],
)
@pytest.mark.parametrize("name", ["tokenizer.json", "vocab.json"])
def test_a_vocabulary_that_is_none_is_refused(tmp_path, cache, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(BackboneError):
        check_token_ids(tmp_path, 12, cache)


@pytest.mark.parametrize("length", [0, -1, 1 << 40])
def test_a_length_that_is_none_is_refused(model_folder, length):
    with pytest.raises(BackboneError, match="expected a positive whole number"):
        load_tokenizer(model_folder, length)


def test_a_sentencepiece_file_alone_names_the_packages_it_needs(model_folder):
    config = json.loads((model_folder / "config.json").read_text())
    (model_folder / "config.json").write_text(json.dumps({**config, "model_type": "xlm-roberta"}))
    (model_folder / "tokenizer.json").unlink()
    (model_folder / "sentencepiece.bpe.model").write_bytes(b"broken")
    with pytest.raises(BackboneError) as refused:
        load_tokenizer(model_folder, 16)
    assert "pip install sentencepiece protobuf" in str(refused.value.remedy)
