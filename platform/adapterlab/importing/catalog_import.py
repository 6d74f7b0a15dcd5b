"""``platform catalog import``: one folder or repository, or a folder of folders, into the catalog."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterlab.catalog.records import AdapterRecord
from adapterlab.catalog.store import Catalog
from adapterlab.errors import AdapterlabError, BackboneError, NotFoundError, UnavailableError
from adapterlab.exporting import backbone_references as backbones
from adapterlab.home import Stores
from adapterlab.importing import adapters
from adapterlab.importing.adapters import FoundAdapter, find_adapter, prepare
from adapterlab.importing.sources import Place, locate
from adapterlab.records import BackboneFacts

_CONFIG = "adapter_config.json"
_DEEPEST = 4
_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")


@dataclass(frozen=True)
class Imported:
    """What became of one folder."""

    source: str
    """``"folder:<path>"`` or ``"hub:<owner/name>@<commit>"``."""
    record: AdapterRecord | None = None
    """What the catalog has now; ``None`` where it was refused."""
    new: bool = False
    """Whether it was not there before."""
    fault: AdapterlabError | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON-able mapping."""
        record, fault = self.record, self.fault
        state = "refused" if record is None else "imported" if self.new else "already there"
        return {
            "source": self.source,
            "state": state,
            "key": None if record is None else record.key,
            "task": None if record is None else record.task,
            "method": None if record is None else record.method,
            "backbone": None if record is None else record.backbone_digest,
            "fault": None if fault is None else fault.to_json(),
        }


def import_adapters(
    catalog: Catalog, source: str, *, stores: Stores, backbone: str | None, task: str | None
) -> list[Imported]:
    """Import the adapter of a source, or of each folder below it.

    Args:
        catalog: The open catalog.
        source: A path, ``folder:<path>`` or ``hub:<owner/name>@<commit>``.
        stores: Where this machine's caches and locks are.
        backbone: The backbone they were trained on; ``None``: what each of them says.
        task: Full name of their task; ``None``: what each of them says, else its folder's name.

    Returns:
        One result a folder, in the order of their names; a fault of one keeps no other from being imported.

    Raises:
        NotFoundError: There is no such source, no adapter in it, or no such backbone.
        UnavailableError: The hub, the catalog or the blob store cannot be reached.
        UsageError: The source is of no known form.
    """
    place = locate(source, relative_to=Path.cwd(), locks=stores.locks)
    assert place is not None
    chosen = None if backbone is None else backbones.locate(backbone, cache=stores.cache)
    known = _Backbones(catalog, stores.cache)

    results: list[Imported] = []
    for at in places(place):
        try:
            results.append(_import(catalog, at, chosen, known, task))
        except UnavailableError:
            raise  # what the others need as well
        except AdapterlabError as error:
            results.append(Imported(at.source, fault=error))
    return results


def places(place: Place) -> Iterator[Place]:
    """Yield a folder that holds an adapter, or else each one below it that does, by name.

    Raises:
        NotFoundError: None does.
    """
    if (place.folder / _CONFIG).is_file():
        yield place
        return
    below = sorted(_below(place.folder, _DEEPEST))
    if not below:
        raise NotFoundError(
            f"{place.source}: no {_CONFIG} in it, nor in the folders below",
            remedy="Name an adapter's folder, as save_pretrained(), save_adapter() or platform export writes it.",
        )
    for folder in below:
        inside = folder.relative_to(place.folder).as_posix()
        yield Place(f"{place.source}/{inside}", folder, folder.name, place.commit)


def _below(folder: Path, depth: int) -> Iterator[Path]:
    with suppress(OSError):
        for inner in folder.iterdir():
            if inner.is_dir() and not inner.is_symlink() and not inner.name.startswith("."):
                if (inner / _CONFIG).is_file():
                    yield inner
                elif depth > 1:
                    yield from _below(inner, depth - 1)


def _import(
    catalog: Catalog, place: Place, backbone: BackboneFacts | None, known: _Backbones, task: str | None
) -> Imported:
    found = find_adapter(place)
    facts = backbone or known.of(found)
    importable = prepare(found, facts, task=task)
    own = adapters.original(catalog, importable)
    record, new = (own, False) if own is not None else adapters.store(catalog, importable, facts)
    return Imported(place.source, record, new)


class _Backbones:
    """Finds the backbone of an adapter by what its folder says."""

    def __init__(self, catalog: Catalog, cache: Path) -> None:
        self._catalog = catalog
        self._cache = cache
        self._found: dict[str, BackboneFacts] = {}

    def of(self, found: FoundAdapter) -> BackboneFacts:
        """Return the backbone of an adapter.

        Raises:
            BackboneError: What it names is not to be found here.
        """
        for source in self._candidates(found):
            with suppress(AdapterlabError):
                facts = self._found.get(source) or backbones.locate(source, cache=self._cache)
                self._found[source] = facts
                if found.backbone_digest in (None, facts.weights_digest):
                    return facts
        said = found.base_model or found.card.base_model
        raise BackboneError(
            f"{found.place.source}: its backbone is not at hand"
            + (f"; it names {said!r} as its base model" if said else ", and it does not say which it is"),
            remedy="Name it: --backbone FOLDER, --backbone package:NAME or --backbone hub:OWNER/NAME@COMMIT.",
        )

    def _candidates(self, found: FoundAdapter) -> Iterator[str]:
        """Yield sources to look at: the folder's own, then what the catalog knows by digest or name, then the hub's."""
        own = None if found.facts is None else found.facts["backbone"].get("source")
        if isinstance(own, str):
            yield own
        names = [name for name in (found.base_model, found.card.base_model) if name]
        for one in self._catalog.backbones():
            if one.source is None:
                continue
            named = backbones.short_name(one.source) in names
            if one.digest == found.backbone_digest or (found.backbone_digest is None and named):
                yield one.source
        for name in names:
            if _NAME.fullmatch(name):
                yield f"hub:{name}"


def counted(results: list[Imported]) -> dict[str, int]:
    """Return how many were imported, were there already, and were refused."""
    states = [one.to_json()["state"] for one in results]
    return {state: states.count(state) for state in ("imported", "already there", "refused")}
