"""Where a backbone's files are, and what is known of them before any is loaded into memory.

``package:`` is an installed distribution that carries a model folder; it is found by its list of
files, never imported. ``folder:`` is a folder beside the spec. ``hub:`` is a pinned revision in the
local Hugging Face cache, fetched only when asked. A model folder holds ``config.json``, safetensors
weights and tokenizer files; nothing in it is ever run or unpickled.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from adapterlab.backbones import hub
from adapterlab.backbones.tokenizer import check_tokenizer, tokenizer_digest
from adapterlab.backbones.weight_files import (
    INDEX,
    SINGLE,
    no_weights,
    tensor_headers,
    weight_files,
    weights_digest,
)
from adapterlab.errors import BackboneError, NotFoundError
from adapterlab.fingerprint import digest_of
from adapterlab.given_files import given_path, is_folder, read_json_file
from adapterlab.records import BackboneFacts, BackboneShape
from adapterlab.registry.entry_points import backbone_family
from adapterlab.registry.plugins import BackboneFamily, InputFormat
from adapterlab.spec.model import BackboneSpec, ExpectedShape

_log = logging.getLogger(__name__)
_LAYER = re.compile(r"(?:^|\.)layers?\.(\d+)\.")
"""A layer's number in the name of a tensor, as every supported family writes it."""

_Said = TypeVar("_Said")

_BOOKKEEPING = ("_name_or_path", "transformers_version")
"""Keys of a config that name its origin and decide nothing."""


def backbone_facts(
    spec: BackboneSpec, *, folder: Path, cache: Path, download: bool, texts: bool = True
) -> BackboneFacts:
    """Return what is known of a backbone, fetching it first if ``download`` says so.

    Args:
        spec: The ``[backbone]`` part of a spec.
        folder: Folder of the spec; ``folder:`` paths are relative to it.
        cache: Folder of this machine's caches, where digests are kept.
        download: Fetch a hub backbone that is not in the local Hugging Face cache. If false, its
            digests stay ``None`` and ``pending_reason`` says why; no network is touched.
        texts: Whether it is to read texts. If not, a folder needs no tokenizer, and none is looked at.

    Raises:
        NotFoundError: The package, folder, repository or revision does not exist.
        UnavailableError: The hub cannot be reached, refuses for now, or sent half a file.
        BackboneError: The files are not a supported model, or not the one the spec expects.
    """
    place = model_folder(spec.source, spec.revision, folder=folder, cache=cache, download=download)
    if place is None:
        name = spec.source.partition(":")[2]
        return _pending(spec, f"{name} is not in the local Hugging Face cache; `platform submit` fetches it")
    return _facts_of(spec, place, cache, texts=texts)


def model_facts(source: str, *, folder: Path, cache: Path, download: bool) -> BackboneFacts:
    """Return what is known of another model than the backbone, which some combiners read.

    Unlike a backbone such a model may be of any architecture that transformers loads from safetensors. Digests
    stay ``None`` while it is not on this machine.

    Args:
        source: ``package:<pip name>``, ``folder:<path>`` or ``hub:<owner/name>@<commit>``.
        folder: Folder of the spec; ``folder:`` paths are relative to it.
        cache: Folder of this machine's caches.
        download: Fetch a hub model that is not in the local Hugging Face cache.

    Raises:
        NotFoundError: The package, folder, repository or revision does not exist.
        UnavailableError: The hub cannot be reached, refuses for now, or sent half a file.
        BackboneError: It has no safetensors weights, config or tokenizer.
    """
    name, _, revision = source.partition("@") if source.startswith("hub:") else (source, "", "")
    place = model_folder(name, revision or None, folder=folder, cache=cache, download=download)
    unknown = BackboneFacts(
        source=source,
        architecture=None,
        shape=None,
        weights_digest=None,
        tokenizer_digest=None,
        config_digest=None,
        folder=None,
        pending_reason=f"{source} is not in the local Hugging Face cache; `platform submit` fetches it",
    )
    if place is None:
        return unknown
    files = weight_files(place)
    if not files:
        raise no_weights(place)
    return BackboneFacts(
        source=source,
        architecture=None,
        shape=None,
        weights_digest=weights_digest(files, cache),
        tokenizer_digest=tokenizer_digest(place, cache),
        config_digest=config_digest(place),
        folder=str(place),
    )


def model_folder(
    source: str, revision: str | None, *, folder: Path, cache: Path, download: bool
) -> Path | None:
    """Return the local folder of a model; ``None``: it is on the hub and not fetched yet.

    Args:
        source: ``package:``, ``folder:`` or ``hub:`` and a name.
        revision: Commit on the hub.
        folder: Folder of the spec.
        cache: Folder of this machine's caches.
        download: Fetch what is not in the local Hugging Face cache.

    Raises:
        NotFoundError: The package, folder, repository or revision does not exist.
        UnavailableError: The hub cannot be reached, refuses for now, or sent half a file.
    """
    kind, _, name = source.partition(":")
    if kind == "package":
        return _package_folder(name)
    if kind == "folder":
        return _given_folder(name, folder)
    place = hub.cached_folder(name, str(revision))
    if place is None and download:
        place = hub.download(name, str(revision), locks=cache / "locks")
    return place


def config_digest(folder: Path) -> str:
    """Return the sha256 over what a model folder's config decides.

    Raises:
        BackboneError: The config is missing or broken.
    """
    config = read_config(folder)
    try:
        return digest_of({name: value for name, value in config.items() if name not in _BOOKKEEPING})
    except ValueError as error:
        raise BackboneError(f"{folder / 'config.json'}: {error}") from None


def read_config(folder: Path) -> dict[str, Any]:
    """Return a model folder's ``config.json``.

    Raises:
        BackboneError: It is missing or broken.
    """
    path = folder / "config.json"
    try:
        config = read_json_file(path, BackboneError)
    except NotFoundError:
        raise BackboneError(
            f"{folder}: no config.json", remedy="Name a folder as save_pretrained() writes it."
        ) from None
    if not isinstance(config, dict):
        raise BackboneError(f"{path}: expected an object, got {type(config).__name__}")
    return config


def check_backbone(spec: BackboneSpec, *, folder: Path, cache: Path) -> Path | None:
    """Check a backbone by everything but its weights' numbers; nothing is fetched, digested or written.

    Args:
        spec: The ``[backbone]`` part of a spec.
        folder: Folder of the spec; ``folder:`` paths are relative to it.
        cache: Folder of this machine's caches; only read.

    Returns:
        Its folder; ``None`` where it is on the hub and not fetched yet.

    Raises:
        NotFoundError: The package or folder does not exist.
        BackboneError: The files are not a supported model, not the one the spec expects, or do not fit together.
    """
    place = model_folder(spec.source, spec.revision, folder=folder, cache=cache, download=False)
    if place is not None:
        _check(spec, place, cache, keep=False)
    return place


def _facts_of(spec: BackboneSpec, place: Path, cache: Path, *, texts: bool) -> BackboneFacts:
    architecture, shape, files = _check(spec, place, cache, texts=texts)
    weights = weights_digest(files, cache)
    if spec.sha256 not in (None, weights):
        raise BackboneError(
            f"{files[0] if len(files) == 1 else place}: sha256 {weights}, but the spec expects {spec.sha256}",
            remedy="These are other weights: correct backbone.sha256, or fetch the right ones.",
        )
    return BackboneFacts(
        source=spec.source,
        architecture=architecture,
        shape=shape,
        weights_digest=weights,
        tokenizer_digest=tokenizer_digest(place, cache) if texts else None,
        config_digest=config_digest(place),
        folder=str(place),
    )


def _check(
    spec: BackboneSpec, place: Path, cache: Path, *, keep: bool = True, texts: bool = True
) -> tuple[str, BackboneShape, tuple[Path, ...]]:
    """Check that a model folder's config, weights and tokenizer fit together; return what was read of them.

    Returns:
        Its architecture, its shape and the files of its weights.
    """
    config = read_config(place)
    architecture = _architecture(place, config)
    shape = _of_family(place, config, lambda family: family.shape(config))
    _check_expected(spec, shape, place)
    files = weight_files(place)
    if not files:
        raise no_weights(place)
    tensors = tensor_headers(files)
    complaint = _of_family(place, config, lambda family: family.complaint(config, tensors))
    if complaint:
        raise BackboneError(
            f"{files[0] if len(files) == 1 else place}: {complaint}",
            remedy="config.json and the weights are not of one model: save both with save_pretrained(), or fetch "
            "both again.",
        )
    _warn_of_layers_left_out(place, shape, tensors)
    vocabulary = _of_family(place, config, lambda family: family.input_format(config)).vocabulary
    if texts:
        check_tokenizer(place, vocabulary, cache, keep=keep)
    return architecture, shape, files


def _warn_of_layers_left_out(place: Path, shape: BackboneShape, tensors: Iterable[str]) -> None:
    """Say that a config names fewer layers than its weights have: a shortened model, or two that do not belong together."""
    held = 1 + max((int(found[1]) for name in tensors if (found := _LAYER.search(name))), default=-1)
    if held > shape.layers:
        _log.warning(
            "%s: num_hidden_layers is %d, but the weights hold %d layers: those above are left out",
            place, shape.layers, held,
        )  # fmt: skip


def _pending(spec: BackboneSpec, reason: str) -> BackboneFacts:
    expect = spec.expect
    return BackboneFacts(
        source=spec.source,
        architecture=None,
        shape=_expected(expect),
        weights_digest=None,
        tokenizer_digest=None,
        config_digest=None,
        folder=None,
        pending_reason=reason,
    )


def _architecture(place: Path, config: dict[str, Any]) -> str:
    architecture = config.get("model_type")
    if not isinstance(architecture, str):
        raise BackboneError(
            f"{place / 'config.json'}: no model_type", remedy="Name a transformers model folder."
        )
    try:
        backbone_family(architecture)
    except NotFoundError as error:
        raise BackboneError(f"{place}: {error.message}", remedy=error.remedy) from None
    return architecture


def input_format(folder: Path) -> InputFormat:
    """Return what the model in a folder takes as input: its longest row, its kinds of segments.

    Raises:
        BackboneError: Its config is missing or makes no sense, or no installed family runs it.
    """
    config = read_config(folder)
    return _of_family(folder, config, lambda family: family.input_format(config))


def family_of(folder: Path) -> BackboneFamily:
    """Return the family that runs the model in a folder.

    Raises:
        BackboneError: Its config is missing or names no architecture that an installed family runs.
    """
    return backbone_family(_architecture(folder, read_config(folder)))


def _of_family(place: Path, config: dict[str, Any], ask: Callable[[BackboneFamily], _Said]) -> _Said:
    """Ask a model's family, and name the file in what it complains of."""
    family = backbone_family(_architecture(place, config))
    try:
        return ask(family)
    except BackboneError as error:
        raise BackboneError(f"{place / 'config.json'}: {error.message}", remedy=error.remedy) from None


def _expected(expect: ExpectedShape | None) -> BackboneShape | None:
    """Return the shape that a spec states, as far as the architecture's family can tell it."""
    if expect is None or expect.architecture is None:
        return None
    known = {} if expect.embedding_rows is None else {"embedding_rows": expect.embedding_rows}
    family = backbone_family(expect.architecture)
    return family.outline(expect.architecture, expect.layers, expect.hidden_size, **known)


def _check_expected(spec: BackboneSpec, shape: BackboneShape, place: Path) -> None:
    expect = spec.expect
    if expect is not None and (expect.layers, expect.hidden_size) != (shape.layers, shape.hidden_size):
        raise BackboneError(
            f"{place}: {shape.layers} layers of width {shape.hidden_size}, "
            f"but the spec expects {expect.layers} of width {expect.hidden_size}",
            remedy="Correct backbone.expect, or name the right backbone.",
        )
    if expect is not None and expect.embedding_rows not in (None, shape.embedding_rows):
        raise BackboneError(
            f"{place}: {shape.embedding_rows} rows of embeddings, but the spec expects {expect.embedding_rows}",
            remedy="Correct backbone.expect, or name the right backbone.",
        )


def _given_folder(name: str, folder: Path) -> Path:
    place = (folder / given_path(folder / os.path.expanduser(name), "backbone.source")).absolute()  # noqa: PTH111
    if not is_folder(place):
        raise NotFoundError(
            f"no folder {place} (backbone.source)",
            remedy="A folder: path is relative to the spec; expected config.json, weights and tokenizer in it.",
        )
    return place


def _package_folder(name: str) -> Path:
    try:
        distribution = metadata.distribution(name)
    except (metadata.PackageNotFoundError, ValueError):
        raise NotFoundError(
            f"the package {name!r} is not installed (backbone.source)",
            remedy=f"Run: {_install_command(name)}",
        ) from None
    folders: dict[Path, set[str]] = {}
    for file in distribution.files or ():
        folders.setdefault(Path(file.as_posix()).parent, set()).add(file.name)
    for place in sorted(folders, key=lambda path: (len(path.parts), str(path))):
        if "config.json" in folders[place] and folders[place] & {SINGLE, INDEX}:
            return Path(str(distribution.locate_file(place.as_posix()))).resolve()
    raise NotFoundError(
        f"the package {name!r} is installed, but holds no model folder (config.json beside {SINGLE})",
        remedy="Name a package that carries a model, or use folder: or hub:.",
    )


def _install_command(name: str) -> str:
    """Return how to install a package: by our own extra if one brings it."""
    try:
        wanted = metadata.requires("adapterlab") or []
    except metadata.PackageNotFoundError:
        wanted = []
    for requirement in wanted:
        package, _, condition = requirement.partition(";")
        extra = condition.partition("extra == ")[2].strip(" '\"")
        if extra and extra not in ("all", "dev") and package.split("=")[0].strip() == name:
            return f"pip install 'adapterlab[{extra}]'"
    return f"pip install {name}"
