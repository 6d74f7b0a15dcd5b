"""What the documents name exists: files, modules, commands, rooms, links, the public API."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

import adapterlab
from adapterlab.cli.commands import COMMANDS
from documents import DOCS, PAGES, REPOSITORY, is_said

TOPS = ("platform", "plugins", "tests", "docs", "specs", "alembic", "benchmarks", ".ci")
ROOTS = (REPOSITORY, REPOSITORY / "platform" / "adapterlab", REPOSITORY / "plugins", DOCS)
PACKAGE = REPOSITORY / "platform" / "adapterlab"

_PATH = re.compile(r"(?<![\w/.:$<{])((?:\.?[\w-]+/)+[\w-]*(?:\.\w+)*/?)")
_MODULE = re.compile(r"(?<![\w./-])adapterlab(?:_[a-z_]+)?(?:\.\w+)+")
_OWN_FILE = re.compile(r"File `([^`]+)`:")


def _id(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


def _paths(page: Path) -> set[str]:
    """Paths that mean this repository's files: below a folder of its top, or Python files anywhere."""
    text = page.read_text(encoding="utf-8")
    own = set(_OWN_FILE.findall(text))
    found = {match.rstrip(".") for match in _PATH.findall(text)}
    return {path for path in found - own if path.split("/")[0] in TOPS or path.endswith(".py")}


def _exists(path: str, page: Path) -> bool:
    return any((root / path).exists() for root in (*ROOTS, page.parent))


def test_wrong_names_would_be_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("See `plan/compile.py`, platform/adapterlab/api.py and `adapterlab.plan.compile`.")
    assert _paths(page) == {"plan/compile.py", "platform/adapterlab/api.py"}
    assert not _exists("plan/compile.py", page)
    assert _exists("platform/adapterlab/api.py", page)
    assert not _is_module("adapterlab.planning.nothing")
    assert _is_module("adapterlab.planning.compile.Plan.key")


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_every_path_that_is_mentioned_exists(page: Path) -> None:
    assert [path for path in sorted(_paths(page)) if not _exists(path, page)] == []


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_every_python_file_without_a_folder_is_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    own = {Path(path).name for path in _OWN_FILE.findall(text)}
    named = set(re.findall(r"(?<![\w/.-])([\w-]+\.py)\b", text)) - own
    assert [name for name in sorted(named) if not any(_found(name))] == []


def _found(name: str) -> list[Path]:
    return [path for top in TOPS for path in (REPOSITORY / top).rglob(name)]


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_every_dotted_name_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    own = {Path(path).stem for path in _OWN_FILE.findall(text)}
    names = {name for name in _MODULE.findall(text) if name.split(".")[0] not in own}
    assert [name for name in sorted(names) if not _is_module(name) and not _is_text(name)] == []


def _is_text(name: str) -> bool:
    """Whether the code has a name as text: an entry point's group, a file's name, a tag."""
    return is_said(name) or is_said(f"{name.rpartition('.')[0]}.…")


def _is_module(name: str) -> bool:
    """Whether a name can be imported, or is an attribute (or a dataclass's field) of what can."""
    words = name.split(".")
    for length in range(len(words), 0, -1):
        try:
            found = import_module(".".join(words[:length]))
        except ModuleNotFoundError:
            continue
        for word in words[length:]:
            annotations = getattr(found, "__annotations__", {})
            if not hasattr(found, word) and word not in annotations:
                return False
            found = getattr(found, word, None)
        return True
    return False


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_every_command_that_is_mentioned_exists(page: Path) -> None:
    named = set(re.findall(r"(?:^\$ |`)platform ([a-z]+)", page.read_text(encoding="utf-8"), re.MULTILINE))
    assert named <= COMMANDS.keys()


@pytest.mark.parametrize("page", [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md"], ids=_id)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[\w-]+)?\)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", [REPOSITORY / "README.md", DOCS / "concepts.md"], ids=_id)
def test_the_map_has_every_room(page: Path) -> None:
    rooms = {
        path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    text = page.read_text(encoding="utf-8")
    missing = {room for room in rooms - {"__init__"} if not re.search(rf"\b{room}\b", text)}
    assert missing == set()


def test_the_picture_has_every_room() -> None:
    picture = (DOCS / "images" / "architecture.svg").read_text(encoding="utf-8")
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert {room for room in rooms if f">{room}<" not in picture} == set()


def test_the_api_s_page_has_every_public_function() -> None:
    shown = re.findall(
        r"^::: adapterlab\.[\w.]+\.(\w+)$", (DOCS / "reference" / "api.md").read_text(), re.MULTILINE
    )
    assert set(adapterlab.__all__) - {"__version__"} <= set(shown)
