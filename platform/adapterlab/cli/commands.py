"""The commands by name, and the group that imports one only when it is called.

A module ``adapterlab.cli.<name>`` defines either ``app``, a :class:`typer.Typer` with commands of
its own, or a function ``command`` with Typer's annotations. A command returns ``None`` for
success, or its exit code.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup


@dataclass(frozen=True)
class Entry:
    """One line of ``platform --help``."""

    summary: str
    section: str
    works: bool | frozenset[str] = False
    """Whether it does more than print: its exit code stands even where nobody reads what it says. Of a group, which
    of its commands do."""

    def does_more_than_print(self, words: Sequence[str]) -> bool:
        """Return whether a call of it does.

        Args:
            words: What stands behind its name.
        """
        if isinstance(self.works, bool):
            return self.works
        return next((word for word in words if not word.startswith("-")), None) in self.works


SWEEPS, STORES, SETUP = "Sweeps", "Results and stores", "Setting up"

COMMANDS: Mapping[str, Entry] = {
    "init": Entry("Write a commented starter spec; it asks, or takes options.", SWEEPS, works=True),
    "validate": Entry("Check a spec; show every fault with its line.", SWEEPS),
    "plan": Entry("Show what a spec would train, what is done already, and what it costs.", SWEEPS),
    "submit": Entry("Run a spec; run it again to resume or to reuse.", SWEEPS, works=True),
    "status": Entry("Show how far sweeps are.", SWEEPS),
    "watch": Entry("Follow a running sweep to its end.", SWEEPS, works=True),
    "logs": Entry("Show what a sweep's submits said on this machine.", SWEEPS),
    "cancel": Entry("Stop a sweep so that it can be resumed.", SWEEPS, works=True),
    "archive": Entry("Put a sweep away, so that status does not list it.", SWEEPS, works=True),
    "tag": Entry("Give a sweep tags; show those it has.", SWEEPS, works=True),
    "note": Entry("Note something of a sweep.", SWEEPS, works=True),
    "report": Entry("Show a sweep's results as a table.", STORES),
    "contributions": Entry("Show what each source contributes to a transfer.", STORES),
    "catalog": Entry(
        "List and inspect adapters and transfers, and where they come from.",
        STORES,
        works=frozenset({"import", "export", "publish", "copy", "tag", "note", "rename", "remove", "gc"}),
    ),
    "export": Entry("Write an adapter or a transfer for AdapterHub or PEFT.", STORES, works=True),
    "predict": Entry("Show what an adapter or a transfer says of texts.", STORES),
    "evaluate": Entry("Show how good an adapter or a transfer is on labelled rows.", STORES),
    "ui": Entry("Open the tracked runs in the browser.", STORES, works=True),
    "db": Entry("Create, upgrade and check the catalog's schema.", STORES, works=frozenset({"upgrade"})),
    "tasks": Entry("List tasks, show one as the model will see it, check their data.", SETUP),
    "schema": Entry("Print the spec's JSON Schema, for editors.", SETUP),
    "doctor": Entry("Check this machine: packages, folders, databases, accelerators.", SETUP),
}


class Stopped(Exception):  # noqa: N818 - no error: somebody asked for it
    """A command was left by a signal; Typer makes one exit code of all that it sees as a keyboard's interrupt.

    Args:
        number: Of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class LazyGroup(TyperGroup):
    """Lists commands from the table and imports only the one that is called."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name, entry in COMMANDS.items():
            if find_spec(f"adapterlab.cli.{name}") is not None:
                self.commands[name] = TyperCommand(name=name, help=entry.summary)
        self._loaded: set[str] = set()

    def invoke(self, ctx: Any) -> Any:
        """Call the command; an interruption leaves it with its signal's number.

        Raises:
            Stopped: A signal interrupted it.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stopped:
            raise Stopped(getattr(stopped, "number", signal.SIGINT)) from stopped

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Find the command that ``args`` begin with, and import it."""
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None and name in COMMANDS and name not in self._loaded:
            self._loaded.add(name)
            command = self.commands[name] = load(name)
        return name, command, rest

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands in sections, in the order in which one meets them."""
        names = self.list_commands(ctx)
        for section in (SWEEPS, STORES, SETUP):
            rows = [(name, COMMANDS[name].summary) for name in names if COMMANDS[name].section == section]
            if rows:
                with formatter.section(section):
                    formatter.write_dl(rows, col_max=20)


def load(name: str) -> Any:
    """Import a command, or a group of commands, and return it as Typer's own object."""
    module = import_module(f"adapterlab.cli.{name}")
    app = getattr(module, "app", None)
    if app is None:
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(name=name)(module.command)
    app.rich_markup_mode = None  # help is plain text; square brackets in it are TOML
    app._add_completion = False
    command = typer.main.get_command(app)
    command.name = name
    return command
