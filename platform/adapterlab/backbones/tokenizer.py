"""A backbone's fast tokenizer, read from the files of its model folder.

The ids are those that transformers' AutoTokenizer gives. The tokenizer's file may hold padding and truncation of
its author's; both are ours to decide: no padding, truncation longest part first, special tokens counted in. Only
the end at which texts are cut is the author's, where tokenizer_config.json names it.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterlab.backbones.tokenizer_settings import (
    SETTINGS_VERSION,
    apply_settings,
    settings_files,
    truncation_side,
)
from adapterlab.caching.file_digests import file_digest, recall_or_compute
from adapterlab.errors import BackboneError
from adapterlab.fingerprint import Json, digest_of
from adapterlab.given_files import read_file, read_json_file

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENIZER_FILE = "tokenizer.json"
TOKENIZER_PARTS = (
    "added_tokens.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "special_tokens_map.json",
    "spiece.model",
    "spm.model",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
)
"""What decides a tokenizer where there is no ``tokenizer.json``."""
_PROBES = (("a b, 1 \u4e2d \U0001f600 zzqx",), ("a b", "zzqx"))
"""Texts of one and of two parts, with words that no vocabulary has."""
_PROBE_VERSION = 2
"""Raise it when tokenizers are asked something else: what was found is found anew."""
_SENTENCEPIECE = ("sentencepiece.bpe.model", "spiece.model", "spm.model")
_READABLE_VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json")
VOCABULARIES = (*_READABLE_VOCABULARIES, *_SENTENCEPIECE)
"""Files any one of which makes a tokenizer."""


def load_tokenizer(folder: Path, max_length: int, *, truncate: str = "longest_first") -> Tokenizer:
    """Return the fast tokenizer of a model folder, set to cut rows at ``max_length`` tokens.

    Args:
        folder: Model folder.
        max_length: Most tokens of a row, special tokens included.
        truncate: Which text of a pair is cut: ``"longest_first"``, ``"only_first"``, ``"only_second"``.

    Raises:
        BackboneError: The tokenizer cannot be read.
    """
    if not 1 <= max_length < 1 << 31:
        raise BackboneError(f"{folder}: rows of {max_length} tokens, expected a positive whole number")
    try:
        tokenizer = _read(folder)
    except BackboneError:
        raise
    except Exception as error:  # the Rust side raises nothing more precise
        raise BackboneError(
            f"{folder}: its tokenizer cannot be read ({_reason(folder, error)})", remedy=_remedy(folder)
        ) from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length, strategy=truncate, direction=truncation_side(folder))
    return tokenizer


def tokenizer_digest(folder: Path, cache: Path, *, keep: bool = True) -> str:
    """Return the sha256 over the files that decide how a model folder tokenises.

    Of the files beside ``tokenizer.json`` what they change counts, not what they are: settings that say what
    ``tokenizer.json`` says anyway, or that decide no id, leave the digest as it is.

    Args:
        folder: Model folder.
        cache: Folder of this machine's caches, where digests are kept.
        keep: Whether to keep them; else the cache is only read.

    Raises:
        BackboneError: The folder has no tokenizer, or one that cannot be read.
    """
    if (folder / TOKENIZER_FILE).is_file():
        whole: dict[str, Json] = {TOKENIZER_FILE: file_digest(cache, folder / TOKENIZER_FILE, keep=keep)}
        if changes := _changes(folder, cache, keep=keep):
            whole["settings"] = changes
        return digest_of(whole)
    parts = [folder / name for name in TOKENIZER_PARTS if (folder / name).is_file()]
    if not {path.name for path in parts} & set(VOCABULARIES):
        raise BackboneError(
            f"{folder}: no tokenizer, expected {TOKENIZER_FILE} or a vocabulary",
            remedy="Save the tokenizer beside the weights: AutoTokenizer.from_pretrained(…).save_pretrained(folder).",
        )
    return digest_of({path.name: file_digest(cache, path, keep=keep) for path in parts})


def check_tokenizer(folder: Path, vocabulary: int | None, cache: Path, *, keep: bool = True) -> None:
    """Check that a model folder's tokenizer can be read, knows words, and gives ids the backbone has embeddings for.

    Args:
        folder: Model folder.
        vocabulary: Rows of the backbone's word table; ``None``: not known, ids are not compared.
        cache: Folder of this machine's caches, where what was found is kept.
        keep: Whether to keep it; else the cache is only read.

    Raises:
        BackboneError: It is not so.
    """
    tokenizer_digest(folder, cache, keep=keep)  # says what is missing where nothing is there
    check_token_ids(folder, vocabulary, cache, keep=keep)
    if (folder / TOKENIZER_FILE).is_file():
        paths = [folder / TOKENIZER_FILE, *settings_files(folder)]
    else:
        names = ("config.json", *TOKENIZER_PARTS)
        paths = [folder / name for name in names if (folder / name).is_file()]
    kept = recall_or_compute(cache, "tokenizer", paths, _PROBE_VERSION, lambda: _probed(folder), keep=keep)
    if vocabulary is not None and kept["id"] >= vocabulary:
        raise BackboneError(
            f"{folder}: its tokenizer gives the id {kept['id']}, but the backbone has embeddings for ids below "
            f"{vocabulary}",
            remedy="It is another model's: save the model's own tokenizer beside its weights.",
        )


def check_token_ids(folder: Path, vocabulary: int | None, cache: Path, *, keep: bool = True) -> None:
    """Check that the backbone has an embedding for every token its tokenizer can give.

    Args:
        folder: Model folder.
        vocabulary: Rows of the backbone's word table; ``None``: not known, nothing is checked.
        cache: Folder of this machine's caches, where the greatest id is kept.
        keep: Whether to keep it; else the cache is only read.

    Raises:
        BackboneError: A token's id lies beyond, or the tokenizer's file is broken.
    """
    name = next((one for one in _READABLE_VOCABULARIES if (folder / one).is_file()), None)
    if vocabulary is None or name is None:
        return
    if name == TOKENIZER_FILE:
        paths = [folder / name, *settings_files(folder)]
    else:
        paths = [folder / one for one in (name, "added_tokens.json") if (folder / one).is_file()]
    try:
        kept = recall_or_compute(
            cache, "last token", paths, [name, _PROBE_VERSION], lambda: _last_token(folder, name), keep=keep
        )
    except BackboneError:  # which is a ValueError as well, and says all there is to say
        raise
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise BackboneError(
            f"{folder / name}: no vocabulary ({type(error).__name__}: {error})",
            remedy="Fetch the model again.",
        ) from None
    if kept["id"] < 0:
        raise BackboneError(f"{folder / name}: no token in it", remedy="Fetch the model again.")
    if kept["id"] >= vocabulary:
        raise BackboneError(
            f"{folder}: its tokenizer has the token {kept['token']!r} with the id {kept['id']}, but the backbone has "
            f"embeddings for ids below {vocabulary}",
            remedy="Resize the model's embeddings and save it again, or remove the added tokens.",
        )


def _last_token(folder: Path, name: str) -> dict[str, Any]:
    """Return the greatest id of a vocabulary, with its token."""
    ids: dict[int, str] = {}
    if name == "vocab.txt":
        lines = read_file(folder / name, BackboneError).decode("utf-8", errors="replace").split("\n")
        ids |= dict(enumerate(line.rstrip("\r") for line in (lines[:-1] if not lines[-1] else lines)))
    elif name == TOKENIZER_FILE:
        told = read_json_file(folder / name, BackboneError)
        known = told["model"].get("vocab") or {}
        pairs = known.items() if isinstance(known, dict) else ((one[0], at) for at, one in enumerate(known))
        ids |= {int(number): str(token) for token, number in pairs}
        ids |= {int(one["id"]): str(one["content"]) for one in told.get("added_tokens") or ()}
        if settings_files(folder):
            ids |= {
                at: one.content for at, one in load_tokenizer(folder, 64).get_added_tokens_decoder().items()
            }
    else:
        ids |= {
            int(number): str(token) for token, number in read_json_file(folder / name, BackboneError).items()
        }
    if name != TOKENIZER_FILE and (folder / "added_tokens.json").is_file():
        added = read_json_file(folder / "added_tokens.json", BackboneError)
        ids |= {int(number): str(token) for token, number in added.items()}
    last = max(ids, default=-1)
    return {"id": last, "token": ids.get(last, "")}


def _changes(folder: Path, cache: Path, *, keep: bool) -> dict[str, Any]:
    """Return what the files beside ``tokenizer.json`` change of the ids it gives; nothing where it cannot be read."""
    files = settings_files(folder)
    if not files:
        return {}

    def compute() -> dict[str, Any]:
        from tokenizers import Tokenizer

        try:
            tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
        except Exception:  # noqa: BLE001 - the Rust side raises nothing more precise; check_tokenizer says it
            return {}
        changes = apply_settings(folder, tokenizer)[1]
        side = truncation_side(folder)
        return changes | ({} if side == "right" else {"truncation_side": side})

    paths = [folder / TOKENIZER_FILE, *files]
    return recall_or_compute(cache, "tokenizer settings", paths, SETTINGS_VERSION, compute, keep=keep)


def _probed(folder: Path) -> dict[str, Any]:
    """Return the greatest id a tokenizer gives to texts, after checking that it gives any and knows words.

    A folder without ``tokenizer.json`` is read as its architecture reads it: files of another kind of tokenizer are
    passed over without a word, and what is left knows its special tokens only.
    """
    tokenizer = load_tokenizer(folder, 64)
    special = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    words = tokenizer.get_vocab(with_added_tokens=False)
    if not words.keys() - special:
        there = [name for name in VOCABULARIES if (folder / name).is_file()]
        raise BackboneError(
            f"{folder}: its tokenizer knows no word: transformers makes nothing of {', '.join(there)} for this model",
            remedy="Save the model's own tokenizer beside the weights: AutoTokenizer.from_pretrained(…)"
            ".save_pretrained(folder).",
        )
    try:
        encoded = [tokenizer.encode(*texts).ids for texts in _PROBES]
    except Exception as error:  # the Rust side raises nothing more precise
        raise BackboneError(
            f"{folder}: its tokenizer cannot read a text with unknown words ({error})",
            remedy="Save the model's own tokenizer beside the weights: AutoTokenizer.from_pretrained(…)"
            ".save_pretrained(folder).",
        ) from error
    return {"id": max((one for ids in encoded for one in ids), default=-1)}


def _reason(folder: Path, error: Exception) -> str:
    """Return why a tokenizer cannot be read, in one line."""
    if _is_sentencepiece_alone(folder) and find_spec("sentencepiece") is None:
        return "it is a SentencePiece file, and the package sentencepiece is not installed"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _remedy(folder: Path) -> str:
    """Return what to do about a tokenizer that cannot be read: convert it, where only SentencePiece's file is there."""
    if not _is_sentencepiece_alone(folder):
        return "Fetch the model again."
    name = next(name for name in _SENTENCEPIECE if (folder / name).is_file())
    return (
        f"{name} alone needs the packages sentencepiece and protobuf: pip install sentencepiece protobuf; or "
        "save tokenizer.json beside it: AutoTokenizer.from_pretrained(folder).save_pretrained(folder)."
    )


def _is_sentencepiece_alone(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _SENTENCEPIECE) and not any(
        (folder / name).is_file() for name in _READABLE_VOCABULARIES
    )


def _read(folder: Path) -> Tokenizer:
    if (folder / TOKENIZER_FILE).is_file():
        from tokenizers import Tokenizer

        return apply_settings(folder, Tokenizer.from_file(str(folder / TOKENIZER_FILE)))[0]
    from transformers import AutoTokenizer
    from transformers.utils import logging

    told = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)  # what fails is raised; its guesses on the way would mislead
    try:
        loaded = AutoTokenizer.from_pretrained(
            str(folder), use_fast=True, trust_remote_code=False, local_files_only=True
        )
    finally:
        logging.set_verbosity(told)
    tokenizer: Tokenizer = loaded.backend_tokenizer
    return tokenizer
