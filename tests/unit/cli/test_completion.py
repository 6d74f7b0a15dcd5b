"""Completion: what is offered, where a shell puts it, and that a Tab imports nothing heavy."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from adapterlab.cli import completion
from adapterlab.cli.completion import complete
from adapterlab.cli.main import main

PLATFORM = Path(completion.__file__).parents[2]


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One home for all tests, so that what there is is looked up once."""
    folder = tmp_path_factory.getbasetemp() / "completion_home"
    monkeypatch.setenv("ADAPTERLAB_HOME", str(folder))
    for name in ("ADAPTERLAB_CATALOG", "ADAPTERLAB_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    return folder


def values(line: str) -> list[str]:
    *before, word = line.split(" ")
    return [value for value, _ in complete(before, word)]


def test_commands_and_options_come_from_the_commands_themselves() -> None:
    assert values("su") == ["submit"]
    assert values("catalog li") == ["list", "lineage"]
    assert "--set" in values("submit x.toml --")
    assert values("--quiet catalog ex") == ["export"]
    assert values("submit x.toml --json --se") == ["--set"]
    assert values("nothing x") == []


def test_paths_of_the_spec_and_their_values() -> None:
    assert {"search.trials=", "search.lr="} <= set(values("plan x.toml --set search."))
    assert values("plan x.toml --set search.sam") == [
        "search.sampler=", "search.sampler=tpe", "search.sampler=random", "search.sampler=grid",
    ]  # fmt: skip
    assert values("plan x.toml --set search.sampler=r") == ["search.sampler=random"]
    assert "combiner.kind=adapterfusion" in values("plan x.toml --set combiner.kind=a")
    assert "adapter.method=lora" in values("plan x.toml --set adapter.method=l")
    assert values("plan x.toml --set backbone.sourc") == ["backbone.source="]


def test_tasks_and_kinds() -> None:
    assert "glue/rte" in values("tasks show glue/r")
    assert "synthetic/nli" in values("catalog list --task syn")
    assert "adapterfusion" in values("catalog list --combiner adapterf")


def test_sweeps_and_keys_of_the_catalog(home: Path) -> None:
    assert values("report ") == []  # there is no catalog, and looking makes none
    assert not (home / "catalog.db").exists()
    from adapterlab.catalog.store import open_catalog

    url = f"sqlite:///{home / 'catalog.db'}"
    with open_catalog(url, str(home / "blobs"), locks=home / "locks") as catalog:
        for number in range(2):
            catalog.open_sweep(f"{number}" * 64, f"mine{number}", "{}", [])
    assert sorted(values("report mi")) == ["mine0", "mine1"]
    assert sorted(values("report mine0 mi")) == ["mine0", "mine1"]  # it takes several
    assert values("status mine0 mi") == []  # it takes one
    (home / "catalog.db").write_bytes(b"this is no database at all, but a text of some length")
    assert values("report mi") == []
    (home / "catalog.db").unlink()


def test_a_server_that_cannot_be_reached_offers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("psycopg")
    monkeypatch.setenv("ADAPTERLAB_CATALOG", "postgresql+psycopg://127.0.0.1:1/none")
    assert values("report mi") == []


def shell(line: str, home: Path) -> list[str]:
    """Type a line into a real bash that has Typer's script, and return what Tab offers."""
    program = home / "bin" / "platform"
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(
            f"#!{sys.executable}\nimport sys\nfrom adapterlab.cli.main import main\nsys.exit(main())\n"
        )
        program.chmod(0o755)
    script = f"""
source <(platform --show-completion bash)
COMP_LINE={line!r}
read -r -a COMP_WORDS <<< "$(sed -E 's/([=:])/ \\1 /g' <<< "$COMP_LINE")"
[[ "$COMP_LINE" == *[\\ =:] ]] && COMP_WORDS+=("")
COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
_platform_completion platform
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    environment = {
        **os.environ,
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(PLATFORM),
    }
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.timeout(300)
def test_a_real_bash_is_given_what_stands_behind_its_word_breaks(home: Path) -> None:
    assert shell("platform su", home) == ["submit"]
    assert shell("platform submit x.toml --set search.sampler=r", home) == ["random"]
    assert shell("platform submit x.toml --set search.sampler=", home) == ["tpe", "random", "grid"]
    assert "search.trials=" in shell("platform submit x.toml --set search.tri", home)


@pytest.mark.timeout(60)
def test_an_interactive_bash_puts_no_space_behind_a_key_of_the_spec(home: Path) -> None:
    shell("platform su", home)  # writes the program
    leader, terminal = pty.openpty()
    environment = {
        **os.environ,
        "PATH": f"{home / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(PLATFORM),
        "PS1": "$ ",
        "TERM": "dumb",
    }
    bash = subprocess.Popen(
        ["bash", "--norc", "--noprofile", "-i"],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=environment,
        start_new_session=True,
    )
    os.close(terminal)
    said = ""

    def typed(text: str, until: str) -> None:
        nonlocal said
        os.write(leader, text.encode())
        while until not in said:
            said += os.read(leader, 4096).decode(errors="replace")

    try:
        typed("source <(platform --show-completion bash); echo re''ady\n", "ready\r\n")
        typed("echo '<'; platform submit --set search.tri\t", "search.trials=")
        typed("4\x01: \x05; echo '>'; history 1\n", "search.trials=4; echo")
    finally:
        bash.kill()
        bash.wait()
        os.close(leader)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("zsh", "local -a open_ended=('search.seed=:"), ("fish", "search.seed=\t")],
)
def test_zsh_and_fish_are_answered_in_their_own_form(
    name: str, expected: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(completion.VARIABLE, f"complete_{name}")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "platform submit x.toml --set search.see")
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    assert completion.answer()
    assert capsys.readouterr().out.startswith(expected)


_ZSH = """
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell 'PS1=""; autoload -Uz compinit; compinit -u -D; eval "$(platform --show-completion zsh)"'
zpty -w shell 'told() { print -r -- "<<$BUFFER>>"; BUFFER="" }; zle -N told; bindkey "^X" told; print "rea""dy"'
zpty -r -m shell said '*ready*'
for line in "$@"; do
  zpty -w -n shell "$line"$'\\t\\x18'
  zpty -r -m shell said '*<<*>>*'
  print -r -- "${${said##*<<}%%>>*}."
done
"""


@pytest.mark.timeout(300)
def test_a_real_zsh_puts_a_space_behind_a_word_and_none_behind_an_equals_sign(home: Path) -> None:
    if shutil.which("zsh") is None:
        pytest.skip("zsh is not installed")
    shell("platform su", home)  # puts the program there
    environment = {
        **os.environ, "PATH": f"{home / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(PLATFORM), "HOME": str(home),
    }  # fmt: skip
    asked = (
        "platform subm",
        "platform submit x.toml --set search.tri",
        "platform plan x --set search.sampler=r",
    )
    done = subprocess.run(
        ["zsh", "-f", "-c", _ZSH, "zsh", *asked], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "platform submit .", "platform submit x.toml --set search.trials=.", "platform plan x --set search.sampler=random .",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_the_shell_that_is_named_is_the_one_that_is_set_up(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main(["--show-completion", name]) == 0
    assert f"complete_{name}" in capsys.readouterr().out
    assert main(["--install-completion", name]) == 0
    file = Path(capsys.readouterr().out.split(" installed in ")[1].split(";")[0])
    assert f"complete_{name}" in file.read_text()
    assert main(["--show-completion", "klingon"]) == 2
    assert "use one of: bash, zsh, fish" in capsys.readouterr().err


@pytest.mark.timeout(300)
def test_a_real_fish_is_offered_the_same(home: Path) -> None:
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    shell("platform su", home)  # puts the program there
    program = home / "bin"
    asked = ("platform su", "platform submit x.toml --set search.sampler=r", "platform tasks show glue/r")
    script = "\n".join(
        ["platform --show-completion fish | source", *(f"complete -C '{line}'" for line in asked)]
    )
    environment = {
        **os.environ, "PATH": f"{program}:{os.environ['PATH']}", "PYTHONPATH": str(PLATFORM), "HOME": str(home),
    }  # fmt: skip
    done = subprocess.run(
        ["fish", "--no-config", "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == [
        "submit", "search.sampler=random", "glue/rte",
    ]  # fmt: skip


def test_a_tab_imports_nothing_heavy() -> None:
    complete(["submit"], "")  # so that it is kept
    code = (
        "import sys\nfrom adapterlab.cli.main import main\nmain()\n"
        "heavy = {'pydantic', 'sqlalchemy', 'torch', 'numpy', 'mlflow', 'ray', 'optuna'} & set(sys.modules)\n"
        "print(heavy, file=sys.stderr)\n"
    )
    environment = {
        **os.environ, "PYTHONPATH": str(PLATFORM), completion.VARIABLE: "complete_bash",
        "COMP_WORDS": "platform\nsubmit\nx\n--set\nsearch.", "COMP_CWORD": "4",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert "search.trials=" in done.stdout
    assert done.stderr.strip() == "set()"


def test_what_is_kept_is_made_anew_when_the_code_changes(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    complete([], "")
    file = home / "cache" / "completion.json"
    kept = json.loads(file.read_text())
    monkeypatch.setattr(completion, "_FORMAT", kept["mark"][0] + 1)
    complete([], "")
    assert json.loads(file.read_text())["mark"] != kept["mark"]
    file.write_text("{")  # half written, or another's
    assert values("su") == ["submit"]
