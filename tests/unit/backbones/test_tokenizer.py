"""A backbone's tokenizer: its digest names what it does, and its author's settings are not ours."""

from __future__ import annotations

import json
import shutil

import pytest

from adapterlab.backbones.tokenizer import VOCABULARIES, load_tokenizer, tokenizer_digest
from adapterlab.errors import BackboneError


def test_the_authors_padding_and_truncation_are_not_ours(model_folder):
    """The file pads and cuts to 32; we cut where we say, and never pad."""
    tokenizer = load_tokenizer(model_folder, 40)
    assert len(tokenizer.encode("the cat").ids) == 4
    assert len(tokenizer.encode("the cat " * 30).ids) == 40


@pytest.mark.parametrize(
    ("truncate", "kept"), [("longest_first", (3, 2)), ("only_first", (2, 3)), ("only_second", (4, 1))]
)
def test_the_text_that_is_cut_is_the_one_that_is_named(model_folder, truncate, kept):
    tokenizer = load_tokenizer(model_folder, 8, truncate=truncate)
    found = tokenizer.encode("the cat sat ran", "dog dog dog").sequence_ids
    assert (found.count(0), found.count(1)) == kept


@pytest.mark.parametrize("content", [b"{}", b"not json", b""])
def test_a_tokenizer_that_cannot_be_read_is_told_with_its_folder(model_folder, content):
    (model_folder / "tokenizer.json").write_bytes(content)
    with pytest.raises(BackboneError, match="its tokenizer cannot be read") as caught:
        load_tokenizer(model_folder, 32)
    assert str(model_folder) in caught.value.message


def test_the_digest_is_of_tokenizer_json_wherever_it_lies(model_folder, cache, tmp_path):
    first = tokenizer_digest(model_folder, cache)
    (model_folder / "vocab.txt").write_text("not read beside tokenizer.json\n")
    assert tokenizer_digest(model_folder, cache) == first
    shutil.copytree(model_folder, tmp_path / "moved")
    assert tokenizer_digest(tmp_path / "moved", cache) == first
    document = json.loads((model_folder / "tokenizer.json").read_bytes())
    document["normalizer"]["lowercase"] = False
    (model_folder / "tokenizer.json").write_text(json.dumps(document))
    assert tokenizer_digest(model_folder, cache) != first


@pytest.mark.parametrize("name", [name for name in VOCABULARIES if name != "tokenizer.json"])
def test_without_tokenizer_json_every_part_counts_and_a_vocabulary_must_be_there(model_folder, cache, name):
    (model_folder / "tokenizer.json").unlink()
    (model_folder / "tokenizer_config.json").write_text("{}")
    with pytest.raises(BackboneError, match="no tokenizer") as caught:
        tokenizer_digest(model_folder, cache)
    assert "save_pretrained" in str(caught.value.remedy)
    (model_folder / name).write_text("the\n")
    first = tokenizer_digest(model_folder, cache)
    (model_folder / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    assert tokenizer_digest(model_folder, cache) != first
