"""A backbone's fast tokenizer, read from the files of its model folder.

The tokenizer's file may hold padding and truncation of its author's; both are ours to decide: no
padding, truncation longest part first, special tokens counted in.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from adapterlab.caching.file_digests import file_digest
from adapterlab.errors import BackboneError
from adapterlab.fingerprint import digest_of

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
    try:
        tokenizer = _read(folder)
    except Exception as error:  # the Rust side raises nothing more precise
        raise BackboneError(
            f"{folder}: its tokenizer cannot be read ({error})", remedy="Fetch the model again."
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
