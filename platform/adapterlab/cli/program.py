"""What this program is called on this machine, so that every command it prints can be typed as printed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

NAME = "platform"
_COMMAND = re.compile(rf"(?<=`){NAME}(?= [a-z-])")
"""A command in a message, which stands in backticks."""


def called() -> str:
    """Return what to type: ``platform`` where a shell finds this very program by that name, else how it was called."""
    return _called(sys.argv[0], os.environ.get("PATH"))


@cache
def _called(script: str, search: str | None) -> str:
    path = Path(script)
    if path.name == "__main__.py" and path.parent.name == "cli":
        return f"{_typed(sys.executable)} -m adapterlab.cli"
    if path.name != NAME:
        return NAME  # inside another program, whose user has a shell of their own
    found = shutil.which(NAME, path=search)
    if found is not None and os.path.realpath(found) == os.path.realpath(path):
        return NAME
    return _typed(str(path)) if path.parent != Path() else NAME


def _typed(path: str) -> str:
    """Return a path as a shell takes it, from here where it is below here."""
    here = os.path.relpath(path)
    return shlex.quote(path if here.startswith(os.pardir) else here)


def activation() -> str | None:
    """Return the line after which a shell finds the program by its name; ``None``: it does, or no such line is known."""
    script = Path(sys.argv[0]).parent / "activate"
    return None if called() == NAME or not script.is_file() else f"source {_typed(str(script))}"


def as_called(text: str) -> str:
    """Return a message with the commands in it as they can be typed."""
    name = called()
    return text if name == NAME else _COMMAND.sub(lambda _: name, text)


def next_steps(steps: Sequence[tuple[str, str]]) -> list[str]:
    """Return lines that say what can be typed next, and what it does.

    Args:
        steps: Arguments of the program, such as ``"report mine"``, and what they are for.
    """
    name, activate = called(), activation()
    commands = [f"{name} {arguments}" for arguments, _ in steps]
    width = max(map(len, commands))
    lines = ["Next:"]
    lines += [
        f"  {command:<{width}}  {meaning}" for command, (_, meaning) in zip(commands, steps, strict=True)
    ]
    if activate is not None:
        lines.append(f"After `{activate}` it is called {NAME} in this shell.")
    return lines
