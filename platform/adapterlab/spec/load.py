"""TOML text to a frozen spec; every fault at once, each where it stands."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from adapterlab import home
from adapterlab.errors import SpecError
from adapterlab.given_files import given_path
from adapterlab.spec import positions
from adapterlab.spec.complaints import Complaint, complaints_of, dotted
from adapterlab.spec.faults import Fault, spec_error
from adapterlab.spec.model import SCHEMA_VERSION, Spec
from adapterlab.spec.overrides import Override, apply, parse_override
from adapterlab.spec.plugin_checks import overlap_warnings, plugin_complaints
from adapterlab.spec.text import SpecText, read_spec_text

_UPGRADE = "upgrade adapterlab: pip install --upgrade adapterlab"

_SYNTAX_HINTS = {
    "Expected '=' after a key": "every line is KEY = VALUE, a [table] or a # comment",
    "Invalid statement": 'every line is KEY = VALUE, a [table] or a # comment; unusual keys need "quotes"',
    "Invalid value": 'text goes in "quotes"; true and false are written small',
    "Cannot": "it is there twice; keep one",
}


@dataclass(frozen=True)
class LoadedSpec:
    """A valid spec together with where it came from."""

    spec: Spec
    path: str
    """As given: a file name, or ``"-"`` for standard input."""
    folder: Path
    """Absolute folder that relative paths in the file start from."""
    text: str
    """The file's text, comments and all, with ``\\n`` line ends."""
    overrides: tuple[str, ...] = ()
    """The ``--set`` arguments, in order."""
    override_folder: Path = Path()
    """Absolute folder that relative paths in overrides start from: the current one."""

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


def load_spec(path: str | Path, overrides: Sequence[str] = ()) -> LoadedSpec:
    """Read, override and check a spec.

    Args:
        path: A TOML file, or ``"-"`` for standard input.
        overrides: ``KEY=VALUE`` each, as given to ``--set``; values are TOML, bare words are text.

    Raises:
        NotFoundError: There is no such file.
        SpecError: Anything else is wrong; ``details["faults"]`` lists every fault as a mapping
            with file, line, column, key, message, hint and the offending line.
    """
    return load_spec_text(read_spec_text(path), overrides)


def load_spec_text(source: SpecText, overrides: Sequence[str] = ()) -> LoadedSpec:
    """Override and check a spec whose text is at hand.

    Args:
        source: The text and where it stands.
        overrides: ``KEY=VALUE`` each, as given to ``--set``.

    Raises:
        SpecError: Something is wrong; see :func:`load_spec`.
    """
    document = _parse(source)
    changes = [parse_override(text) for text in overrides]
    refused = apply(document, changes)
    judge = _Judge(source, changes)
    judge.refuse(refused)
    if _is_newer(document):
        judge.judge([_newer(document)])
        raise judge.error()
    judge.judge(complaints_of(Spec, document))
    judge.judge(plugin_complaints(document))
    if judge.faults:
        raise judge.error()
    return LoadedSpec(
        spec=Spec.model_validate(document),
        path=source.path,
        folder=source.folder,
        text=source.text,
        overrides=tuple(overrides),
        override_folder=Path.cwd(),
    )


def _parse(source: SpecText) -> dict[str, Any]:
    heavy = positions.oversized(source.text)
    if heavy is not None:
        raise spec_error([_fault_at(source, heavy[0], f"too large to be a spec: {heavy[1]}")], source.name)
    try:
        return tomllib.loads(source.text)
    except (ValueError, RecursionError) as error:
        raise spec_error([_syntax_fault(source, error)], source.name) from None


def _syntax_fault(source: SpecText, error: Exception) -> Fault:
    """Turn the parser's message, which holds the position as text, into a fault."""
    message = str(error)
    found = re.search(r" \(at line (\d+), column (\d+)\)$", message)
    if found:
        lines = source.text.split("\n")
        offset = sum(len(text) + 1 for text in lines[: int(found[1]) - 1]) + int(found[2]) - 1
        message = message[: found.start()]
    elif message.endswith(" (at end of document)"):
        offset = len(source.text.rstrip())
        message = message.removesuffix(" (at end of document)")
    elif isinstance(error, RecursionError):
        offset, message = 0, "nested too deep"
    else:  # Python's own limit on the digits of a whole number
        number = re.search(r"\d[\d_]{4000,}", source.text)
        offset, message = number.start() if number else 0, "a whole number of thousands of digits"
    hint = next((hint for start, hint in _SYNTAX_HINTS.items() if message.startswith(start)), None)
    return replace(
        _fault_at(source, offset, f"not valid TOML: {message[:1].lower()}{message[1:]}"), hint=hint
    )


def _fault_at(source: SpecText, offset: int, message: str, *, end: int = 0, key: str = "") -> Fault:
    line, column = positions.line_column(source.text, offset)
    start = offset - column + 1
    stop = source.text.find("\n", offset)
    text = source.text[start : stop if stop >= 0 else len(source.text)]
    width = max(1, min(end, start + len(text)) - offset)
    return Fault(source.name, line, column, key, message, source=text, width=width)


def _is_newer(document: dict[str, Any]) -> bool:
    version = document.get("schema_version")
    return isinstance(version, int) and not isinstance(version, bool) and version > SCHEMA_VERSION


def _newer(document: dict[str, Any]) -> Complaint:
    version = document["schema_version"]
    message = f"schema_version: this spec has format {version}, this adapterlab reads up to {SCHEMA_VERSION}"
    return Complaint(("schema_version",), "value", message, _UPGRADE)


def refused(loaded: LoadedSpec, complaints: Sequence[Complaint]) -> SpecError:
    """Return the error that says what is wrong with a spec that loaded, each fault where it stands.

    Args:
        loaded: From :func:`load_spec`.
        complaints: What was found when its inputs were looked at, at least one.
    """
    name = "<stdin>" if loaded.path == "-" else loaded.path
    source = SpecText(path=loaded.path, name=name, folder=loaded.folder, text=loaded.text)
    judge = _Judge(source, [parse_override(text) for text in loaded.overrides])
    judge.judge(list(complaints))
    return judge.error()


class _Judge:
    """Finds where each complaint stands: in the file, or at the override that caused it."""

    def __init__(self, source: SpecText, overrides: Sequence[Override]) -> None:
        self._source = source
        self._overrides = overrides
        self._positions: positions.Positions | None = None
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
        """Return the error that holds all of it: the file's faults, then the overrides' in their order."""
        order = {f"--set {override.text}": number for number, override in enumerate(self._overrides)}
        faults = sorted(self.faults, key=lambda fault: order.get(fault.file, -1))
        return spec_error(faults, self._source.name)

    def _key_positions(self) -> positions.Positions:
        if self._positions is None:
            self._positions = positions.locate(self._source.text)
        return self._positions

    def _cause(self, complaint: Complaint) -> Override | None:
        """Return the override that a complaint is about: it set the path, or made the table there."""
        path = complaint.path
        for override in reversed(self._overrides):
            if override.path and override.path == path[: len(override.path)]:
                return override
        table = path[:-1] if complaint.kind == "missing" else path
        if not table or table in self._key_positions().keys:
            return None
        return next((item for item in self._overrides if item.path[: len(table)] == table), None)

    def _in_file(self, complaint: Complaint) -> Fault:
        missing = complaint.kind == "missing"
        path = complaint.path[:-1] if missing else complaint.path
        span = self._key_positions().find(path, value=complaint.kind == "value")
        key = dotted(complaint.path).removesuffix(": ")
        fault = _fault_at(self._source, span.start, complaint.message, end=span.end, key=key)
        if missing and not path:  # the whole file lacks it: no line is to blame
            return replace(fault, hint=complaint.hint, source="")
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
