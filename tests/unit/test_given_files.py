"""Paths and files that people name: whatever they are, an answer in words and no wait."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapterlab.errors import AdapterlabError, BackboneError, DataError, NotFoundError
from adapterlab.given_files import check_regular, given_path, is_folder, read_file, read_json_file


@pytest.mark.parametrize("text", ["a" * 5000, "b" * 300, "a\0b", "\ud800"])
def test_a_path_that_cannot_be_is_named_with_what_it_is_of(text):
    with pytest.raises(NotFoundError, match=r"data\.root: .* cannot be a path here") as refused:
        given_path(text, "data.root")
    assert len(refused.value.message) < 400
    assert not is_folder(text)


def test_links_in_a_circle_are_no_path(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(NotFoundError, match="symbolic links"):
        given_path(tmp_path / "a", "x")


def test_what_does_not_exist_yet_is_a_path(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert given_path("~/new/folder", "x") == tmp_path / "new" / "folder"
    assert given_path("~nobody-of-this-name/x", "x") == Path("~nobody-of-this-name/x")


def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path("/dev/zero"), tmp_path):
        with pytest.raises(BackboneError):
            check_regular(path, BackboneError)
    with pytest.raises(NotFoundError):
        read_file(tmp_path / "none")
    (tmp_path / "one").write_bytes(b"12345")
    (tmp_path / "link").symlink_to(tmp_path / "one")
    assert read_file(tmp_path / "link") == b"12345"
    with pytest.raises(DataError, match="longer than"):
        read_file(tmp_path / "one", limit=4)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.binary(max_size=40) | st.sampled_from([b"[" * 10_000, b"9" * 5000, b'{"a":' * 10_000]))
def test_any_bytes_are_json_or_refused(tmp_path, data):
    path = tmp_path / "x.json"
    path.write_bytes(data)
    try:
        read_json_file(path)
    except DataError as error:
        assert "cannot be read" in error.message  # noqa: PT017


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(st.text(max_size=300))
def test_any_text_is_a_path_or_refused(text):
    try:
        assert isinstance(given_path(text, "x"), Path)
    except AdapterlabError as error:
        assert error.exit_code == 4  # noqa: PT017


@pytest.mark.parametrize("room", ["cli", "spec", "catalog"])
def test_a_module_that_writes_a_page_explains_itself_and_writes_no_other_file(tmp_path, room):
    def run(*words):
        command = [sys.executable, "-m", f"adapterlab.{room}.reference", *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    explained = run("--help")
    assert (explained.returncode, explained.stderr) == (0, "")
    assert f"python -m adapterlab.{room}.reference" in explained.stdout
    assert run().returncode == run("--out", "x").returncode == 2
    assert list(tmp_path.iterdir()) == []
    assert run("page.md").returncode == 0
    assert (tmp_path / "page.md").read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("brackets", ["[]", '{"a":}'])
def test_json_is_read_as_deep_as_anything_can_walk_through(tmp_path, brackets):
    begin, end = brackets[:-1], brackets[-1]

    def nested(levels: int) -> Path:
        file = tmp_path / "deep.json"
        file.write_text(begin * levels + "1" + end * levels)
        return file

    assert read_json_file(nested(100))
    for levels in (102, 500, 100_000):
        with pytest.raises(DataError, match="nested too deep"):
            read_json_file(nested(levels))
