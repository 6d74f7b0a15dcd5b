"""Backbones on a Hugging Face hub: the local cache first, then a pinned revision, safetensors only.

``HF_HOME``, ``HF_HUB_CACHE``, ``HF_HUB_OFFLINE``, ``HF_TOKEN`` and ``HF_ENDPOINT`` mean what they
mean everywhere, because huggingface_hub reads them. Neither a token nor credentials inside an
endpoint's address appear in a message.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from adapterlab.backbones.tokenizer import VOCABULARIES
from adapterlab.backbones.weight_files import weight_files
from adapterlab.errors import AdapterlabError, BackboneError, NotFoundError, UnavailableError
from adapterlab.private_files import private_umask

if TYPE_CHECKING:
    from huggingface_hub import HfApi

WANTED = (
    "config.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "model-*-of-*.safetensors",
    "added_tokens.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "special_tokens_map.json",
    "spiece.model",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
)
"""The only files ever fetched; none of them is code or a pickle."""


def cached_folder(repository: str, revision: str) -> Path | None:
    """Return the snapshot of a revision in the local cache if it is whole, without any network."""
    try:
        from huggingface_hub import constants
    except ImportError:
        return None
    store = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
    return store / "snapshots" / revision if _is_whole(store, revision) else None


def commit_of(repository: str, revision: str) -> str:
    """Return the commit a branch or tag stands for: as the local cache last saw it, else as the hub says.

    Raises:
        NotFoundError: The repository, the revision or huggingface_hub does not exist here.
        UnavailableError: The hub cannot be reached, or is not to be asked.
    """
    try:
        from huggingface_hub import HfApi, constants
    except ImportError:
        raise _not_installed(repository) from None
    reference = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}" / "refs" / revision
    if reference.is_file():
        return reference.read_text().strip()
    if constants.is_offline_mode():
        raise UnavailableError(
            f"{repository} is not in the cache {constants.HF_HUB_CACHE}, and HF_HUB_OFFLINE is set",
            remedy="Fetch it once where the hub can be reached, or name another cache in HF_HOME.",
        )
    api = HfApi()
    try:
        return str(api.model_info(repository, revision=revision).sha)
    except Exception as error:  # noqa: BLE001 - whatever the client raises is told in our words
        explain(error, repository, revision, api)


def repository_cache(repository: str) -> Path | None:
    """Return the folder of a repository in the local cache, there or not; ``None`` without huggingface_hub."""
    try:
        from huggingface_hub import constants
    except ImportError:
        return None
    return Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"


def download(repository: str, revision: str, *, locks: Path) -> Path:
    """Fetch a model into the Hugging Face cache and return its snapshot folder.

    Args:
        repository: ``<owner>/<name>``.
        revision: Commit, 40 hexadecimal digits.
        locks: Folder of this machine's lock files: processes that want the same model wait for one.

    Raises:
        NotFoundError: The repository, the revision or huggingface_hub does not exist here.
        UnavailableError: The hub cannot be reached, refuses for now, or sent half a file.
        BackboneError: The repository holds no safetensors weights.
    """
    return fetch(
        repository,
        revision,
        patterns=WANTED,
        check=_check_files,
        locks=locks,
        present=lambda: cached_folder(repository, revision),
    )


def fetch(
    repository: str,
    revision: str,
    *,
    patterns: Sequence[str],
    check: Callable[[Sequence[str], str], None],
    locks: Path,
    present: Callable[[], Path | None] = lambda: None,
) -> Path:
    """Fetch some files of a revision into the Hugging Face cache and return its snapshot folder.

    Args:
        repository: ``<owner>/<name>``.
        revision: Commit, 40 hexadecimal digits.
        patterns: Of the names of the files.
        check: Given all names of the revision, and what to call it, before anything large is fetched; raises if it
            is not what was looked for.
        locks: Folder of this machine's lock files: processes that want the same wait for one.
        present: Returns the folder if another process has fetched it meanwhile.

    Raises:
        NotFoundError: The repository, the revision or huggingface_hub does not exist here.
        UnavailableError: The hub cannot be reached, refuses for now, or sent half a file.
        AdapterlabError: What ``check`` raises.
    """
    try:
        from huggingface_hub import HfApi, constants
        from huggingface_hub.utils import disable_progress_bars
    except ImportError:
        raise _not_installed(repository) from None
    with private_umask():
        locks.mkdir(parents=True, exist_ok=True)
    from filelock import FileLock  # its import is for those who wait

    with FileLock(locks / f"hub--{repository.replace('/', '--')}.lock"):
        there = present()
        if there is not None:
            return there
        if constants.is_offline_mode():
            raise UnavailableError(
                f"{repository}@{revision[:8]} is not in the cache {constants.HF_HUB_CACHE}, and HF_HUB_OFFLINE is set",
                remedy="Fetch it once where the hub can be reached, or name another cache in HF_HOME.",
            )
        if not sys.stderr.isatty():
            disable_progress_bars()
        api = HfApi()
        try:
            siblings = api.model_info(repository, revision=revision).siblings or ()
            check([sibling.rfilename for sibling in siblings], f"{repository}@{revision[:8]}")
            folder = Path(api.snapshot_download(repository, revision=revision, allow_patterns=list(patterns)))
        except AdapterlabError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the client raises is told in our words
            explain(error, repository, revision, api)
    return folder


def _not_installed(repository: str) -> NotFoundError:
    return NotFoundError(
        f"huggingface_hub is not installed, so {repository} cannot be fetched",
        remedy="Run: pip install 'adapterlab[data]'",
    )


def _is_whole(store: Path, revision: str) -> bool:
    """Tell whether a snapshot has all its files: a fetch that was cut off leaves some of them.

    The client keeps the revision's list of files beside it; a cache filled by other means may lack
    that list, and must hold at least a config, weights and a tokenizer.
    """
    folder = store / "snapshots" / revision
    file_names = file_list(store / "trees" / f"{revision}.json")
    wanted = [name for name in file_names if any(fnmatchcase(name, pattern) for pattern in WANTED)]
    if not all((folder / name).is_file() for name in (*wanted, "config.json")):
        return False
    if not wanted and not any((folder / name).is_file() for name in VOCABULARIES):
        return False
    try:
        return bool(weight_files(folder))
    except BackboneError:
        return False  # an index whose shards are not all there yet


def file_list(path: Path) -> tuple[str, ...]:
    """Return the names of a revision's files from the list huggingface_hub keeps; empty if there is none.

    Source: huggingface_hub 2.4, ``_tree_cache.py`` (format version 1).
    """
    try:
        return tuple(json.loads(path.read_bytes())["files"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ()


def explain(error: Exception, repository: str, revision: str, api: HfApi, *, what: str = "model") -> NoReturn:
    """Raise what a fault of the client means, in our words.

    Args:
        error: What the client raised.
        repository: ``<owner>/<name>``.
        revision: Commit, branch or tag that was asked for.
        api: The client, for the host's name.
        what: What the repository holds, ``"model"`` or ``"data set"``.

    Raises:
        NotFoundError: The repository or the revision does not exist, or is not to be read.
        UnavailableError: The hub cannot be reached, refuses for now, or sent half a file.
    """
    from huggingface_hub import constants, errors

    name, host = f"{repository}@{revision[:8]}", _host(api)
    response = _response_of(error)
    status = None if response is None else response.status_code
    if isinstance(error, errors.HFValidationError):
        raise NotFoundError(
            f"{repository!r} is no repository name",
            remedy=f"Write {'hub:' if what == 'model' else ''}<owner>/<name>.",
        ) from None
    if isinstance(error, errors.RevisionNotFoundError):
        raise NotFoundError(
            f"{repository} has no revision {revision} on {host}",
            remedy="Take the commit from the repository's history on the hub.",
        ) from None
    if isinstance(error, errors.RepositoryNotFoundError) or status in (401, 403, 404):
        raise NotFoundError(
            f"{repository} cannot be read on {host}: it does not exist, or is private or gated (HTTP {status})",
            remedy=f"Check the name; for a private or gated {what} set HF_TOKEN to a token that may read it.",
        ) from None
    if status == 429:
        wait = response.headers.get("retry-after")
        raise UnavailableError(
            f"{host} answers that we ask too often (HTTP 429) for {name}",
            remedy=f"Wait {f'{wait} s' if wait else 'a few minutes'} and submit again; HF_TOKEN raises the limit.",
        ) from None
    if status is not None:
        raise UnavailableError(
            f"{host} answers HTTP {status} for {name}",
            remedy="Try again later, or name a mirror in HF_ENDPOINT.",
        ) from None
    if "onsistency check" in str(error) or type(error).__name__ in ("RemoteProtocolError", "ReadError"):
        raise UnavailableError(
            f"{host} sent only part of a file of {name}; nothing of it was kept", remedy="Submit again."
        ) from None
    if isinstance(error, OSError) and error.errno is not None:
        raise UnavailableError(
            f"{name} cannot be written to the Hugging Face cache {constants.HF_HUB_CACHE}: {error.strerror}",
            remedy="Make room or give permission there, or name another cache in HF_HOME.",
        ) from None
    raise UnavailableError(
        f"{name} cannot be fetched from {host} ({type(error).__name__})",
        remedy="Check the network and HF_ENDPOINT, or fetch it elsewhere and name that cache in HF_HOME.",
    ) from None


def _check_files(file_names: Sequence[str], what: str) -> None:
    """Check that a repository holds a model we read, before anything large is fetched."""
    whole = {"model.safetensors", "model.safetensors.index.json"} & set(file_names)
    if "config.json" in file_names and whole:
        return
    pickles = [name for name in file_names if name.endswith((".bin", ".pt", ".pth", ".ckpt"))]
    if "config.json" in file_names and pickles:
        raise BackboneError(
            f"{what} holds only {', '.join(pickles)}, which are pickles and never read",
            remedy="Take a revision with model.safetensors; many repositories have a pull request that adds it.",
        )
    raise BackboneError(
        f"{what} holds no config.json with model.safetensors",
        remedy="Name the repository of a whole model.",
    )


def _response_of(error: BaseException | None) -> Any:
    """Return the HTTP response behind an error, which the client may have wrapped; ``None`` without."""
    while error is not None:
        response = getattr(error, "response", None)
        if response is not None:
            return response
        error = error.__cause__
    return None


def _host(api: HfApi) -> str:
    """Return the hub's host, without credentials an address may hold."""
    return urlsplit(str(api.endpoint)).hostname or "the hub"
