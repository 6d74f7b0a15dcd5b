"""``platform catalog`` and ``platform db`` as people run them."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

from adapterlab.cli.main import main
from adapterlab.records import BackboneFacts
from catalogs import BACKBONE, MADE_WITH, key, open_at, put_adapter, put_selection, put_study, put_transfer

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def home(tmp_path, temporary, monkeypatch):
    """An empty home folder."""
    monkeypatch.setenv("ADAPTERLAB_HOME", str(tmp_path / "home"))
    for name in ("ADAPTERLAB_CATALOG", "ADAPTERLAB_BLOBS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


@pytest.fixture
def filled(home):
    """A home with two adapters, a study and a transfer."""
    with open_at(f"sqlite:///{home / 'catalog.db'}", home) as catalog:
        put_adapter(catalog, "a", created_at=START)
        put_adapter(
            catalog,
            "b",
            task="glue/cola",
            task_digest=key("cola"),
            method="lora",
            metric_value=float("nan"),
            metrics={},
            created_at=START + timedelta(minutes=1),
        )
        put_study(catalog, "s", "a", "b", created_at=START)
        put_transfer(catalog, "t", "s", "a", "b", created_at=START)
        catalog.record_backbone(BackboneFacts("package:mini", "bert", None, BACKBONE, None, None, None))
    return home


@pytest.fixture
def run(capsys):
    """Run ``platform`` with these words; return exit code, standard output and error."""

    def run_words(*words):
        code = main(list(words))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_words


def test_an_empty_home_is_an_empty_list_and_stays_empty(home, run):
    code, out, err = run("catalog", "list")
    assert (code, out) == (0, "")
    assert "The catalog is empty" in err
    assert json.loads(run("catalog", "list", "--json")[1]) == {"adapters": [], "transfers": []}
    assert run("catalog", "show", "abcd")[0] == 4
    assert not home.exists()


def test_selections_of_sources_are_listed_and_shown_with_their_scores(filled, run):
    with open_at(f"sqlite:///{filled / 'catalog.db'}", filled) as catalog:
        put_selection(catalog, "x", "a", "b", created_at=START)
    code, out, err = run("catalog", "list", "--kind", "selection", "--task", "cb")
    assert (code, err) == (0, "")
    assert "adapter_similarity" in out
    assert "glue/rte 0.9, glue/rte 0.8" in out
    assert (
        run("catalog", "list", "--kind", "selection", "--method", "text_similarity")[2]
        == "Nothing matches.\n"
    )
    listed = json.loads(run("catalog", "list", "--kind", "selection", "--json")[1])
    assert [one["key"] for one in listed["selections"][0]["sources"]] == [key("a"), key("b")]
    shown = run("catalog", "show", key("x")[:12])[1]
    assert key("b") in next(line for line in shown.splitlines() if line.startswith("source.1"))
    assert json.loads(run("catalog", "show", key("x")[:12], "--json")[1])["kind"] == "selection"
    for asked in (("--min", "0.5"), ("--metric", "cosine"), ("--seed", "1")):
        code, _, err = run("catalog", "list", "--kind", "selection", *asked)
        assert code == 2, asked
        assert "selection" in err


def test_list_shows_adapters_and_transfers(filled, run):
    code, out, err = run("catalog", "list")
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["adapters"]
    assert lines[1] == ["key", "task", "method", "seed", "metric", "validation", "backbone", "created"]
    shown = BACKBONE[:12]
    assert lines[2] == [key("b")[:12], "glue/cola", "lora", "0", "accuracy", shown, "2026-01-01", "00:01"]
    assert lines[3][:6] == [key("a")[:12], "glue/rte", "pfeiffer", "0", "accuracy", "0.7"]
    assert lines[5] == ["transfers"]
    assert lines[7][:7] == [key("t")[:12], "glue/cb", "scalearn", "0", "accuracy", "0.75", "0.8"]


@pytest.mark.parametrize(
    ("words", "adapters", "transfers"),
    [
        ((), "ba", "t"),
        (("--task", "rte"), "a", ""),
        (("--task", "cb"), "", "t"),
        (("--backbone", "mini"), "ba", "t"),
        (("--backbone", "nothing"), "", ""),
        (("--method", "lora"), "b", ""),
        (("--combiner", "scalearn"), "", "t"),
        (("--metric-min", "0.7"), "a", "t"),
        (("--metric-min", "0.72"), "", "t"),
        (("--metric", "f1"), "a", "t"),
        (("--seed", "0", "--limit", "1"), "b", "t"),
        (("--offset", "1"), "a", ""),
        (("--kind", "adapter"), "ba", None),
        (("--kind", "transfer"), None, "t"),
        (("--task", "'; DROP TABLE adapters; --"), "", ""),
    ],
)
def test_filters(filled, run, words, adapters, transfers):
    code, out, _ = run("catalog", "list", "--json", *words)
    document = json.loads(out)
    names = {key(name): name for name in "abst"}
    found = {kind: "".join(names[one["key"]] for one in records) for kind, records in document.items()}
    expected = {"adapters": adapters, "transfers": transfers}
    assert (code, found) == (0, {kind: value for kind, value in expected.items() if value is not None})


def test_names_and_tags_are_shown_and_asked_for(filled, run):
    assert "tags" not in run("catalog", "list")[1]
    run("catalog", "tag", key("a"), "good", "team-nlp")
    run("catalog", "rename", key("t"), "the [best] one")
    out = run("catalog", "list")[1]
    assert "good, team-nlp" in out
    assert "the [best] one" in out
    for words, adapters, transfers in (
        (("--tag", "good"), ["a"], []),
        (("--tag", "g*", "--tag", "team-*"), ["a"], []),
        (("--tag", "g*", "--tag", "other"), [], []),
        (("--name", "the*one"), [], ["t"]),
    ):
        document = json.loads(run("catalog", "list", "--json", *words)[1])
        assert [one["key"] for one in document["adapters"]] == [key(name) for name in adapters]
        assert [one["key"] for one in document["transfers"]] == [key(name) for name in transfers]
    (found,) = json.loads(run("catalog", "list", "--json", "--tag", "good")[1])["adapters"]
    assert found["annotation"] == {"name": None, "note": None, "tags": ["good", "team-nlp"]}
    assert "good, team-nlp" in run("catalog", "show", key("a"))[1]


def test_studies_are_listed_when_asked_for(filled, run):
    assert json.loads(run("catalog", "list", "--kind", "study", "--json")[1])["studies"][0]["key"] == key("s")
    assert "dropout 0.3, init_scale 2.0, lr 0.006" in run("catalog", "list", "--kind", "study")[1]
    assert run("catalog", "list", "--kind", "study", "--seed", "0")[0] == 2


def test_more_than_fits_is_said_on_the_error_stream(filled, run):
    _, _, err = run("catalog", "list", "--limit", "1")
    assert "--limit and --offset show more" in err
    assert "Nothing matches" in run("catalog", "list", "--task", "nothing")[2]


def test_show_gives_everything_of_one_record(filled, run):
    code, out, _ = run("catalog", "show", key("t")[:8])
    assert code == 0
    assert "coefficients" in out
    document = json.loads(run("catalog", "show", key("t"), "--json")[1])
    assert (document["kind"], document["test"]) == ("transfer", {"accuracy": 0.75, "f1": 0.5})
    assert len(document["coefficients"]) == 4
    study = json.loads(run("catalog", "show", key("s"), "--json")[1])
    assert [entry["task"] for entry in study["pool"]] == ["glue/rte", "glue/rte"]
    assert json.loads(run("catalog", "show", key("b"), "--json")[1])["metric_value"] is None


def test_show_says_what_made_a_record_or_that_nobody_knows(filled, run):
    with open_at(f"sqlite:///{filled / 'catalog.db'}", filled) as catalog:
        put_adapter(catalog, "old", provenance=None)
    assert json.loads(run("catalog", "show", key("t"), "--json")[1])["provenance"] == MADE_WITH.to_json()
    rows = [line.split() for line in run("catalog", "show", key("t"))[1].splitlines()]
    assert ["provenance.adapterlab_version", MADE_WITH.adapterlab_version] in rows
    assert ["provenance.device_name", "AMD", "EPYC"] in rows
    assert json.loads(run("catalog", "show", key("old"), "--json")[1])["provenance"] is None
    assert "provenance unknown" in " ".join(run("catalog", "show", key("old"))[1].split())


def test_plain_sql_reads_what_made_a_record(filled):
    with sqlite3.connect(filled / "catalog.db") as connection:
        counted = connection.execute(
            "SELECT adapterlab_version, torch_version, device_name, count(*) FROM adapters GROUP BY 1, 2, 3"
        ).fetchall()
    connection.close()
    assert counted == [("0.1.0", "2.9.0+cpu", "AMD EPYC", 2)]


def test_an_unknown_key_exits_with_4_also_in_json(filled, run):
    code, out, err = run("catalog", "show", "0000ffff")
    assert (code, out) == (4, "")
    assert "no record with key '0000ffff'" in err
    code, out, _ = run("catalog", "lineage", "not a key", "--json")
    assert (code, json.loads(out)["error"]) == (4, "NotFoundError")


def test_lineage_draws_the_tree(filled, run):
    code, out, _ = run("catalog", "lineage", key("s"))
    assert code == 0
    assert out.splitlines() == [
        f"study glue/cb · scalearn · accuracy 0.8  {key('s')[:12]}",
        "made from",
        f"├── adapter glue/rte · pfeiffer · seed 0 · accuracy 0.7  {key('a')[:12]}",
        "│   ├── task glue/rte",
        f"│   └── backbone package:mini  {BACKBONE[:12]}",
        f"├── adapter glue/cola · lora · seed 0  {key('b')[:12]}",
        "│   ├── task glue/cola",
        f"│   └── backbone package:mini  {BACKBONE[:12]}",
        "└── task glue/cb",
        "used by",
        f"└── transfer glue/cb · scalearn · seed 0 · accuracy 0.75  {key('t')[:12]}",
    ]
    tree = json.loads(run("catalog", "lineage", key("s"), "--json")[1])
    assert [len(tree["parents"]), len(tree["children"])] == [3, 1]


def test_markup_in_a_name_is_shown_as_it_is(home, run):
    with open_at(f"sqlite:///{home / 'catalog.db'}", home) as catalog:
        put_adapter(catalog, "a", task="glue/[red]x[/red]", method="<script>")
    out = run("catalog", "list")[1]
    assert "glue/[red]x[/red]" in out
    assert "<script>" in out


def test_an_unreachable_database_exits_with_5_without_its_password(home, run, monkeypatch):
    pytest.importorskip("psycopg")
    monkeypatch.setenv("ADAPTERLAB_CATALOG", "postgresql://me:canary@127.0.0.1:1/db")
    for words in (("catalog", "list"), ("db", "upgrade"), ("db", "status"), ("catalog", "list", "--json")):
        code, out, err = run(*words)
        assert code == 5
        assert "canary" not in out + err


def test_db_creates_once_and_says_where_it_stands(home, run):
    assert "no catalog yet" in run("db", "status")[1]
    assert not home.exists()
    assert "created at" in run("db", "upgrade")[1]
    assert "already" in run("db", "upgrade")[1]
    code, out, _ = run("db", "status", "--json")
    assert (code, json.loads(out)["at_head"]) == (0, True)
    assert run("db", "current")[0] == 0


def test_db_refuses_a_schema_that_is_newer(filled, run):
    with sqlite3.connect(filled / "catalog.db") as connection:
        connection.execute("UPDATE catalog_version SET version_num = 'ffffffffffff'")
    connection.close()
    assert run("db", "status")[0] == 5
    assert run("db", "upgrade")[0] == 5
    code, _, err = run("catalog", "list")
    assert code == 5
    assert "Upgrade adapterlab" in err


def test_a_reader_that_leaves_early_is_no_error(filled):
    command = f"{sys.executable} -c 'from adapterlab.cli.main import main; raise SystemExit(main())'"
    with open_at(f"sqlite:///{filled / 'catalog.db'}", filled) as catalog:
        for number in range(100):
            put_adapter(catalog, f"n{number}")
    done = subprocess.run(
        ["bash", "-c", f"{command} catalog list --json --limit 1000 | head -n 1"],
        capture_output=True,
        text=True,
        env={**os.environ, "ADAPTERLAB_HOME": str(filled)},
        check=False,
    )
    assert (done.stdout, done.stderr) == ("{\n", "")


def test_listing_waits_for_no_writer(filled, run):
    writer = sqlite3.connect(filled / "catalog.db", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("UPDATE adapters SET seed = 9")
    assert len(json.loads(run("catalog", "list", "--json")[1])["adapters"]) == 2
    writer.close()


# --- platform catalog gc ----------------------------------------------------------------------

ORPHAN = b"published by nobody"


@pytest.fixture
def littered(filled):
    """A home with an old blob nothing refers to, a young one, and what killed processes left; and the orphan's file."""
    with open_at(f"sqlite:///{filled / 'catalog.db'}", filled) as catalog:
        catalog.blobs.write(b"just written")
        digest = catalog.blobs.write(ORPHAN)
    orphan = filled / "blobs" / "sha256" / digest[:2] / f"{digest}.safetensors"
    for left in (filled / "blobs" / "incoming" / "half", filled / "cache" / "facts" / ".ab.json.77.0123abcd"):
        left.parent.mkdir(parents=True, exist_ok=True)
        left.write_bytes(b"half")
        os.utime(left, (1e9, 1e9))
    os.utime(orphan, (1e9, 1e9))
    return orphan


def test_garbage_is_shown_then_removed_and_then_there_is_none(littered, home, run):
    code, out, err = run("catalog", "gc", "--dry-run")
    assert (code, err) == (0, "")
    assert "would remove 1 weight file that nothing refers to, 19 B" in out
    assert littered.stem[:12] in out
    assert "would remove 2 leftovers of killed processes, 8 B" in out
    assert str(home / "cache" / "facts" / ".ab.json.77.0123abcd") in out
    assert "27 B would be freed" in out
    assert "3 in use, 1 written within 24h" in out
    assert littered.exists()
    code, out, _ = run("catalog", "gc")
    assert code == 0
    assert "removed 1 weight file that" in out
    assert "27 B freed" in out
    assert not littered.exists()
    code, out, _ = run("catalog", "gc")
    assert (code, out.splitlines()[0]) == (0, "nothing to remove")
    with open_at(f"sqlite:///{home / 'catalog.db'}", home) as catalog:
        assert catalog.verify(deep=True).healthy


def test_programs_read_what_was_removed_and_what_was_kept(littered, run):
    code, out, err = run("catalog", "gc", "--json", "--grace", "7d")
    document = json.loads(out)
    assert (code, err, document["dry_run"], document["freed_bytes"]) == (0, "", False, 27)
    weights = document["weights"]
    assert [file["name"] for file in weights["removed"]] == [littered.stem]
    assert (weights["referenced"], weights["young"], weights["grace_s"]) == (3, 1, 7 * 86400)
    assert [(one["what"], one["bytes"]) for one in document["leftovers"]] == [("cache draft", 4)]


def test_no_grace_removes_what_was_just_written_as_well(littered, home, run):
    time.sleep(0.02)  # the store's clock may tick slowly
    assert len(json.loads(run("catalog", "gc", "--grace", "0", "--json")[1])["weights"]["removed"]) == 2
    assert run("catalog", "gc", "--grace", "tomorrow")[0] == 2


def test_without_a_catalog_only_leftovers_are_removed_and_nothing_is_made(home, run):
    assert json.loads(run("catalog", "gc", "--json")[1]) == {
        "dry_run": False,
        "freed_bytes": 0,
        "weights": None,
        "inputs": [],
        "leftovers": [],
    }
    assert not home.exists()


def test_a_catalog_that_knows_none_of_the_weights_is_doubted(littered, home, run, tmp_path, monkeypatch):
    open_at(f"sqlite:///{tmp_path / 'other.db'}", home).close()
    monkeypatch.setenv("ADAPTERLAB_CATALOG", f"sqlite:///{tmp_path / 'other.db'}")
    code, _, err = run("catalog", "gc")
    assert code == 5
    assert "keeps weights there as well" in err
    assert littered.exists()
    code, _, err = run("catalog", "gc", "--dry-run")
    assert code == 0
    assert "without --force nothing would be removed" in err
    assert run("catalog", "gc", "--force")[0] == 0
    assert not littered.exists()


def test_collecting_starts_without_heavy_libraries(littered):
    program = (
        "import sys\nfrom adapterlab.cli.main import main\nassert main(['catalog', 'gc', '--dry-run']) == 0\n"
        "print(sorted({'torch', 'ray', 'mlflow', 'optuna', 'transformers'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.stdout.splitlines()[-1] == "[]", ended.stderr
