"""What the files beside ``tokenizer.json`` change of it: settings and tokens, as transformers' classes take them.

``tokenizer.json`` alone describes a whole tokenizer. transformers reads it through a class, which sets anew what
``tokenizer_config.json``, ``special_tokens_map.json`` and ``added_tokens.json`` say: lower case, accents, the leading
space, the tokens around a text, the tokens that are no text. A model that was trained by transformers saw those ids.

What is read follows ``PreTrainedTokenizerBase._from_pretrained`` and ``TokenizersBackend.__init__`` of transformers 5,
without its import. A folder with ``tokenizer.json`` alone is what that file says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from adapterlab.errors import BackboneError
from adapterlab.given_files import read_json_file

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer

SETTINGS_FILES = ("added_tokens.json", "special_tokens_map.json", "tokenizer_config.json")
"""Files beside ``tokenizer.json`` that may change what it does."""
SETTINGS_VERSION = 1
"""Raise it when the same files are read otherwise: what was kept of them is found anew."""
_NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
"""transformers' names of special tokens, in the order in which it adds them."""
_EXTRA = ("extra_special_tokens", "additional_special_tokens")
_AS_SAVED = ("PreTrainedTokenizer", "PythonBackend", "TokenizersBackend")
"""Classes, without ``Fast``, that take normaliser and pre-tokeniser as the file has them."""
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


@dataclass
class _Settings:
    """What the files beside ``tokenizer.json`` say."""

    values: Mapping[str, Any]
    """``tokenizer_config.json``, with ``special_tokens_map.json`` in it where that counts."""
    listed: dict[int, AddedToken] | None
    """``added_tokens_decoder``: replaces the file's own list; ``None``: there is none."""
    older: dict[int, AddedToken] = field(default_factory=dict)
    """``added_tokens.json``: what the file's own list is added to."""

    @property
    def as_saved(self) -> bool:
        """Whether the class takes everything but tokens as ``tokenizer.json`` has it."""
        return str(self.values.get("tokenizer_class") or "").removesuffix("Fast") in _AS_SAVED

    def token(self, name: str) -> str | None:
        """Return a special token's text, if it is set."""
        value = self.values.get(name)
        return None if value is None else str(_token(value, special=True).content)

    def special(self) -> Iterator[AddedToken]:
        """Yield the special tokens that are set, in the order in which they are added."""
        extra = self._extra
        own = {
            name: one
            for name, one in self.values.items()
            if name.endswith("_token") and isinstance(one, str) and name not in _NAMED
        }
        if isinstance(extra, Mapping):
            own |= extra
        named = [*self.named(), *(_token(one, special=True) for one in own.values())]
        yield from named
        if not isinstance(extra, Mapping):
            texts = {one.content for one in named}
            yield from (one for one in self.listed_extra() if one.content not in texts)

    def named(self) -> list[AddedToken]:
        """Return the special tokens that have one of transformers' own names."""
        values = (self.values.get(name) for name in _NAMED)
        return [_token(one, special=True) for one in values if one is not None]

    def listed_extra(self) -> list[AddedToken]:
        """Return further special tokens that have no names."""
        return [] if isinstance(self._extra, Mapping) else [_token(one, special=True) for one in self._extra]

    @property
    def _extra(self) -> Mapping[str, Any] | list[Any]:
        found: Any = next((self.values[name] for name in _EXTRA if self.values.get(name)), [])
        return found if isinstance(found, Mapping) else list(found)


def settings_files(folder: Path) -> list[Path]:
    """Return the files beside ``tokenizer.json`` that may change it, config.json last, which may name its class."""
    found = [folder / name for name in SETTINGS_FILES if (folder / name).is_file()]
    return [*found, *(one for one in [folder / "config.json"] if found and one.is_file())]


def apply_settings(folder: Path, tokenizer: Tokenizer) -> tuple[Tokenizer, dict[str, Any]]:
    """Return a tokenizer as the files beside its ``tokenizer.json`` set it, and what they changed of its ids.

    Args:
        folder: Model folder.
        tokenizer: As ``tokenizer.json`` says; it may be changed in place.

    Returns:
        The tokenizer, and by the name of each part what is now said there; empty where all is as the file has it.

    Raises:
        BackboneError: A file is broken, or a setting has a value that means nothing.
    """
    if not any((folder / name).is_file() for name in SETTINGS_FILES):
        return tokenizer, {}
    try:
        settings = _read(folder)
        tokenizer, changes = _with_tokens(tokenizer, settings)
        if not settings.as_saved:
            for part, change in (
                ("normalizer", _normalizer),
                ("pre_tokenizer", _pre_tokenizer),
                ("post_processor", _post_processor),
            ):
                before = _state(getattr(tokenizer, part))
                after = change(before, settings, tokenizer) if before is not None else None
                if after is not None and after != before:
                    setattr(tokenizer, part, _component(part, after))
                    changes[part] = after
            unknown = settings.token("unk_token")
            # Byte-level BPE knows every text, and Unigram has its unknown token by number.
            if unknown is not None and getattr(tokenizer.model, "max_input_chars_per_word", None) is not None:
                model = cast("Any", tokenizer.model)
                if model.unk_token != unknown:
                    model.unk_token = changes["unk_token"] = unknown
    except BackboneError:
        raise
    except (TypeError, ValueError, AttributeError, KeyError, OverflowError) as error:
        raise BackboneError(
            f"{folder / 'tokenizer_config.json'}: not a tokenizer's settings ({type(error).__name__}: {error})",
            remedy="Save the tokenizer again: AutoTokenizer.from_pretrained(…).save_pretrained(folder).",
        ) from None
    if settings.values.get("split_special_tokens"):
        tokenizer.encode_special_tokens = True
        changes["split_special_tokens"] = True
    return tokenizer, changes


def truncation_side(folder: Path) -> str:
    """Return the end at which too long texts are cut: ``"right"``, or ``"left"`` where tokenizer_config.json says so.

    Raises:
        BackboneError: The file is broken.
    """
    path = folder / "tokenizer_config.json"
    told = read_json_file(path, BackboneError) if path.is_file() else {}
    return "left" if isinstance(told, Mapping) and told.get("truncation_side") == "left" else "right"


def _read(folder: Path) -> _Settings:
    values = dict(_object(folder / "tokenizer_config.json"))
    if "tokenizer_class" not in values:
        values["tokenizer_class"] = _object(folder / "config.json").get("tokenizer_class")
    listed = values.get("added_tokens_decoder")
    if listed is not None:
        return _Settings(values, {int(at): _token(one) for at, one in listed.items()})
    values |= _object(folder / "special_tokens_map.json")
    settings = _Settings(values, None)
    special = {one.content for one in (*settings.named(), *settings.listed_extra())}
    for content, number in _object(folder / "added_tokens.json").items():
        told = {"content": content, "normalized": content not in special, "special": content in special}
        settings.older[int(number)] = _token(told)
    return settings


def _object(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    told = read_json_file(path, BackboneError)
    if not isinstance(told, Mapping):
        raise BackboneError(
            f"{path}: expected an object, got {type(told).__name__}", remedy="Fetch the model again."
        )
    return told


def _token(value: Any, *, special: bool = False) -> AddedToken:
    """Return a token as tokenizers has it; of a special one that is only named all flags are off."""
    from tokenizers import AddedToken

    if isinstance(value, str):
        return AddedToken(value, special=special)
    flags = {name: bool(value[name]) for name in _FLAGS if name in value}
    return AddedToken(str(value["content"]), **(flags | ({"special": True} if special else {})))


def _with_tokens(tokenizer: Tokenizer, settings: _Settings) -> tuple[Tokenizer, dict[str, Any]]:
    """Return a tokenizer with the tokens that are no text, and how they differ from its own."""
    from tokenizers import Tokenizer

    own = dict(sorted(tokenizer.get_added_tokens_decoder().items()))
    fixed = {one.content for one in own.values()} if settings.as_saved else set()
    if settings.as_saved:
        wanted = list(own.values()) + [one for _, one in sorted((settings.listed or settings.older).items())]
    elif settings.listed is not None:
        # A class builds its tokenizer from what is listed and named: of the file's own list only special tokens stay,
        # and only where some name is not set, since what the class calls it then is not known here.
        names = {one.content for one in settings.listed.values()}
        all_named = all(
            settings.values.get(one) is not None for one in _NAMED if one not in ("bos_token", "eos_token")
        )
        kept = {
            at: one for at, one in own.items() if one.special and one.content not in names and not all_named
        }
        wanted = [one for _, one in sorted((kept | settings.listed).items())]
    else:
        wanted = [one for _, one in sorted((settings.older | own).items())]
    special, known = list(settings.special()), {one.content for one in wanted}
    named = {one.content for one in special} - {one.content for one in settings.listed_extra()}
    for one in wanted:
        one.special = one.special or (one.content in named and one.content not in fixed)
    # All of them, not one a text: of two names for one text the later one's flags count.
    wanted += [one for one in special if one.content not in known]
    made = Tokenizer(tokenizer.model)
    for part in ("normalizer", "pre_tokenizer", "post_processor", "decoder"):
        if getattr(tokenizer, part) is not None:
            setattr(made, part, getattr(tokenizer, part))
    if wanted:
        made.add_tokens(wanted)
    before, after = _told(own), _told(made.get_added_tokens_decoder())
    return (tokenizer, {}) if before == after else (made, {"added_tokens": after})


def _told(tokens: Mapping[int, AddedToken]) -> list[dict[str, Any]]:
    """Return tokens as JSON, by id."""
    return [
        {"id": at, "content": one.content, **{name: getattr(one, name) for name in _FLAGS}}
        for at, one in sorted(tokens.items())
    ]


def _normalizer(state: dict[str, Any], settings: _Settings, tokenizer: Tokenizer) -> dict[str, Any] | None:
    """Return a BERT normaliser as it is set; absent settings have the classes' defaults."""
    del tokenizer
    if state["type"] != "BertNormalizer":
        return None
    values, accents = settings.values, settings.values.get("strip_accents")
    return state | {
        "lowercase": bool(values.get("do_lower_case", True)),
        "strip_accents": None if accents is None else bool(accents),
        "handle_chinese_chars": bool(values.get("tokenize_chinese_chars", True)),
    }


def _pre_tokenizer(state: dict[str, Any], settings: _Settings, tokenizer: Tokenizer) -> dict[str, Any] | None:
    """Return a pre-tokeniser that begins a text with a space or does not, as it is set."""
    if state["type"] == "Sequence":
        parts = [_pre_tokenizer(one, settings, tokenizer) or one for one in state["pretokenizers"]]
        return state | {"pretokenizers": parts}
    spaced = settings.values.get("add_prefix_space")
    if state["type"] == "ByteLevel":
        return state | {"add_prefix_space": bool(spaced)}
    if state["type"] == "Metaspace" and spaced is not None and bool(spaced) != (_scheme(state) != "never"):
        return state | {"prepend_scheme": "always" if spaced else "never"}
    return None


def _scheme(state: Mapping[str, Any]) -> str:
    return str(state.get("prepend_scheme") or "always")


def _post_processor(
    state: dict[str, Any], settings: _Settings, tokenizer: Tokenizer
) -> dict[str, Any] | None:
    """Return the tokens around a text as they are set: those for classes, of a Unigram model begin and end."""
    first, last = (
        ("bos_token", "eos_token")
        if type(tokenizer.model).__name__ == "Unigram"
        else ("cls_token", "sep_token")
    )
    if state["type"] in ("BertProcessing", "RobertaProcessing"):
        wanted = {"cls": settings.token(first), "sep": settings.token(last)}
        return state | {
            name: [token, _id(tokenizer, token)] for name, token in wanted.items() if token is not None
        }
    if state["type"] != "TemplateProcessing":
        return None
    there = [one["SpecialToken"]["id"] for one in state["single"] if "SpecialToken" in one]
    if len(there) != 2 or there[0] == there[1]:
        return None
    renamed = {
        old: new
        for old, name in zip(there, (first, last), strict=True)
        if (new := settings.token(name)) not in (None, old)
    }
    if not renamed:
        return None

    def put(pieces: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            {"SpecialToken": one["SpecialToken"] | {"id": renamed[one["SpecialToken"]["id"]]}}
            if one.get("SpecialToken", {}).get("id") in renamed
            else one
            for one in pieces
        ]

    tokens = {name: one for name, one in state["special_tokens"].items() if name not in renamed}
    for new in renamed.values():
        tokens[str(new)] = {"id": new, "ids": [_id(tokenizer, str(new))], "tokens": [new]}
    return state | {"single": put(state["single"]), "pair": put(state["pair"]), "special_tokens": tokens}


def _id(tokenizer: Tokenizer, token: str) -> int:
    number = tokenizer.token_to_id(token)
    if number is None:
        raise ValueError(f"the token {token!r} is in no list")
    return int(number)


def _state(component: Any) -> dict[str, Any] | None:
    """Return a part of a tokenizer as tokenizer.json has it."""
    return None if component is None else dict(json.loads(component.__getstate__()))


def _component(part: str, state: Mapping[str, Any]) -> Any:
    """Return a part of a tokenizer from what tokenizer.json says of it."""
    from tokenizers import Tokenizer

    empty = {"type": "WordLevel", "vocab": {"": 0}, "unk_token": ""}
    parts = dict.fromkeys(
        ("normalizer", "pre_tokenizer", "post_processor", "decoder", "truncation", "padding")
    )
    whole = parts | {"version": "1.0", "added_tokens": [], "model": empty, part: state}
    return getattr(Tokenizer.from_str(json.dumps(whole)), part)
