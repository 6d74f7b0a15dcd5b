"""What the program is called: whatever is printed can be typed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from adapterlab.cli import program

SCRIPT = """#!{python}
import sys
from adapterlab.cli.program import as_called, next_steps
print("\\n".join([*next_steps([("ui", "look"), ("report mine", "again")]), as_called("See `platform status`.")]))
"""


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """A folder with a program called platform, as an environment has it."""
    folder = tmp_path / ".venv" / "bin"
    folder.mkdir(parents=True)
    (folder / "platform").write_text(SCRIPT.format(python=sys.executable))
    (folder / "platform").chmod(0o755)
    (folder / "activate").write_text(f'PATH="{folder}:$PATH"\n')
    return folder


def typed(line: str, folder: Path, path: str = "/usr/bin:/bin") -> list[str]:
    pythonpath = str(Path(program.__file__).parents[2])
    done = subprocess.run(
        ["bash", "-c", line], cwd=folder, env={"PATH": path, "PYTHONPATH": pythonpath},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()


def test_a_program_off_the_path_prints_how_it_was_called(venv: Path, tmp_path: Path) -> None:
    lines = typed(".venv/bin/platform", tmp_path)
    assert lines[1] == "  .venv/bin/platform ui           look"
    assert lines[3] == "After `source .venv/bin/activate` it is called platform in this shell."
    assert lines[4] == "See `.venv/bin/platform status`."
    again = typed(lines[1].split("  ")[1], tmp_path)  # as printed
    assert again == lines


def test_after_the_line_it_names_it_goes_by_its_name(venv: Path, tmp_path: Path) -> None:
    lines = typed("source .venv/bin/activate && platform", tmp_path)
    assert lines == ["Next:", "  platform ui           look", "  platform report mine  again",
                     "See `platform status`."]  # fmt: skip


def test_another_program_of_that_name_is_not_meant(venv: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "platform").write_text("#!/bin/sh\n")
    (other / "platform").chmod(0o755)
    assert typed(".venv/bin/platform", tmp_path, f"{other}:/usr/bin:/bin")[1].startswith(
        "  .venv/bin/platform ui"
    )


def test_a_path_with_spaces_is_quoted(venv: Path, tmp_path: Path) -> None:
    home = tmp_path / "my home"
    venv.parent.rename(tmp_path / "env")
    (tmp_path / "env").rename(home)
    lines = typed("'my home/bin/platform'", tmp_path)
    assert typed(lines[1].split("  ")[1], tmp_path) == lines


def test_inside_another_program_the_plain_name_is_printed() -> None:
    assert program.as_called("`platform status`") == "`platform status`"
