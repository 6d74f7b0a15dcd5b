"""The committed page of the command line is the generated one, and leaves nothing out."""

from __future__ import annotations

from pathlib import Path

import typer

from adapterlab.cli.commands import COMMANDS, load
from adapterlab.cli.main import app
from adapterlab.cli.reference import commands, page

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"


def test_the_committed_page_is_what_the_commands_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), (
        "the commands changed: run `python -m adapterlab.cli.reference docs/reference/cli.md`"
    )


def test_every_command_has_a_section() -> None:
    sections = page().split("\n#")
    listed = typer.main.get_command(app).commands
    assert set(listed) == set(COMMANDS)
    for name in COMMANDS:
        assert any(section.startswith(f"## `platform {name}`\n") for section in sections)
        for child in getattr(load(name), "commands", {}):
            assert any(section.startswith(f"### `platform {name} {child}`\n") for section in sections)


def test_every_option_is_in_its_command_s_section() -> None:
    text = page()
    for command in commands():
        section = text.split(f"# `platform {command.words}`\n", 1)[1].split("\n#", 1)[0]
        assert command.click.params or command.words == "schema"
        for parameter in command.click.params:
            assert getattr(parameter, "help", None), f"{command.words}: {parameter.name} has no help"
            for spelled in parameter.opts if parameter.param_type_name == "option" else ():
                assert f"{spelled}" in section, f"{command.words}: {spelled} is not on the page"
