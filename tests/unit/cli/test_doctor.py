"""``platform doctor``: it looks, it changes nothing, and it knows the way out."""

from __future__ import annotations

import base64
import http.server
import json
import sqlite3
import threading
from pathlib import Path

import pytest

from adapterlab.cli import checks
from adapterlab.cli.checks import Check, Verdict
from adapterlab.cli.main import main


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("ADAPTERLAB_CATALOG", "ADAPTERLAB_BLOBS", "ADAPTERLAB_STUDIES", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ADAPTERLAB_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def one(found: object) -> Check:
    (check,) = list(found)  # type: ignore[call-overload]
    assert isinstance(check, Check)
    return check


def test_a_sound_machine_is_told_so_and_nothing_is_made(
    own_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor"]) == 0
    assert "catalog" in capsys.readouterr().out
    assert not own_home.exists()


def test_json_lists_every_check_with_its_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    names = {check["name"]: check["verdict"] for check in document["checks"]}
    assert {"python", "packages", "packages: train", "home folder", "disk", "catalog", "blobs", "gpu"} <= set(
        names
    )
    assert set(names.values()) <= {"ok", "warn", "fail"}
    assert document["ok"] is True


def test_an_unreachable_database_fails_with_a_remedy_and_without_its_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ADAPTERLAB_CATALOG", "postgresql+psycopg://me:hush@127.0.0.1:1/db")
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "1 failed" in out
    assert "hush" not in out
    assert "catalog: start it" in out


@pytest.mark.parametrize(
    "url",
    ["nonsense", "sqlite:////no/such/folder/x.db", "oracle://x", "postgresql+psycopg://u@127.0.0.1:1/x"],
)
def test_bad_database_urls_are_faults_not_crashes(url: str) -> None:
    check = one(checks.database("studies", url, "/home"))
    assert (check.verdict, bool(check.remedy)) == (Verdict.FAIL, True)


def test_a_file_that_is_no_database_fails(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_text("not a database at all, but long enough to be looked at" * 10)
    check = one(checks.database("studies", f"sqlite:///{path}", str(tmp_path)))
    assert check.verdict is Verdict.FAIL
    assert str(path) in check.remedy, "a file needs no password"


def test_a_database_that_is_there_is_asked(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "x.db") as connection:
        connection.execute("create table t (x)")
    connection.close()
    assert one(checks.database("studies", f"sqlite:///{tmp_path / 'x.db'}", "")).verdict is Verdict.OK


def test_the_catalog_of_a_newer_version_is_recognised(tmp_path: Path) -> None:
    from adapterlab.catalog.database import Database
    from adapterlab.catalog.migrate import upgrade

    url = f"sqlite:///{tmp_path / 'catalog.db'}"
    upgrade(Database(url), tmp_path / "locks")
    assert [check.verdict for check in checks.catalog(url, "")] == [Verdict.OK, Verdict.OK]
    with sqlite3.connect(tmp_path / "catalog.db") as connection:
        (table,) = connection.execute(
            "select name from sqlite_master where type = 'table' and name like '%version%'"
        ).fetchone()
        connection.execute(f"update {table} set version_num = 'ffffffffffff'")
    connection.close()
    assert list(checks.catalog(url, ""))[-1].verdict is Verdict.FAIL


def test_a_home_that_cannot_be_written_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert one(checks.home_folder(tmp_path / "file" / "home")).verdict is Verdict.FAIL
    assert one(checks.home_folder(Path("/proc/home"))).verdict is Verdict.FAIL


def test_a_file_where_the_home_has_a_folder_is_found(tmp_path: Path) -> None:
    (tmp_path / "locks").write_text("")
    check = one(checks.home_folder(tmp_path))
    assert (check.verdict, str(tmp_path / "locks") in check.found) == (Verdict.FAIL, True)


def test_remote_blobs_need_a_protocol_that_is_known() -> None:
    assert one(checks.blobs("memory://weights")).verdict is Verdict.OK
    assert one(checks.blobs("carrierpigeon://weights")).verdict is Verdict.FAIL


def test_an_address_without_its_scheme_is_shown_without_what_stands_before_the_host() -> None:
    check = one(checks.database("studies", "me:HUSH@db.example:5432/x", ""))
    assert check.verdict is Verdict.FAIL
    assert "db.example" in check.found
    assert "HUSH" not in check.found


def test_a_tracking_server_is_asked_only_when_going_deep() -> None:
    logins = []

    class Healthy(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            logins.append(self.headers.get("Authorization"))
            self.send_response(200 if self.path == "/health" else 404)
            self.end_headers()
            self.wfile.write(b"OK")

        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Healthy)
    threading.Thread(target=server.serve_forever).start()
    uri = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        assert one(checks.tracking(uri, "", deep=True)) == Check("tracking", Verdict.OK, f"{uri}: OK")
        check = one(checks.tracking(uri.replace("://", "://me:a%20HUSH@"), "", deep=True))
        assert (check.verdict, "HUSH" in check.found) == (Verdict.OK, False)
        assert logins == [None, f"Basic {base64.b64encode(b'me:a HUSH').decode()}"]
    finally:
        server.shutdown()
        server.server_close()
    assert one(checks.tracking(uri, "", deep=True)).verdict is Verdict.FAIL
    assert "not asked" in one(checks.tracking(uri, "", deep=False)).found


def test_missing_and_outdated_packages_name_the_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    declared = [
        "numpy>=2",
        "pydantic>=99",
        'not-there-at-all>=1; extra == "train"',
        'rich<2; extra == "dev"',
        'mkdocs>=99; extra == "docs"',
    ]
    monkeypatch.setattr(checks, "requires", lambda name: declared)
    base, train = list(checks.packages())
    assert (base.verdict, train.verdict) == (Verdict.FAIL, Verdict.WARN)
    assert "pydantic" in base.found
    assert train.found == "not-there-at-all is missing"
    assert "adapterlab[train]" in (train.remedy or "")


@pytest.mark.parametrize(
    ("requirement", "name", "accepted"),
    [("ray[tune]>=2.55,<3", "ray", ">=2.55,<3"), ("gt-all==0.1.0", "gt-all", "==0.1.0"), ("numpy", "numpy", ""),
     ("psycopg[binary] (>=3.2)", "psycopg", ">=3.2")],
)  # fmt: skip
def test_requirements_are_read_as_metadata_writes_them(requirement: str, name: str, accepted: str) -> None:
    assert checks._split(requirement) == (name, accepted)
