"""``platform export``: one catalogued adapter or transfer as a folder that other libraries load.

Everything is written into a draft beside the target, read back from there, run on the backbone and
compared with what was trained; only then the draft gets the target's name.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from adapterlab.caching.leftovers import Leftover, remove_abandoned
from adapterlab.catalog.store import Catalog
from adapterlab.errors import AdapterlabError, ConflictError, UnavailableError, UsageError
from adapterlab.exporting import adapterfusion_format as fusion
from adapterlab.exporting import adapterhub as hub
from adapterlab.exporting import adapterhub_lora, peft, peft_ia3
from adapterlab.exporting import backbone_references as backbones
from adapterlab.exporting.adapterfusion import FusionDraft
from adapterlab.exporting.draft import Draft, Exported, Origin, Wishes, slug
from adapterlab.exporting.single_adapter import (
    AdapterHubDraft,
    AdapterHubScalingDraft,
    PeftDraft,
    PeftScalingDraft,
)
from adapterlab.exporting.stored_models import Trained, need_source, open_trained
from adapterlab.given_files import given_path
from adapterlab.train import tensor_files as foreign

_DRAFT = ".draft"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


def export(
    catalog: Catalog, key: str, to: Path, *, backbone: str | None, cache: Path, wishes: Wishes
) -> Exported:
    """Write an adapter or a transfer as a folder of AdapterHub or of PEFT.

    Args:
        catalog: The open catalog.
        key: Key of an adapter or a transfer, or a unique beginning of it.
        to: The folder to make; may exist if it is empty.
        backbone: Where the backbone is; ``None``: where it was when it was trained.
        cache: Folder of this machine's caches.
        wishes: What was chosen.

    Raises:
        ConflictError: The folder exists and is not empty.
        NotFoundError: There is no such record, or its backbone is not at hand.
        BackboneError: The backbone is another one.
        UsageError: It cannot be exported, or a name cannot be used.
        TrainingError: What was written does not compute what was trained; nothing is left behind.
        UnavailableError: The folder cannot be written.
    """
    target = _free_target(to)
    trained = open_trained(catalog, key)
    name = _adapter_name(trained, wishes.name)
    kind = _draft_kind(trained)
    facts = backbones.locate(need_source(trained, backbone), cache=cache)
    backbones.check_digest(facts, trained.record.backbone_digest, f"{trained.kind} {trained.record.key[:12]}")
    loaded = backbones.load(facts)
    draft = target.with_name(f"{_draft_prefix(target)}{uuid.uuid4().hex[:8]}{_DRAFT}")
    lock: int | None = None
    try:
        draft.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(_drafts(target))
        draft.mkdir()
        lock = _locked(draft)
        exported = kind(draft, trained, Origin(facts, loaded), name, wishes).write(target)
        _settle(draft, target)
    except AdapterlabError:
        raise  # some of ours are OSErrors as well
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST) and target.is_dir():
            raise _taken(target) from error
        raise UnavailableError(
            f"{target}: cannot be written ({error.strerror or error})",
            remedy="Check the disk and permissions.",
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        if lock is not None:
            os.close(lock)
    return exported


def _drafts(target: Path) -> Iterator[Leftover]:
    """Yield the drafts of a target; of those whose export was killed nobody holds the lock."""
    for draft in target.parent.glob(f"{glob.escape(_draft_prefix(target))}????????{_DRAFT}"):
        yield Leftover("export draft", draft, lock=draft)


def _draft_prefix(target: Path) -> str:
    return f".{target.name}."


def _locked(draft: Path) -> int | None:
    """Lock a draft itself, not a file in it: what is exported holds nothing of ours, and keeps the lock's folder."""
    try:
        handle = os.open(draft, os.O_RDONLY)
    except OSError:
        return None
    with suppress(
        OSError
    ):  # some file systems have no locks; then nobody removes it before it is an hour old
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return handle


def _draft_kind(trained: Trained) -> type[Draft]:
    """Return how something is written.

    Raises:
        UsageError: No library would load it.
    """
    what = f"{trained.kind} {trained.record.key[:12]}"
    if trained.combiner == fusion.COMBINER and trained.method == hub.METHOD:
        return FusionDraft
    if trained.is_token_dependent:
        raise UsageError(
            f"{what} ({trained.combiner} of {trained.method} adapters) weighs its sources for every token anew, "
            "so it is no single adapter",
            remedy=f"Only {fusion.COMBINER} of {hub.METHOD} adapters has a format of its own; "
            "`platform predict` runs it as it is.",
        )
    if trained.method == peft_ia3.METHOD and trained.combiner is None:
        sites = set(trained.plugin.sites(trained.method_settings))
        return AdapterHubScalingDraft if sites <= adapterhub_lora.WRITABLE else PeftScalingDraft
    into = trained.folds_into
    if into is not None and into[0] in hub.PLACEMENTS:
        return AdapterHubDraft
    if into is not None and into[0] == peft.METHOD:
        return PeftDraft
    known = (*hub.PLACEMENTS, peft.METHOD, peft_ia3.METHOD)
    kind = f"{trained.method} adapters" + (" with such settings" if trained.method in known else "")
    raise UsageError(
        f"{what} is made of {kind}, which no format written here has: {trained.method_settings!r}",
        remedy=f"What becomes one of {', '.join(known)} can be exported; "
        "`platform predict` runs it as it is.",
    )


def _free_target(to: Path) -> Path:
    target = Path(os.path.realpath(given_path(to, "--to")))
    if target.is_dir():
        if any(target.iterdir()):
            raise _taken(target)
    elif target.exists():
        raise ConflictError(f"{target} is a file", remedy="Name a folder that does not exist yet.")
    return target


def _taken(target: Path) -> ConflictError:
    return ConflictError(
        f"{target} exists and is not empty; nothing was written",
        remedy="Name another folder, or remove this one.",
    )


def _settle(draft: Path, target: Path) -> None:
    """Give the finished draft its name, so that it survives a power cut and is never seen half."""
    for path in sorted(draft.rglob("*")):
        if path.is_dir():
            _sync(path)
            continue
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
    _sync(draft)
    draft.rename(target)
    _sync(target.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some file systems cannot
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _adapter_name(trained: Trained, wanted: str | None) -> str:
    record = trained.record
    parts = [record.task.rsplit("/", 1)[-1], trained.combiner or trained.method, record.key[:8]]
    usual = slug(*parts)
    if wanted is None:
        return usual
    if not _NAME.fullmatch(wanted) or wanted in foreign.RESERVED_NAMES:
        raise UsageError(
            f"{wanted!r} cannot be an adapter's name: letters, digits, - and _ only, and none of torch's own words",
            remedy=f"Leave --name out for {usual!r}.",
        )
    return wanted
