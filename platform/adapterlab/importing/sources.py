"""Where adapters are: ``folder:<path>``, ``hub:<owner/name>@<commit>`` or ``catalog:<key>``, and how they get here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from adapterlab.backbones import hub
from adapterlab.errors import DataError, NotFoundError, UsageError
from adapterlab.given_files import given_path, is_folder, shortened

ADAPTER_FILES = (
    "README.md",
    "adapter_config.json",
    "adapterlab.json",
    "head_config.json",
    "adapter.safetensors",
    "adapter_model.bin",
    "adapter_model.safetensors",
    "model_head.safetensors",
    "pytorch_adapter.bin",
    "pytorch_model_head.bin",
)
"""The only files fetched of a repository: an adapter's configs, tensors and card."""
_HUB = re.compile(r"hub:(?P<repository>[\w.-]+/[\w.-]+)@(?P<commit>[0-9a-f]{40})")
_WEIGHTS = ("adapter.safetensors", "adapter_model.safetensors", "adapter_model.bin", "pytorch_adapter.bin")


@dataclass(frozen=True)
class Place:
    """A folder on this machine, and what it is called."""

    source: str
    """``"folder:<absolute path>"`` or ``"hub:<owner/name>@<commit>"``."""
    folder: Path
    name: str
    """Last part of the folder's or repository's name."""
    commit: str | None = None


def locate(source: str, *, relative_to: Path, locks: Path, download: bool = True) -> Place | None:
    """Return where the folder of a source is, fetching it from the hub first if need be.

    Args:
        source: A path, ``folder:<path>`` or ``hub:<owner/name>@<commit>``.
        relative_to: Where relative paths start.
        locks: Folder of this machine's lock files.
        download: Whether to fetch what is not in the local Hugging Face cache.

    Returns:
        ``None`` if it would have to be fetched, and ``download`` is off.

    Raises:
        NotFoundError: There is no such folder or repository.
        DataError: The repository holds no adapter.
        UnavailableError: The hub cannot be reached.
        UsageError: The source is of no known form.
    """
    if source.startswith("hub:"):
        match = _HUB.fullmatch(source)
        if match is None:
            raise UsageError(
                f"{shortened(repr(source))} is no pinned repository",
                remedy="Write hub:<owner>/<name>@<commit>, the commit in 40 hexadecimal digits.",
            )
        repository, commit = match["repository"], match["commit"]
        folder = _cached(repository, commit)
        if folder is None and not download:
            return None
        if folder is None:
            folder = hub.fetch(repository, commit, patterns=ADAPTER_FILES, check=_check_files, locks=locks)
        return Place(source, folder, repository.rpartition("/")[2], commit)
    path = given_path(source.removeprefix("folder:"), "the source").expanduser()
    path = relative_to / path
    if not is_folder(path):
        raise NotFoundError(
            f"no folder {shortened(str(path))!r}",
            remedy="Name a folder as save_pretrained(), save_adapter() or platform export writes it.",
        )
    absolute = path.resolve()
    return Place(f"folder:{absolute}", absolute, absolute.name)


def _cached(repository: str, commit: str) -> Path | None:
    """Return the snapshot of a commit in the local cache if all of its adapter is there."""
    store = hub.repository_cache(repository)
    if store is None:
        return None
    folder = store / "snapshots" / commit
    names = hub.file_list(store / "trees" / f"{commit}.json")
    wanted = [name for name in names if any(fnmatchcase(name, pattern) for pattern in ADAPTER_FILES)]
    whole = all((folder / name).is_file() for name in (*wanted, "adapter_config.json"))
    return folder if whole and any((folder / name).is_file() for name in _WEIGHTS) else None


def _check_files(names: Sequence[str], what: str) -> None:
    if "adapter_config.json" not in names or not set(_WEIGHTS) & set(names):
        raise DataError(
            f"{what} holds no adapter: it needs adapter_config.json with {' or '.join(_WEIGHTS)}",
            remedy="Name the repository of one adapter in AdapterHub's or PEFT's format.",
        )
