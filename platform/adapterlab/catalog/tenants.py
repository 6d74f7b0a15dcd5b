"""Which catalogs keep weights in a store: each leaves a small file there, so that none removes another's.

A catalog is recognised by what moves with it: a number in the header of its SQLite file, the server's and the
database's own on PostgreSQL. Its name is for people only; two machines may have catalogs of one name.
"""

from __future__ import annotations

import json
import secrets
from contextlib import suppress

from sqlalchemy import Connection, exc, text

from adapterlab.catalog.blobs import Blobs
from adapterlab.catalog.database import Database
from adapterlab.fingerprint import key_of

_POSTGRES_IDENTITY = """
SELECT (SELECT system_identifier FROM pg_control_system()) AS server,
       (SELECT oid FROM pg_database WHERE datname = current_database()) AS number
"""
_LARGEST = 2**31 - 1


def announce(database: Database, blobs: Blobs) -> None:
    """Leave a catalog's mark in the store that it keeps weights in; costs a look where it is there.

    A SQLite file without a number is given one.

    Raises:
        UnavailableError: The store or the database cannot be reached or written.
    """
    if database.is_sqlite and not _sqlite_number(database):
        database.write(_give_number)
    own = _identity(database)
    if own is not None:
        blobs.mark(own, json.dumps({"catalog": database.name}).encode())


def others(database: Database, blobs: Blobs) -> dict[str, str]:
    """Return the other catalogs that keep weights in a store; changes nothing.

    Returns:
        Each one's name by the place of its mark; empty where the server does not tell its databases apart.

    Raises:
        UnavailableError: The store or the database cannot be reached.
    """
    own = _identity(database)
    if own is None:
        return {}
    return {place: _name(content) for place, content in blobs.marks().items() if own not in place}


def _name(mark: bytes) -> str:
    with suppress(ValueError, KeyError, TypeError):
        return str(json.loads(mark)["catalog"])
    return "an unknown catalog"


def _identity(database: Database) -> str | None:
    """Return what tells a catalog from all others, 64 hexadecimal digits; ``None``: its server does not say."""
    if database.is_sqlite:
        # Without a number it has left no mark yet, and 0 is nobody's.
        return key_of("catalog", 1, {"sqlite": _sqlite_number(database)})
    with suppress(exc.DBAPIError), database.reading() as connection:
        row = connection.execute(text(_POSTGRES_IDENTITY)).one()
        return key_of("catalog", 1, {"server": str(row.server), "number": int(row.number)})
    return None


def _sqlite_number(database: Database) -> int:
    with database.reading() as connection:
        return _number(connection)


def _number(connection: Connection) -> int:
    return int(connection.exec_driver_sql("PRAGMA application_id").scalar_one())


def _give_number(connection: Connection) -> int:
    if not (number := _number(connection)):
        number = 1 + secrets.randbelow(_LARGEST - 1)
        connection.exec_driver_sql(f"PRAGMA application_id = {number}")
    return number
