"""The entry point: arguments in, an exit code out.

Exit codes: 0 done, 1 failed, 2 usage, 3 invalid spec or data, 4 not found, 5 conflict or
unavailable, 6 partly failed, 7 ended by its budget, 129 hung up (SIGHUP), 130 interrupted (Ctrl-C), 143 terminated (SIGTERM).
"""

from __future__ import annotations

import atexit
import errno
import gc
import io
import logging
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import gettempdir
from typing import Annotated, Any, NamedTuple

import typer

from adapterlab.cli.commands import COMMANDS, LazyGroup, Stopped
from adapterlab.cli.completion import VARIABLE, answer, set_up
from adapterlab.cli.output import PrintableFormatter, SafeStreams, clipped, emit_json, note
from adapterlab.cli.program import NAME as PROGRAM
from adapterlab.cli.program import as_called
from adapterlab.cluster.stop_signals import signals_raised
from adapterlab.errors import (
    EXIT_SIGNAL,
    AdapterlabError,
    DataError,
    NotFoundError,
    UnavailableError,
    UsageError,
    exit_code_of,
)
from adapterlab.given_files import shortened
from adapterlab.home import home_folder
from adapterlab.passwords import hide_in, hide_passwords
from adapterlab.private_files import private_umask

DEBUG_VARIABLE = "ADAPTERLAB_DEBUG"
EXIT_BROKEN_PIPE = 141
_FOR_THE_USER = frozenset({"init", "export", "predict", "report", "contributions"})
"""Commands that write where the user says; who may read that is for the user's own umask to say."""

_COLLECT_AFTER = 200_000
"""Objects made before Python looks for cycles among them; at its own 700, a sixth of a cold start
goes into searching freshly imported modules."""

# Typer vendors Click, and exports of its error tree only the leaves.
_ClickUsageError: Any = typer.BadParameter.__mro__[1]
_ClickError: Any = typer.BadParameter.__mro__[2]

app = typer.Typer(
    cls=LazyGroup,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="--verbose and --quiet may stand anywhere. Exit codes: 0 done, 1 failed, 2 usage, 3 invalid "
    "spec or data, 4 not found, 5 conflict or unavailable, 6 partly failed, 7 ended by its budget, 129 hung up, "
    "130 interrupted, 143 terminated.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"adapterlab {version('adapterlab')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show debug messages and tracebacks.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show errors only.")] = False,
) -> None:
    """Declarative sweeps for adapter transfer.

    A spec (TOML) names a backbone, a source pool, target tasks and a combiner. `submit` trains every
    source adapter once, searches the combiner for each target, and keeps all of it for the next time.
    """


class Flags(NamedTuple):
    """What holds for every command, wherever on the line it stands."""

    json: bool
    verbose: bool
    quiet: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: The words after the program's name; those of this process by default.
    """
    if VARIABLE in os.environ and answer():
        return 0
    gc.set_threshold(_COLLECT_AFTER)
    atexit.register(gc.freeze)  # the process ends: what it imported need not be searched for cycles, 0.1 s
    words = list(sys.argv[1:] if arguments is None else arguments)
    done = set_up(words)
    if done is not None:
        return done
    flags, words = _flags(words)
    with SafeStreams() as streams:
        _prepare_logging(flags)
        private = nullcontext() if _FOR_THE_USER.intersection(words[:1]) else private_umask()
        with private, signals_raised() as heard:
            code = _run(words, flags, heard)
        sys.stdout.flush()
        return code if streams.lost is None else _unread(code, words, streams.lost)


def _unread(code: int, words: Sequence[str], lost: OSError) -> int:
    """Return the exit code of a command whose output was not taken to its end.

    What a command did stands, whether anybody read of it or not. One that only prints has not done what it was
    asked for; where the reader left by itself (``| head``) nothing is said.
    """
    place = next((place for place, word in enumerate(words) if word in COMMANDS), None)
    if code or (place is not None and COMMANDS[words[place]].does_more_than_print(words[place + 1 :])):
        return code
    if lost.errno == errno.EPIPE:
        return EXIT_BROKEN_PIPE
    note(f"standard output cannot be written: {lost.strerror}")
    return 1


def _run(words: list[str], flags: Flags, heard: Sequence[int]) -> int:
    try:
        _check_words(words)
        result = typer.main.get_command(app).main(args=words, prog_name=PROGRAM, standalone_mode=False)
    except AdapterlabError as error:
        return _report_error(error, flags)
    except Stopped as stopped:
        return _interrupted(stopped.number)
    except _ClickError as error:
        return _report_usage(error, flags)
    except (KeyboardInterrupt, typer.Abort) as stopped:
        return _interrupted(getattr(stopped.__cause__ or stopped, "number", signal.SIGINT))  # Typer wraps it
    except Exception as error:  # noqa: BLE001  the last door: nobody gets a bare traceback
        explained = _explained(error)
        return _report_crash(error, flags) if explained is None else _report_error(explained, flags)
    code = result if isinstance(result, int) else 0
    # Before a command began, Typer makes one code of every signal.
    return _interrupted(heard[0]) if heard and code == EXIT_SIGNAL + signal.SIGINT else code


def _interrupted(number: int) -> int:
    note("interrupted" if number == signal.SIGINT else f"stopped by {signal.Signals(number).name}")
    return EXIT_SIGNAL + number


def _flags(words: list[str]) -> tuple[Flags, list[str]]:
    """Take ``--verbose`` and ``--quiet`` out of the words; look for ``--json``, which stays."""
    end = words.index("--") if "--" in words else len(words)
    before, after = words[:end], words[end:]
    verbose = "--verbose" in before or bool(os.environ.get(DEBUG_VARIABLE))
    flags = Flags(json="--json" in before, verbose=verbose, quiet="--quiet" in before)
    return flags, [word for word in before if word not in ("--verbose", "--quiet")] + after


def _check_words(words: Sequence[str]) -> None:
    """Refuse what no store could keep and no terminal show: bytes that are not text in this locale's encoding.

    Raises:
        DataError: A word holds some.
    """
    for number, word in enumerate(words, start=1):
        if "\0" in word or any("\ud800" <= char <= "\udfff" for char in word):
            raise DataError(
                f"argument {number}, {word[:80]!r}, is not text: it holds "
                + ("a NUL" if "\0" in word else "bytes that this locale's encoding does not know"),
                remedy="Write it in UTF-8; a file of such a name needs another one.",
            )


def _prepare_logging(flags: Flags) -> None:
    logger = logging.getLogger("adapterlab")
    level = logging.DEBUG if flags.verbose else logging.ERROR if flags.quiet else logging.WARNING
    logger.setLevel(level)
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(PrintableFormatter("%(levelname)s %(name)s: %(message)s"))
        logger.addHandler(handler)


def _report_error(error: AdapterlabError, flags: Flags) -> int:
    if flags.json:
        emit_json(hide_in(error.to_json()))
    else:
        note(as_called(clipped(hide_passwords(str(error)))))
    if flags.verbose:
        note(_traceback(error))
    return exit_code_of(error)


def _explained(error: Exception) -> AdapterlabError | None:
    """Tell what is no bug of ours: a package an extra would bring, and what the operating system refuses."""
    explained: AdapterlabError | None = None
    if isinstance(error, ModuleNotFoundError):
        explained = _missing_package(error)
    elif isinstance(error, OSError) and error.errno is not None:
        named = [
            os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)
        ]
        if not named and not _stands_somewhere():
            explained = NotFoundError(
                "the folder this was called in is not there any more", remedy="cd to one that is."
            )
            explained.__cause__ = error
            return explained
        explained = UnavailableError(
            f"{' and '.join(map(shortened, named)) or 'the system'}: {error.strerror}",
            remedy="Check the path, its permissions, and the room on its disk.",
        )
    if explained is not None:
        explained.__cause__ = error
    return explained


def _stands_somewhere() -> bool:
    try:
        Path.cwd()
    except OSError:
        return False
    return True


def _missing_package(error: ModuleNotFoundError) -> AdapterlabError | None:
    from adapterlab.cli.checks import extra_with

    module = (error.name or "").split(".")[0]
    extra = extra_with(module)
    if extra is None:
        return None
    return NotFoundError(
        f"this needs the package {module!r}, which is not installed",
        remedy=f"pip install 'adapterlab[{extra}]'",
    )


def _report_usage(error: Any, flags: Flags) -> int:
    if flags.json:
        message = error.format_message()
        emit_json({"error": "UsageError", "message": message, "remedy": None, "exit_code": error.exit_code})
    elif isinstance(error, _ClickUsageError):
        shown = io.StringIO()
        error.show(file=shown)  # usage, a pointer to --help, and the message
        note(shown.getvalue().rstrip("\n"))
    else:
        note(f"error: {error.format_message()}")
    return int(error.exit_code)


def _report_crash(error: Exception, flags: Flags) -> int:
    trace = _traceback(error)
    kept = _keep(trace)
    message = hide_passwords(f"{type(error).__name__}: {error}")
    remedy = f"this is a bug in adapterlab; the traceback is in {kept}" if kept else "rerun with --verbose"
    if flags.json:
        emit_json(
            {
                "error": "InternalError",
                "message": message,
                "remedy": remedy,
                "traceback": kept,
                "exit_code": 1,
            }
        )
    else:
        note(clipped(f"internal error: {message}\n  {remedy}"))
    if flags.verbose:
        note(trace)
    return 1


def _traceback(error: BaseException) -> str:
    return hide_passwords("".join(traceback.format_exception(error)).rstrip())


def _keep(trace: str) -> str | None:
    """Write a traceback where only its owner can read it, and return the file's name."""
    name = f"crash-{datetime.now(UTC):%Y%m%d-%H%M%S}-{os.getpid()}.log"
    command = hide_passwords(" ".join(sys.argv))
    folders = [Path(gettempdir())]
    with suppress(NotFoundError, UsageError):  # a home that cannot be
        folders.insert(0, home_folder() / "logs")
    for folder in folders:
        try:
            with private_umask():
                folder.mkdir(parents=True, exist_ok=True)
            file = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(file, "w", encoding="utf-8", errors="backslashreplace") as stream:
                stream.write(f"{command}\n{trace}\n")
        except OSError:
            continue
        return str(folder / name)
    return None
