"""The reference page of the command line: ``python -m adapterlab.cli.reference docs/reference/cli.md``.

Made from the commands themselves, so that every command, argument and option is on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import typer

from adapterlab.cli.commands import COMMANDS, SETUP, STORES, SWEEPS, load
from adapterlab.cli.main import app
from adapterlab.cli.program import NAME as PROGRAM
from adapterlab.given_files import write_page

_HEAD = f"""\
# The command line

Every command with its arguments and options, as `{PROGRAM} COMMAND --help` shows them. This page is generated
from the commands by `python -m adapterlab.cli.reference docs/reference/cli.md`; edit those.

`--json` prints what a command shows as JSON for other programs, errors included: an object with `error`,
`message`, `remedy` and `exit_code`. Data goes to standard output, progress and messages to standard error.

| exit code | what it says |
|---|---|
| 0 | done |
| 1 | failed; `doctor`: something is broken |
| 2 | the command line is wrong |
| 3 | the spec or its data is invalid, or the backbone is not the right one |
| 4 | a file, task, backbone, sweep or record does not exist |
| 5 | somebody else holds it, a schema does not fit, or a store cannot be reached |
| 6 | the sweep ended, but some of its steps failed |
| 7 | the sweep's budget (`cluster.max_hours`) is spent; what is done is kept |
| 130 | interrupted by Ctrl-C, or cancelled; 143: by SIGTERM |
"""


_OF_THE_SHELL = ("install_completion", "show_completion")
"""Typer's own options, which read differently from one shell to the next."""


@dataclass(frozen=True)
class Command:
    """One command as its help describes it."""

    words: str
    """As typed after the program's name: ``"catalog list"``."""
    click: Any


def commands() -> Iterator[Command]:
    """Yield every command that can be called, groups' own commands included."""
    for name in COMMANDS:
        command = load(name)
        if hasattr(command, "commands"):
            for child, inner in command.commands.items():
                yield Command(f"{name} {child}", inner)
        else:
            yield Command(name, command)


def page() -> str:
    """Return the page as Markdown."""
    return "\n".join([_HEAD, *_root(), *_sections()])


def _root() -> Iterator[str]:
    yield "## Options of every command\n"
    yield "`--verbose` and `--quiet` may stand anywhere on the line.\n"
    yield _table(_rows(typer.main.get_command(app)))
    yield (
        "`--install-completion` and `--show-completion` set up completion in the shell you call them from, or in the "
        "one that is named behind them: `--install-completion zsh`.\n"
    )


def _sections() -> Iterator[str]:
    known = {command.words: command for command in commands()}
    for section in (SWEEPS, STORES, SETUP):
        yield f"## {section}\n"
        for name, entry in COMMANDS.items():
            if entry.section != section:
                continue
            members = [one for words, one in known.items() if words.split()[0] == name]
            if members[0].words != name:
                yield f"### `{PROGRAM} {name}`\n"
                yield f"{entry.summary}\n"
            for command in members:
                level = "###" if command.words == name else "####"
                yield f"{level} `{PROGRAM} {command.words}`\n"
                yield from _body(command)


def _body(command: Command) -> Iterator[str]:
    rows = list(_rows(command.click))
    arguments = [typed.split(" <")[0] for typed, _ in rows if not typed.startswith("-")]
    yield f"```text\n{' '.join([PROGRAM, command.words, *arguments, '[OPTIONS]'])}\n```\n"
    yield f"{_text(command.click.help or '')}\n"
    yield _table(rows)


def _rows(click: Any) -> Iterator[tuple[str, str]]:
    """Yield each parameter as typed, and what it means, both as the help says it."""
    with typer.Context(click) as context:
        for parameter in click.params:
            record = parameter.get_help_record(context)
            if record is not None and parameter.name not in _OF_THE_SHELL:
                yield record


def _table(rows: Iterable[tuple[str, str]]) -> str:
    lines = [f"| `{_cell(typed)}` | {_cell(_text(meaning))} |" for typed, meaning in rows]
    return "\n".join(["| argument or option | meaning |", "|---|---|", *lines]) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _text(text: str) -> str:
    """Help text as Markdown: brackets and asterisks in it are no markup."""
    return (
        text.replace("\b", "")
        .replace("<", "&lt;")
        .replace("*", "\\*")
        .replace("[", "\\[")
        .replace("  \\[", " \\[")
        .strip()
    )


if __name__ == "__main__":
    write_page(page, "adapterlab.cli.reference")
