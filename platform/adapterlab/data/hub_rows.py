"""A task's rows on a Hugging Face hub: the local cache first, then a pinned commit; Parquet files only.

A data set's script is never fetched, let alone run. Its splits are the files named
``[<config>/]<split>-*.parquet`` (also below ``data/``), or ``<config>/<split>/*.parquet`` as on the
branch ``refs/convert/parquet`` that the hub makes of every data set.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from adapterlab.backbones.hub import explain, file_list
from adapterlab.caching.file_digests import file_digest, write_atomically
from adapterlab.data.split_files import MissingDataError, SplitFiles, check_shards
from adapterlab.errors import AdapterlabError, DataError, NotFoundError, UnavailableError
from adapterlab.private_files import private_umask
from adapterlab.records import Splits
from adapterlab.registry.task_definitions import HubLocation

if TYPE_CHECKING:
    from huggingface_hub import HfApi


def hub_split_files(
    task: str,
    location: HubLocation,
    splits: Splits,
    revisions: Mapping[str, str],
    *,
    cache: Path,
    download: bool,
) -> SplitFiles:
    """Return the Parquet files of a task's splits in the Hugging Face cache, fetching them if asked.

    Args:
        task: Full name, for messages.
        location: Repository, configuration and names of the splits.
        splits: Which splits the task reads.
        revisions: Commit of each repository, as a spec pins them; comes before the location's own.
        cache: Folder of this machine's caches: locks, lists of files, digests.
        download: Fetch what is not there; if false no network is touched.

    Raises:
        MissingDataError: No commit is pinned; or the files are not there and not to be fetched.
        NotFoundError: The repository, the commit or the split does not exist on the hub.
        UnavailableError: The hub cannot be reached, refuses for now, or sent half a file.
        DataError: A file is not what the hub calls it.
    """
    revision = revisions.get(location.repo) or location.revision
    if revision is None:
        raise MissingDataError(
            f"{task}: no commit of {location.repo} is pinned",
            remedy=f'Name it under [data.revisions]: "{location.repo}" = "<40 hexadecimal digits>".',
        )
    wanted = _wanted(location, splits)
    store = _Store(location.repo, revision, cache)
    names = list(dict.fromkeys(wanted.values()))
    found = store.present(location.config, names)
    if found is None and download:
        found = store.fetch(location.config, names)
    if found is None:
        raise MissingDataError(
            f"{task}: {location.repo}@{revision[:8]} is not in the local Hugging Face cache; "
            "`platform submit` fetches it",
            remedy="Submit, or fetch it where the hub can be reached.",
        )
    return SplitFiles(**{split: found[public] for split, public in wanted.items()})


def _wanted(location: HubLocation, splits: Splits) -> dict[str, str]:
    """Return the hub's name of each split the task reads, by ours."""
    if splits is Splits.OWN:
        return {"train": location.train, "validation": location.validation, "test": location.test}
    if splits is Splits.CUT:
        return {"train": location.train}
    return {"train": location.train, "test": location.validation}


class _Store:
    """One commit of one data set in the Hugging Face cache."""

    def __init__(self, repository: str, revision: str, cache: Path) -> None:
        self._repository, self._revision, self._cache = repository, revision, cache
        self._name = repository.replace("/", "--")

    def present(self, config: str | None, splits: Sequence[str]) -> dict[str, tuple[Path, ...]] | None:
        """Return the files of each split if all are there and whole; touches no network."""
        folder = self._snapshot()
        if folder is None or not folder.is_dir():
            return None
        file_names = self._files_of_commit(folder)
        found: dict[str, tuple[Path, ...]] = {}
        for split in splits:
            paths = [folder / name for name in files_of(file_names, config, split)]
            if not paths or not all(path.is_file() for path in paths):
                return None
            with suppress(DataError):
                check_shards(paths)
                found[split] = tuple(paths)
        if len(found) < len(splits):
            return None
        for path in {path for paths in found.values() for path in paths}:
            self._check_blob(path)
        return found

    def fetch(self, config: str | None, splits: Sequence[str]) -> dict[str, tuple[Path, ...]]:
        """Fetch the files of some splits; processes that want the same wait for one."""
        try:
            from huggingface_hub import HfApi, constants
            from huggingface_hub.utils import disable_progress_bars
        except ImportError:
            raise NotFoundError(
                f"huggingface_hub is not installed, so {self._repository} cannot be fetched",
                remedy="Run: pip install 'adapterlab[data]'",
            ) from None
        locks = self._cache / "locks"
        with private_umask():
            locks.mkdir(parents=True, exist_ok=True)
        from filelock import FileLock  # its import is for those who wait

        with FileLock(locks / f"hub--datasets--{self._name}.lock"):
            present = self.present(config, splits)
            if present is not None:
                return present
            if constants.is_offline_mode():
                raise UnavailableError(
                    f"{self._repository}@{self._revision[:8]} is not in the cache {constants.HF_HUB_CACHE}, "
                    "and HF_HUB_OFFLINE is set",
                    remedy="Fetch it once where the hub can be reached, or name another cache in HF_HOME.",
                )
            if not sys.stderr.isatty():
                disable_progress_bars()
            api = HfApi()
            try:
                facts = api.dataset_info(self._repository, revision=self._revision)
                file_names = [sibling.rfilename for sibling in facts.siblings or ()]
                parquet = self._parquet_of(file_names, config, splits)
                for name in dict.fromkeys(path for paths in parquet.values() for path in paths):
                    self._take(api, name)
            except AdapterlabError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever the client raises is told in our words
                explain(error, self._repository, self._revision, api, what="data set")
            with suppress(OSError):
                write_atomically(self._list_file(), json.dumps({"files": file_names}).encode())
        found = self.present(config, splits)
        if found is None:
            raise UnavailableError(
                f"{self._repository}@{self._revision[:8]}: what was fetched cannot be found in the Hugging Face cache",
                remedy="Submit again.",
            )
        return found

    def _take(self, api: HfApi, name: str) -> None:
        """Fetch one file; one whose content is not what the hub says is thrown away again."""
        path = Path(api.hf_hub_download(self._repository, name, repo_type="dataset", revision=self._revision))
        try:
            self._check_blob(path)
        except DataError as error:
            path.resolve().unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            raise UnavailableError(
                f"{name} of {self._repository}@{self._revision[:8]} arrived with another sha256 than the hub "
                "says; nothing of it was kept",
                remedy="Submit again, or name a mirror in HF_ENDPOINT.",
            ) from error

    def _parquet_of(
        self, file_names: Sequence[str], config: str | None, splits: Sequence[str]
    ) -> dict[str, list[str]]:
        found = {split: files_of(file_names, config, split) for split in splits}
        missing = [split for split, paths in found.items() if not paths]
        if not missing:
            return found
        name = f"{self._repository}@{self._revision[:8]}"
        scripts = [path for path in file_names if path.endswith(".py")]
        if scripts and not any(path.endswith(".parquet") for path in file_names):
            raise NotFoundError(
                f"{name} holds a script ({scripts[0]}) and no Parquet files; scripts are never run",
                remedy="Pin a commit of its branch refs/convert/parquet, which the hub makes of it.",
            )
        raise NotFoundError(
            f"{name} has no Parquet files of the split {missing[0]!r}"
            + (f" of {config!r}" if config else ""),
            remedy=f"It has: {', '.join(sorted(p for p in file_names if p.endswith('.parquet'))[:8]) or 'none'}.",
        )

    def _snapshot(self) -> Path | None:
        try:
            from huggingface_hub import constants
        except ImportError:
            return None
        return Path(constants.HF_HUB_CACHE) / f"datasets--{self._name}" / "snapshots" / self._revision

    def _list_file(self) -> Path:
        return self._cache / "hub" / f"{self._name}@{self._revision}.json"

    def _files_of_commit(self, folder: Path) -> tuple[str, ...]:
        """Return the commit's files: as the hub told them, else those that are there."""
        for path in (self._list_file(), folder.parent.parent / "trees" / f"{self._revision}.json"):
            file_names = file_list(path)
            if file_names:
                return file_names
        return tuple(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet")))

    def _check_blob(self, path: Path) -> None:
        """Compare with the name the cache files large blobs under: their sha256."""
        blob = path.resolve()
        if path.is_symlink() and blob.parent.name == "blobs" and len(blob.name) == 64:
            digest = file_digest(self._cache, blob)
            if digest != blob.name:
                raise DataError(
                    f"{blob}: has the sha256 {digest}, not the one it is filed under",
                    remedy=f"The cached file is damaged: delete {blob} and fetch it again.",
                )


def files_of(file_names: Sequence[str], config: str | None, split: str) -> list[str]:
    """Return a split's Parquet files among a commit's files, sorted."""
    name = re.escape(split)
    folders = [f"{re.escape(config)}/", f"data/{re.escape(config)}/"] if config else ["", "data/", "default/"]
    for folder in folders:
        for pattern in (
            rf"{folder}{name}(-\d+-of-\d+(-[0-9a-f]+)?)?\.parquet",
            rf"{folder}{name}/[^/]+\.parquet",
        ):
            found = sorted(path for path in file_names if re.fullmatch(pattern, path))
            if found:
                return found
    return []
