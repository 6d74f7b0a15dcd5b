"""Where a backbone is, from what a person writes: a folder, a source as in a spec, or a hub id."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from adapterlab.backbones import hub
from adapterlab.backbones.facts import backbone_facts
from adapterlab.backbones.weight_files import weight_files
from adapterlab.errors import BackboneError, NotFoundError, UsageError
from adapterlab.given_files import is_folder, shortened
from adapterlab.records import BackboneFacts
from adapterlab.registry.entry_points import backbone_family
from adapterlab.spec.model import BackboneSpec

if TYPE_CHECKING:
    from adapterlab.train.layers import Backbone

_COMMIT = re.compile(r"[0-9a-f]{40}")
_REPOSITORY = re.compile(r"[\w.-]+(/[\w.-]+)?")


def locate(source: str | Path, *, cache: Path, texts: bool = True) -> BackboneFacts:
    """Return what is known of a backbone, fetching it from the hub if it is not in the local cache.

    The facts' ``source`` finds the same backbone again: with the commit, where it is from a hub.

    Args:
        source: A folder, ``folder:<path>``, ``package:<pip name>``, ``hub:<owner/name>`` or
            ``<owner/name>``, the last two with an optional ``@<revision>`` (by default ``main``).
        cache: Folder of this machine's caches.
        texts: Whether it is to read texts; token ids need no tokenizer beside the weights.

    Raises:
        NotFoundError: There is no such backbone.
        UnavailableError: The hub cannot be reached.
        BackboneError: The files are not a supported model.
        UsageError: The source is of no known form.
    """
    text = str(source)
    kind, _, rest = text.partition(":")
    expanded = os.path.expanduser(text)  # noqa: PTH111
    if isinstance(source, Path) or (text and is_folder(expanded)):
        return _facts(f"folder:{Path(expanded).absolute()}", None, cache, texts=texts)
    if kind in ("package", "folder") and rest:
        return _facts(text, None, cache, texts=texts)
    repository, _, revision = (rest if kind == "hub" else text).partition("@")
    if not _REPOSITORY.fullmatch(repository):
        raise UsageError(
            f"no folder {shortened(text)!r}, and no source of a backbone",
            remedy="Write a folder, package:<pip name>, or hub:<owner>/<name>@<revision>.",
        )
    commit = revision if _COMMIT.fullmatch(revision) else hub.commit_of(repository, revision or "main")
    return _facts(f"hub:{repository}", commit, cache, texts=texts)


def check_digest(facts: BackboneFacts, wanted: str, what: str) -> None:
    """Check that a backbone is the very one something was trained on.

    Raises:
        BackboneError: It has other weights.
    """
    if facts.weights_digest != wanted:
        raise BackboneError(
            f"{what} was trained on a backbone with sha256 {wanted}, but {facts.source} has {facts.weights_digest}",
            remedy="Name the backbone it was trained on.",
        )


def load(facts: BackboneFacts, *, dtype: Any = None) -> Backbone:
    """Load a located backbone on the CPU.

    Args:
        facts: From :func:`locate`.
        dtype: A torch dtype; ``None``: float32.

    Raises:
        BackboneError: A weight is not a finite number; the tensor is named.
    """
    from adapterlab.train.tensor_files import check_model_files

    assert facts.architecture is not None
    assert facts.folder is not None
    folder, family = Path(facts.folder), backbone_family(facts.architecture)
    check_model_files(weight_files(folder), family.holds)
    return family.load(folder, dtype=dtype)


def _facts(source: str, revision: str | None, cache: Path, *, texts: bool) -> BackboneFacts:
    try:
        spec = BackboneSpec(source=source, revision=revision)
    except ValidationError as error:
        raise UsageError(f"{source!r}: {error.errors()[0]['msg']}") from None
    facts = backbone_facts(spec, folder=Path.cwd(), cache=cache, download=True, texts=texts)
    if facts.folder is None:
        raise NotFoundError(f"{source}: {facts.pending_reason}")
    return facts if revision is None else replace(facts, source=f"{source}@{revision}")


def short_name(source: str) -> str:
    """Return what people call a backbone, without any path: the repository, package or folder."""
    kind, _, rest = source.partition(":")
    return Path(rest).name if kind == "folder" else rest.partition("@")[0]
