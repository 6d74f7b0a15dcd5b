"""A text, or several that extend each other, to a frozen spec; every fault at once, each where it stands."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from adapterlab import home
from adapterlab.errors import SpecError
from adapterlab.given_files import given_path
from adapterlab.spec import positions
from adapterlab.spec.complaints import Complaint, complaints_of, dotted, with_lists
from adapterlab.spec.documents import fault_at, format_of
from adapterlab.spec.faults import Fault, spec_error
from adapterlab.spec.layers import EXTENDS, Layers, layers_of, read_layers
from adapterlab.spec.model import SCHEMA_VERSION, Spec
from adapterlab.spec.overrides import Override, apply, parse_override
from adapterlab.spec.plugin_checks import overlap_warnings, plugin_complaints
from adapterlab.spec.text import SpecText, read_spec_text
from adapterlab.spec.toml_text import toml_document

_UPGRADE = "upgrade adapterlab: pip install --upgrade adapterlab"


@dataclass(frozen=True)
class LoadedSpec:
    """A valid spec together with where it came from."""

    spec: Spec
    path: str
    """As given: a file name, ``"-"`` for standard input, or ``"<the given spec>"``."""
    folder: Path
    """Absolute folder that relative paths in the file start from."""
    text: str
    """The file's own text, comments and all, with ``\\n`` line ends."""
    overrides: tuple[str, ...] = ()
    """The ``--set`` arguments, in order."""
    override_folder: Path = Path()
    """Absolute folder that relative paths in overrides start from: the current one."""
    texts: tuple[SpecText, ...] = ()
    """The file's text and those of the specs it extends, the nearest first."""
    complete_text: str = ""
    """A TOML text that says all of it without the specs it extends: ``text`` where there are none."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed, but may not be meant: pools that have seen a target's rows."""
        return overlap_warnings(self.spec)

    @property
    def data_root(self) -> Path | None:
        """``data.root`` as an absolute path."""
        root = self.spec.data.root
        return None if root is None else self._absolute(root, ("data", "root"))

    @property
    def task_folder(self) -> Path:
        """Absolute folder that the paths of ``[[task]]`` start from."""
        return self.override_folder if self._is_overridden(("task",)) else self.folder

    @property
    def backbone_source(self) -> str:
        """``backbone.source``, its folder absolute if it is one."""
        kind, _, rest = self.spec.backbone.source.partition(":")
        if kind != "folder":
            return self.spec.backbone.source
        return f"folder:{self._absolute(rest, ('backbone', 'source'))}"

    def resolved(self) -> Spec:
        """Return the spec with its paths absolute, as workers in other folders need it."""
        data, root = self.spec.data, self.data_root
        backbone = self.spec.backbone.model_copy(update={"source": self.backbone_source})
        if root is not None:
            data = data.model_copy(update={"root": str(root)})
        return self.spec.model_copy(update={"backbone": backbone, "data": data})

    @property
    def pool_folder(self) -> Path:
        """Absolute folder that the folders of ``[[pool.adapter]]`` start from."""
        return self.override_folder if self._is_overridden(("pool", "adapter")) else self.folder

    def is_written(self, key: positions.Path) -> bool:
        """Whether some text or ``--set`` says what a key is, in place of its default."""
        return self._is_overridden(key) or layers_of(self.texts).has(key)

    def stores(self) -> home.Stores:
        """Return where state is kept: command line > environment > spec > home folder."""
        spec, store = self.spec, self.spec.store
        blobs = store.blobs
        if blobs is not None and "://" not in blobs:
            blobs = str(self._absolute(blobs, ("store", "blobs")))
        chosen = home.stores(
            catalog=store.catalog, blobs=blobs, tracking=spec.tracking.uri, studies=store.studies
        )
        commanded = {
            "catalog": (("store", "catalog"), store.catalog),
            "blobs": (("store", "blobs"), blobs),
            "tracking": (("tracking", "uri"), spec.tracking.uri),
            "studies": (("store", "studies"), store.studies),
        }
        return replace(
            chosen,
            **{name: value for name, (key, value) in commanded.items() if value and self._is_overridden(key)},
        )

    def _absolute(self, path: str, key: positions.Path) -> Path:
        folder = self.override_folder if self._is_overridden(key) else self.folder
        there = given_path(folder / Path(os.path.expanduser(path)), ".".join(map(str, key)))  # noqa: PTH111
        return Path(os.path.realpath(there))

    def _is_overridden(self, key: positions.Path) -> bool:
        paths = [parse_override(text).path for text in self.overrides]
        return any(path == key[: len(path)] for path in paths)


def load_spec(spec: str | Path | Mapping[str, Any], overrides: Sequence[str] = ()) -> LoadedSpec:
    """Read, override and check a spec.

    Args:
        spec: A file of TOML, JSON (``.json``) or YAML (``.yaml``), ``"-"`` for standard input, or the spec itself as
            plain values; its relative paths then start from the current folder.
        overrides: ``KEY=VALUE`` each, as given to ``--set``; values are TOML, bare words are text.

    Raises:
        NotFoundError: There is no such file, or nothing that reads YAML is installed.
        SpecError: Anything else is wrong; ``details["faults"]`` lists every fault as a mapping
            with file, line, column, key, message, hint and the offending line.
    """
    return load_spec_text(
        _written_out(spec) if isinstance(spec, Mapping) else read_spec_text(spec), overrides
    )


def load_spec_text(source: SpecText, overrides: Sequence[str] = ()) -> LoadedSpec:
    """Override and check a spec whose text is at hand, with the specs it extends.

    Args:
        source: The text and where it stands.
        overrides: ``KEY=VALUE`` each, as given to ``--set``.

    Raises:
        NotFoundError: Nothing that reads YAML is installed.
        SpecError: Something is wrong; see :func:`load_spec`.
    """
    layers = read_layers(source)
    changes = [parse_override(text) for text in overrides]
    document = deepcopy(layers.table)
    refused = apply(document, [one for one in changes if one.path[:1] != (EXTENDS,)])
    refused += [(one, _too_late()) for one in changes if one.path[:1] == (EXTENDS,)]
    judge = _Judge(layers, changes)
    judge.refuse(refused)
    if _is_newer(document):
        judge.judge([_newer(document)])
        raise judge.error()
    document, lone = with_lists(Spec, document)
    judge.judge(lone)
    judge.judge(_as_written(complaints_of(Spec, document), lone))
    judge.judge(_as_written(plugin_complaints(document), lone))
    if judge.faults:
        raise judge.error()
    texts = tuple(one.source for one in layers.documents)
    return LoadedSpec(
        spec=Spec.model_validate(document),
        path=source.path,
        folder=source.folder,
        text=source.text,
        overrides=tuple(overrides),
        override_folder=Path.cwd(),
        texts=texts,
        complete_text=_complete_text(layers, overrides),
    )


def _written_out(values: Mapping[str, Any]) -> SpecText:
    """Return plain values as a text, so that faults can show a line.

    Raises:
        SpecError: They hold what no spec can.
    """
    name = "<the given spec>"
    try:
        text = toml_document(values)
    except (TypeError, AttributeError, RecursionError) as error:
        message = f"not plain values: {error}"
        raise spec_error([Fault(name, None, None, "", message)], name) from None
    return SpecText(path=name, name=name, folder=Path.cwd(), text=text)


def _complete_text(layers: Layers, overrides: Sequence[str]) -> str:
    """Return a TOML text that says all of a spec by itself: as written, where the file does."""
    first = layers.documents[0].source
    alone = len(layers.documents) == 1 and format_of(first) == "TOML"
    if alone and not overrides:
        return first.text
    names = " extends ".join(one.source.name for one in layers.documents)
    head = [] if alone else [f"# {' '.join(names.split())}, merged"]
    head += [f"# submitted with --set {' '.join(text.split())}" for text in overrides]
    return "\n".join([*head, first.text if alone else toml_document(layers.table)])


def _as_written(complaints: Sequence[Complaint], lone: Sequence[Complaint]) -> list[Complaint]:
    """Return complaints with the paths that the text has: one table where a list of one was read."""

    def written(path: positions.Path) -> positions.Path:
        for one in lone:
            size = len(one.path)
            if path[:size] == one.path and path[size : size + 1] == (0,):
                return (*path[:size], *path[size + 1 :])
        return path

    return [replace(one, path=written(one.path)) for one in complaints]


def _too_late() -> Complaint:
    message = "extends is for the spec's own text, which is read before any --set"
    return Complaint((EXTENDS,), "key", message, "write it in the file")


def _is_newer(document: dict[str, Any]) -> bool:
    version = document.get("schema_version")
    return isinstance(version, int) and not isinstance(version, bool) and version > SCHEMA_VERSION


def _newer(document: dict[str, Any]) -> Complaint:
    version = document["schema_version"]
    message = f"schema_version: this spec has format {version}, this adapterlab reads up to {SCHEMA_VERSION}"
    return Complaint(("schema_version",), "value", message, _UPGRADE)


def refused(loaded: LoadedSpec, complaints: Sequence[Complaint], others: Sequence[Fault] = ()) -> SpecError:
    """Return the error that says what is wrong with a spec that loaded, each fault where it stands.

    Args:
        loaded: From :func:`load_spec`.
        complaints: What was found when its inputs were looked at.
        others: Faults of its inputs themselves, told after those of the spec; of both at least one.
    """
    judge = _Judge(layers_of(loaded.texts), [parse_override(text) for text in loaded.overrides])
    judge.judge(list(complaints))
    judge.faults += others
    return judge.error()


class _Judge:
    """Finds where each complaint stands: in the file that wrote it, or at the override that caused it."""

    def __init__(self, layers: Layers, overrides: Sequence[Override]) -> None:
        self._layers = layers
        self._overrides = overrides
        self.faults: list[Fault] = []

    def refuse(self, refused: list[tuple[Override, Complaint]]) -> None:
        """Note overrides that could not be applied."""
        self.faults += [_override_fault(override, complaint) for override, complaint in refused]

    def judge(self, complaints: list[Complaint]) -> None:
        """Note complaints about the document."""
        for complaint in complaints:
            override = self._cause(complaint)
            self.faults.append(
                self._in_file(complaint) if override is None else _override_fault(override, complaint)
            )

    def error(self) -> SpecError:
        """Return the error that holds all of it: each file's faults, then the overrides' in their order."""
        names = [one.source.name for one in self._layers.documents]
        names += [f"--set {override.text}" for override in self._overrides]
        names += [fault.file for fault in self.faults]  # those of its inputs
        order = {name: number for number, name in reversed(list(enumerate(names)))}
        faults = sorted(self.faults, key=lambda fault: order[fault.file])
        return spec_error(faults, names[0])

    def _cause(self, complaint: Complaint) -> Override | None:
        """Return the override that a complaint is about: it set the path, or made the table there."""
        path = complaint.path
        for override in reversed(self._overrides):
            if override.path and override.path == path[: len(override.path)]:
                return override
        table = path[:-1] if complaint.kind == "missing" else path
        if not table or self._layers.has(table):
            return None
        return next((item for item in self._overrides if item.path[: len(table)] == table), None)

    def _in_file(self, complaint: Complaint) -> Fault:
        missing = complaint.kind == "missing"
        path = complaint.path[:-1] if missing else complaint.path
        document = self._layers.origin(path)
        places = document.positions
        span = places.find(path, value=complaint.kind == "value")
        key = dotted(complaint.path).removesuffix(": ")
        fault = fault_at(document.source, span.start, complaint.message, end=span.end, key=key)
        if missing and not path:  # the whole file lacks it: no line is to blame
            return replace(fault, hint=complaint.hint, source="")
        if (
            not document.positions.values and not document.positions.keys
        ):  # JSON, and nothing to find places with
            fault = replace(fault, line=None, column=None, source="")
        where = f" in [{dotted(path).removesuffix(': ')}]" if missing else ""
        return replace(fault, message=f"{complaint.message}{where}", hint=complaint.hint)


def _override_fault(override: Override, complaint: Complaint) -> Fault:
    return Fault(
        file=f"--set {override.text}",
        line=None,
        column=None,
        key=dotted(complaint.path).removesuffix(": "),
        message=complaint.message,
        hint=complaint.hint,
    )
