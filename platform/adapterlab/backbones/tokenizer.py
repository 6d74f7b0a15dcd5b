"""A backbone's fast tokenizer, read from the files of its model folder.

The tokenizer's file may hold padding and truncation of its author's; both are ours to decide: no
padding, truncation longest part first, special tokens counted in.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterlab.caching.file_digests import file_digest, recall_or_compute
from adapterlab.errors import BackboneError
from adapterlab.fingerprint import digest_of
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
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
)
"""What decides a tokenizer where there is no ``tokenizer.json``."""
_READABLE_VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json")
VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "sentencepiece.bpe.model", "spiece.model")
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
    except Exception as error:  # the Rust side raises nothing more precise
        raise BackboneError(
            f"{folder}: its tokenizer cannot be read ({str(error).splitlines()[0] if str(error) else type(error).__name__})",
            remedy=_remedy(folder),
        ) from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length, strategy=truncate)
    return tokenizer


def tokenizer_digest(folder: Path, cache: Path) -> str:
    """Return the sha256 over the files that decide how a model folder tokenises.

    Raises:
        BackboneError: The folder has no tokenizer.
    """
    if (folder / TOKENIZER_FILE).is_file():
        return digest_of({TOKENIZER_FILE: file_digest(cache, folder / TOKENIZER_FILE)})
    parts = [folder / name for name in TOKENIZER_PARTS if (folder / name).is_file()]
    if not {path.name for path in parts} & set(VOCABULARIES):
        raise BackboneError(
            f"{folder}: no tokenizer, expected {TOKENIZER_FILE} or a vocabulary",
            remedy="Save the tokenizer beside the weights: AutoTokenizer.from_pretrained(…).save_pretrained(folder).",
        )
    return digest_of({path.name: file_digest(cache, path) for path in parts})


def check_token_ids(folder: Path, vocabulary: int | None, cache: Path) -> None:
    """Check that the backbone has an embedding for every token its tokenizer can give.

    Args:
        folder: Model folder.
        vocabulary: Rows of the backbone's word table; ``None``: not known, nothing is checked.
        cache: Folder of this machine's caches, where the greatest id is kept.

    Raises:
        BackboneError: A token's id lies beyond, or the tokenizer's file is broken.
    """
    name = next((one for one in _READABLE_VOCABULARIES if (folder / one).is_file()), None)
    if vocabulary is None or name is None:
        return
    paths = [folder / one for one in (name, "added_tokens.json") if (folder / one).is_file()]
    try:
        kept = recall_or_compute(cache, "last token", paths, name, lambda: _last_token(folder, name))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
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
    else:
        ids |= {
            int(number): str(token) for token, number in read_json_file(folder / name, BackboneError).items()
        }
    if name != TOKENIZER_FILE and (folder / "added_tokens.json").is_file():
        added = read_json_file(folder / "added_tokens.json", BackboneError)
        ids |= {int(number): str(token) for token, number in added.items()}
    last = max(ids, default=-1)
    return {"id": last, "token": ids.get(last, "")}


def _remedy(folder: Path) -> str:
    """Return what to do about a tokenizer that cannot be read: convert it, where only SentencePiece's file is there."""
    models = [name for name in ("sentencepiece.bpe.model", "spiece.model") if (folder / name).is_file()]
    others = [name for name in _READABLE_VOCABULARIES if (folder / name).is_file()]
    if not models or others:
        return "Fetch the model again."
    return (
        f"{models[0]} alone needs the packages sentencepiece and protobuf: pip install sentencepiece protobuf; or "
        "save tokenizer.json beside it: AutoTokenizer.from_pretrained(folder).save_pretrained(folder)."
    )


def _read(folder: Path) -> Tokenizer:
    if (folder / TOKENIZER_FILE).is_file():
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(folder / TOKENIZER_FILE))
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(
        str(folder), use_fast=True, trust_remote_code=False, local_files_only=True
    )
    tokenizer: Tokenizer = loaded.backend_tokenizer
    return tokenizer
