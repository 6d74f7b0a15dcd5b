"""A PostgreSQL server that stands still without closing its connections, and is waited for only so long.

Its machine answers for it, so that neither keep-alive nor a time-out of the server's own ever ends such a wait: a
process that was stopped, a disk that hangs, a lock that a stopped client holds. The limit is on our side.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, event

if TYPE_CHECKING:
    import psycopg

ANSWER_S = 150.0
"""How long a server may say nothing, in seconds: longer than anything of ours waits for a lock of ours."""


def end_silence(engine: Engine, within_s: float = ANSWER_S) -> None:
    """Have an engine's connections broken that get no answer in time; that is told as any other broken one is.

    Connections that it has already are closed, unless they are in use.

    Args:
        engine: Of a PostgreSQL database; others are left as they are.
        within_s: The time.
    """
    if engine.dialect.driver != "psycopg":
        return

    connection = _impatient(within_s)

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: Any, _record: Any, arguments: Any, named: Any) -> psycopg.Connection[Any]:
        return connection.connect(*arguments, **named)

    engine.dispose()


@cache
def _impatient(within_s: float) -> type[psycopg.Connection[Any]]:
    import psycopg

    class Impatient(psycopg.Connection[Any]):
        """Ends itself where its server says nothing for too long."""

        def wait(self, gen: Any, *arguments: Any, **named: Any) -> Any:
            return super().wait(self._within(gen), *arguments, **named)

        def _within(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
            """Hand on what a generator of psycopg waits for; it is told at short intervals that nothing came."""
            said_at, ready = time.monotonic(), None
            try:
                while True:
                    wanted = gen.send(ready)
                    ready = yield wanted
                    if ready:
                        said_at = time.monotonic()
                    elif time.monotonic() - said_at > within_s:
                        self.pgconn.finish()
                        raise psycopg.OperationalError(f"the server has said nothing for {within_s:.0f} s")
            except StopIteration as ended:
                return ended.value

    return Impatient
