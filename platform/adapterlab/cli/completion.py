"""Shell completion: what may stand next on the line, told in a fraction of a second.

Typer's own mechanism calls the program with ``_PLATFORM_COMPLETE`` set and says what was typed. To answer, Typer would
import the command, and with it the catalog and the spec, a second of computing at every Tab. So what commands, tasks
and spec keys there are is kept in a file of this machine's cache, made anew whenever the code or the plug-ins change.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import typer

from adapterlab.cli.program import NAME as PROGRAM

VARIABLE = "_PLATFORM_COMPLETE"
"""Set by the shell's side of it; its value is ``complete_<shell>``."""

_SETTING_UP = ("--show-completion", "--install-completion")

Item = tuple[str, str]
"""What may stand there, and what it is; the second may be empty."""

_OPEN_ENDED = """\
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && type compopt &> /dev/null; then
        compopt -o nospace 2> /dev/null
    fi
"""
"""Of bash's script. Bash 3.2, which macOS has, knows no ``compopt``."""
_FORMAT = 1
_MOST = 500
"""Records of a catalog that are offered; whoever has more types a digit."""
_KINDS = {
    "SWEEP": "sweeps", "KEY": "keys", "KEY_OR_FOLDER": "keys", "TRANSFER": "keys", "TASK": "tasks", "PATTERN": "tasks",
    "KEY=VALUE": "settings", "--task": "tasks", "--combiner": "kinds", "--method": "kinds", "--targets": "tasks",
    "--sources": "tasks",
}  # fmt: skip
"""What completes a parameter, by its metavar or one of its options."""


def answer() -> bool:
    """Print what may stand next, where a shell asks; return whether one did."""
    instruction = os.environ.get(VARIABLE, "")
    if not instruction.startswith("complete_"):
        return False
    shell = instruction.removeprefix("complete_")
    try:
        typers: Any = import_module("typer.completion")
        typers.completion_init()
        kind = typers.shell_completion.get_completion_class(shell)
        item = typers.shell_completion.CompletionItem
    except (ImportError, AttributeError):  # another Typer: it answers by itself, a second later
        return False
    if kind is None:
        return False
    trim = ""
    if shell == "bash":
        trim = _join_words(os.environ)
    asked = kind(None, {}, "platform", VARIABLE)
    asked.get_completions = lambda args, word: [
        item(value.removeprefix(trim), help=meaning or None) for value, meaning in complete(args, trim + word)
    ]
    typer.echo(_for_zsh(asked) if shell == "zsh" else asked.complete())
    return True


def set_up(words: Sequence[str]) -> int | None:
    """Show or install the script of the shell that is named behind the option; ``None`` where none is.

    Typer's own two options take no name: they ask which shell called. In a pipe or a provisioning script that is
    another one than the user's.

    Args:
        words: The words after the program's name.

    Returns:
        The exit code.
    """
    if not words or words[0] not in _SETTING_UP:
        return None
    _leave_keys_open_in_bash()
    if len(words) != 2 or words[1].startswith("-"):
        return None
    typers: Any = import_module("typer.completion")
    option, shell = words
    named = [str(one) for one in typers.Shells]
    if shell not in named:
        typer.echo(f"{option}: no shell is called {shell!r}; use one of: {', '.join(named)}", err=True)
        return 2
    if option == "--show-completion":
        typer.echo(typers.get_completion_script(prog_name=PROGRAM, complete_var=VARIABLE, shell=shell))
        return 0
    _, path = typers.install(shell=shell, prog_name=PROGRAM, complete_var=VARIABLE)
    typer.echo(f"{shell} completion installed in {path}; a new shell has it")
    return 0


def _leave_keys_open_in_bash() -> None:
    """Keep bash from putting a space behind the only thing that may stand there, where that is ``search.trials=``."""
    with suppress(ImportError, AttributeError, KeyError):  # another Typer: the space has to be taken back
        scripts: dict[str, str] = import_module("typer._completion_shared")._completion_scripts
        if "compopt" not in scripts["bash"]:
            scripts["bash"] = scripts["bash"].replace("    return 0\n", f"{_OPEN_ENDED}    return 0\n")


def _for_zsh(asked: Any) -> str:
    """Return what zsh evaluates: Typer's own form would put a space behind ``search.trials=``."""
    items = asked.get_completions(*asked.get_completion_args())
    if not items:
        return "_files"
    open_ended, closed = ([], [])  # type: tuple[list[str], list[str]]
    for item in items:
        value = str(item.value).replace("\\", "\\\\").replace(":", "\\:")
        meaning = " ".join((item.help or "").split())
        told = f"{value}:{meaning}" if meaning else value
        (open_ended if value.endswith("=") else closed).append(shlex.quote(told))
    return (
        f"local -a open_ended=({' '.join(open_ended)}) closed=({' '.join(closed)}); "
        "_describe -V word open_ended -S '' -- closed"
    )


def complete(before: Sequence[str], word: str) -> list[Item]:
    """Return what may stand in place of the word that is being typed.

    Args:
        before: The words between the program's name and it.
        word: What is typed of it.
    """
    try:
        found = list(_offered(list(before), word, described()))
    except Exception:
        if os.environ.get("ADAPTERLAB_DEBUG"):
            raise
        return []
    return [(value, meaning) for value, meaning in found if value.startswith(word)]


def _offered(before: Sequence[str], word: str, known: Mapping[str, Any]) -> Iterator[Item]:
    command, rest = _found(before, known["commands"])
    if "commands" in command:
        yield from ((name, inner["help"]) for name, inner in command["commands"].items())
        return
    options = {name: one for one in command["options"] for name in one["names"]}
    place, pending = _progress(rest, options)
    if pending is not None:
        yield from _values(pending, word, known)
    elif word.startswith("-"):
        yield from ((name, one["help"]) for name, one in options.items())
    elif command["arguments"]:
        index = min(place, len(command["arguments"]) - 1)
        if place == index or command["arguments"][index]["many"]:
            yield from _values(command["arguments"][index], word, known)


def _found(words: Sequence[str], command: Mapping[str, Any]) -> tuple[Mapping[str, Any], Sequence[str]]:
    """Return the command that words begin with, and the rest of them."""
    for number, one in enumerate(words):
        if "commands" not in command:
            return command, words[number:]
        if one in command["commands"]:
            command = command["commands"][one]
        elif not one.startswith("-"):  # flags may stand anywhere; anything else is no command's
            break
    return command, ()


def _progress(
    words: Sequence[str], options: Mapping[str, Mapping[str, Any]]
) -> tuple[int, Mapping[str, Any] | None]:
    """Return how many arguments there are, and the option that still waits for its value."""
    place, pending = 0, None
    for one in words:
        if pending is not None:
            pending = None
        elif one in options:
            pending = options[one] if options[one]["value"] else None
        else:
            place += 1
    return place, pending


def _values(parameter: Mapping[str, Any], word: str, known: Mapping[str, Any]) -> Iterator[Item]:
    if parameter["choices"]:
        yield from ((name, "") for name in parameter["choices"])
        return
    sources: dict[str, Callable[[], Iterable[Item]]] = {
        "sweeps": sweeps, "keys": keys, "tasks": lambda: [(name, about) for name, about in known["tasks"]],
        "kinds": lambda: ((name, "") for name in kinds()), "settings": lambda: settings(word, known["settings"]),
    }  # fmt: skip
    source = sources.get(str(parameter["kind"]))
    if source is not None:
        yield from source()


def settings(word: str, known: Sequence[Mapping[str, Any]]) -> Iterator[Item]:
    """Yield what a ``--set`` may say: keys, and behind the ``=`` values where they are a few names."""
    key, equals, _ = word.partition("=")
    fitting = [one for one in known if (one["path"] == key if equals else one["path"].startswith(key))]
    if not equals and len(fitting) > 1:
        yield from ((f"{one['path']}=", one["meaning"]) for one in fitting)
        return
    for one in fitting:  # with its values, a shell puts no space behind the only key
        yield f"{one['path']}=", one["meaning"]
        named = kinds(one["plugins"]) if one["plugins"] else one["values"]
        yield from ((f"{one['path']}={value}", "") for value in named)


def kinds(groups: Sequence[str] = ("combiners", "adapter_methods")) -> tuple[str, ...]:
    """Return the names of the installed combiners and adapter methods; nothing is imported."""
    found = entry_points()
    return tuple(
        dict.fromkeys(point.name for group in groups for point in found.select(group=f"adapterlab.{group}"))
    )


def sweeps() -> Iterator[Item]:
    """Yield the names of the sweeps in the catalog, the newest first."""
    for name, state in _asked("SELECT name, state FROM {}sweeps ORDER BY created_at DESC"):
        yield str(name), str(state)


def keys() -> Iterator[Item]:
    """Yield the keys of the catalog's transfers and adapters as far as one types them, the newest first."""
    for table, made in (("transfers", "combiner"), ("adapters", "method")):
        statement = f"SELECT key, task, {made}, seed FROM {{}}{table} ORDER BY created_at DESC"  # noqa: S608
        for key, task, by, seed in _asked(statement):
            yield str(key)[:12], f"{task} {by} seed {seed}"


def _asked(statement: str) -> list[tuple[Any, ...]]:
    """Return rows of the catalog, asked without the database library; of one that cannot be reached none."""
    from adapterlab import home

    url = home.stores().catalog
    file = home.sqlite_file(url)
    if file is not None:
        import sqlite3

        with (
            suppress(sqlite3.Error),
            closing(
                sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=0.2)
            ) as database,
        ):
            return database.execute(statement.format("")).fetchmany(_MOST)
    elif url.startswith("postgresql"):
        import psycopg

        plain = re.sub(r"^postgresql\+\w+:", "postgresql:", url)
        with suppress(psycopg.Error), psycopg.connect(plain, connect_timeout=1) as server:
            return server.execute(statement.format("adapterlab.").encode()).fetchmany(_MOST)
    return []


def _join_words(environment: Any) -> str:
    """Undo bash's cutting of words at ``=`` and ``:``, in its own variables; return what it takes for granted.

    Bash replaces only what stands behind the last of these.
    """
    line = environment.get("COMP_WORDS", "")
    position = int(environment.get("COMP_CWORD", "0") or 0)
    words = line.split("\n") if "\n" in line else line.split(" ")
    joined: list[str] = []
    current = 0
    for number, one in enumerate(words):
        glued = bool(joined) and (one in ("=", ":") or (number > 0 and words[number - 1] in ("=", ":")))
        if glued:
            joined[-1] += one
        else:
            joined.append(one)
        if number == position:
            current = len(joined) - 1
    if position >= len(words):
        current = len(joined)
    word = joined[current] if current < len(joined) else ""
    cut = max(word.rfind("="), word.rfind(":")) + 1
    if current < len(joined):
        joined[current] = word[cut:]
    environment["COMP_WORDS"] = " ".join(joined)
    environment["COMP_CWORD"] = str(current)
    return word[:cut]


# -- what there is, kept ------------------------------------------------------------------------------


def described() -> dict[str, Any]:
    """Return the commands, tasks and spec keys there are, from the cache or made anew."""
    from adapterlab import home

    mark = _mark()
    file = Path(home.stores().cache) / "completion.json"
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept["mark"] == mark:
            return dict(kept)
    fresh = {"mark": mark, **describe()}
    with suppress(OSError):
        from adapterlab.private_files import private_umask

        with private_umask():
            file.parent.mkdir(parents=True, exist_ok=True)
            draft = file.with_name(f".{file.name}.{os.getpid()}")
            draft.write_text(json.dumps(fresh), encoding="utf-8")
            draft.replace(file)
    return fresh


def _mark() -> list[Any]:
    """Return what changes when the commands, the spec or the plug-ins do."""
    package = Path(__file__).parents[1]
    sources = sorted(path for room in ("cli", "spec") for path in (package / room).glob("*.py"))
    times = [path.stat().st_mtime_ns for path in sources]
    suites = sorted(
        f"{point.name}={point.value} {point.dist.version if point.dist else ''}"
        for point in entry_points().select(group="adapterlab.task_suites")
    )
    return [_FORMAT, list(sys.version_info[:3]), len(times), max(times), suites]


def describe() -> dict[str, Any]:
    """Look all of it up: every command is imported, every task suite and the spec's model."""
    from adapterlab.cli.commands import COMMANDS, load
    from adapterlab.spec.key_tables import tables

    commands = {name: {**_command(load(name)), "help": entry.summary} for name, entry in COMMANDS.items()}
    plugins = {
        "combiner.kind": ["combiners"], "combiner.among": ["combiners"], "adapter.method": ["adapter_methods"],
        "pool.query.method": ["adapter_methods"],
    }  # fmt: skip
    knobs = [
        {
            "path": path,
            "meaning": knob.doc.split(". ")[0].split(": ")[0].rstrip("."),
            "values": re.findall(r'"([^"]+)"', knob.kind) or [one for one in ("true", "false") if one in knob.kind],
            "plugins": plugins.get(path, []),
        }
        for table in tables()
        if not table.many
        for knob in table.knobs
        if (path := f"{table.path}.{knob.name}".lstrip(".")) not in ("extends", "schema_version")
    ]  # fmt: skip
    return {"commands": {"commands": commands, "help": ""}, "settings": knobs, "tasks": list(_tasks())}


def _command(command: Any) -> dict[str, Any]:
    inner = getattr(command, "commands", None)
    about = (command.help or "").split("\n")[0]
    if inner:
        return {"commands": {name: _command(one) for name, one in inner.items()}, "help": about}
    parameters = [one for one in command.params if one.name != "help"]
    return {
        "help": about,
        "options": [
            {"names": [*one.opts, *one.secondary_opts], "value": not one.is_flag, "help": one.help or "",
             "kind": _kind(one), "choices": _choices(one)}
            for one in parameters if one.param_type_name == "option"
        ],
        "arguments": [
            {"kind": _kind(one), "many": one.nargs == -1, "choices": _choices(one)}
            for one in parameters if one.param_type_name == "argument"
        ],
    }  # fmt: skip


def _kind(parameter: Any) -> str | None:
    named = (str(parameter.metavar or "").strip("[].").removesuffix("]"), *parameter.opts)
    return next((_KINDS[name] for name in named if name in _KINDS), None)


def _choices(parameter: Any) -> list[str]:
    described = getattr(parameter, "type_descriptor", None) or getattr(parameter, "type", None)
    return [str(getattr(one, "value", one)) for one in getattr(described, "choices", None) or ()]


def _tasks() -> Iterator[Item]:
    from adapterlab.registry.entry_points import TASK_SUITES, names, task_suite

    for suite in map(task_suite, names(TASK_SUITES)):
        for name, definition in suite.definitions().items():
            yield f"{suite.name}/{name}", str(definition.problem_type)
