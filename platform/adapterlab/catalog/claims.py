"""Leases with fencing: who may do a step, and who may publish its result.

A claim is one row: owner, fencing token, expiry by the *database's* clock, so that clocks of
machines need not agree. It can be taken over when it was released, when its lease has expired, or
at once when its owner is a process of this same machine, boot and process namespace that no longer
exists. Each new claim raises the token; an owner whose token is no longer the row's has lost, even
if it sleeps through its own expiry and wakes later.

Lock order on PostgreSQL, to keep deadlocks away: claims in the order of their keys, then progress.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache

from sqlalchemy import Connection, and_, or_, select, update

from adapterlab.catalog import schema
from adapterlab.catalog.database import chunks, epoch_now, insert_into
from adapterlab.catalog.records import Claim, Holder
from adapterlab.catalog.step_status import complete_keys, write_progress
from adapterlab.errors import ClaimLostError
from adapterlab.owners import owner_is_dead
from adapterlab.records import State


def valid_lease(lease_s: float) -> float:
    """Return a lease's length.

    Raises:
        ValueError: It is not a positive, finite number of seconds.
    """
    if not (math.isfinite(lease_s) and lease_s > 0):
        raise ValueError(f"a lease lasts a positive number of seconds, got {lease_s!r}")
    return lease_s


def claim_many(
    connection: Connection, keys: Sequence[str], owner: str, lease_s: float, *, tried: dict[str, int]
) -> dict[str, Claim]:
    """Claim every step that is neither complete nor held; one transaction, see ``Catalog.claim_many``.

    Args:
        connection: In a write transaction.
        keys: The steps.
        owner: Who claims.
        lease_s: How long the claims live.
        tried: Tokens that the same call took before, when the answer to its COMMIT was lost: where they are still
            the owner's, they are kept. Filled with those it takes now.
    """
    complete = complete_keys(connection, keys)
    open_keys = [key for key in keys if key not in complete]
    tokens = _taken_before(connection, open_keys, owner, tried)
    open_keys = [key for key in open_keys if key not in tokens]
    _release_dead(connection, open_keys)
    for chunk in chunks(open_keys):
        tokens.update(_take(connection, chunk, owner, lease_s))
    # PostgreSQL: a step may have been completed while this transaction waited for its claim. The new
    # token was seen by nobody, so it is taken back: the publisher's own must stay the last.
    for key in complete_keys(connection, sorted(tokens)):
        _clear(connection, key, tokens.pop(key), token_before=True)
    for chunk in chunks(sorted(tokens)):
        write_progress(connection, chunk, state=State.RUNNING)
    tried.clear()
    tried.update(tokens)
    return {key: Claim(key=key, token=token, owner=owner) for key, token in tokens.items()}


def renew(connection: Connection, claims: Sequence[Claim], lease_s: float) -> set[str]:
    """Extend leases by the database's clock; return the keys that are lost."""
    held = _still_held(connection, claims)
    for chunk in chunks(sorted(held)):
        connection.execute(
            update(schema.Claim)
            .where(schema.Claim.step_key.in_(chunk))
            .values(expires_at=epoch_now() + lease_s)
        )
    return {claim.key for claim in claims} - held


def release(connection: Connection, claims: Sequence[Claim], state: State, reason: str | None) -> None:
    """Give steps back without a result; claims that are lost already are left alone."""
    held = _still_held(connection, claims)
    tokens = {claim.key: claim.token for claim in claims}
    for key in sorted(held):
        _clear(connection, key, tokens[key])
    for chunk in chunks(sorted(held)):
        write_progress(connection, chunk, state=state, reason=reason)


def verify(connection: Connection, claim: Claim, *, lock: bool = True) -> None:
    """Check that a claim still holds, and keep it so until the transaction ends.

    Args:
        connection: In a write transaction, or a reading one without ``lock``.
        claim: The claim.
        lock: Lock the claim's row; ``False`` only looks.

    Raises:
        ClaimLostError: Another owner has it, or it was released.
    """
    statement = select(schema.Claim.token, schema.Claim.owner).where(schema.Claim.step_key == claim.key)
    row = connection.execute(statement.with_for_update() if lock else statement).first()
    if row is None or row.token != claim.token or row.owner is None:
        now = "was never claimed" if row is None else f"is at token {row.token}"
        raise ClaimLostError(
            f"step {claim.key[:12]}: the claim with token {claim.token} is no longer valid; the step {now}",
            remedy="Nothing was written. Another process does this step, or has done it.",
            key=claim.key,
            token=claim.token,
        )


def finish(connection: Connection, claim: Claim, state: State, reason: str | None = None) -> None:
    """Write a step's final state and give its (verified) claim back."""
    _clear(connection, claim.key, claim.token)
    write_progress(connection, [claim.key], state=state, reason=reason)


def is_finished(connection: Connection, claim: Claim, state: State) -> bool:
    """Return whether this very claim was given back with that state."""
    row = connection.execute(
        select(schema.Claim.token, schema.Claim.owner).where(schema.Claim.step_key == claim.key)
    ).first()
    if row is None or row.token != claim.token or row.owner is not None:
        return False
    found = select(schema.Progress.state).where(schema.Progress.step_key == claim.key)
    return connection.execute(found).scalar() == str(state)


def last_token(connection: Connection, key: str) -> int | None:
    """Return the token of a step's latest claim, held or not."""
    return connection.execute(select(schema.Claim.token).where(schema.Claim.step_key == key)).scalar()


def holders(connection: Connection, keys: Sequence[str]) -> dict[str, Holder]:
    """Return who holds which of the steps now: leases that are live, and owners not known to be dead."""
    table = schema.Claim
    found: dict[str, Holder] = {}
    for chunk in chunks(keys):
        statement = select(
            table.step_key, table.owner, table.token, (table.expires_at - epoch_now()).label("expires_in_s")
        ).where(table.step_key.in_(chunk), table.owner.is_not(None), table.expires_at > epoch_now())
        for row in connection.execute(statement):
            found[row.step_key] = Holder(row.step_key, row.owner, row.token, row.expires_in_s)
    dead = _memo(owner_is_dead)
    return {key: holder for key, holder in found.items() if not dead(holder.owner)}


def _release_dead(connection: Connection, keys: Sequence[str]) -> None:
    dead = _memo(owner_is_dead)
    for chunk in chunks(keys):
        # Locks every existing row in the order of keys, so that two claimers wait for each other
        # here instead of in a circle later.
        rows = connection.execute(
            select(schema.Claim.step_key, schema.Claim.owner, schema.Claim.token)
            .where(schema.Claim.step_key.in_(chunk))
            .order_by(schema.Claim.step_key)
            .with_for_update()
        ).all()
        for row in rows:
            if row.owner is not None and dead(row.owner):
                _clear(connection, row.step_key, row.token)


def _taken_before(
    connection: Connection, keys: Sequence[str], owner: str, tried: Mapping[str, int]
) -> dict[str, int]:
    found: dict[str, int] = {}
    for chunk in chunks(key for key in keys if key in tried):
        rows = connection.execute(
            select(schema.Claim.step_key, schema.Claim.token)
            .where(schema.Claim.step_key.in_(chunk), schema.Claim.owner == owner)
            .order_by(schema.Claim.step_key)
            .with_for_update()
        )
        found.update((row.step_key, row.token) for row in rows if row.token == tried[row.step_key])
    return found


def _take(connection: Connection, keys: Sequence[str], owner: str, lease_s: float) -> dict[str, int]:
    now = epoch_now()
    insert = insert_into(connection, schema.Claim).values(
        [
            {"step_key": key, "owner": owner, "token": 1, "acquired_at": now, "expires_at": now + lease_s}
            for key in keys
        ]
    )
    statement = insert.on_conflict_do_update(
        index_elements=[schema.Claim.step_key],
        set_={
            "owner": insert.excluded.owner,
            "token": schema.Claim.token + 1,
            "acquired_at": insert.excluded.acquired_at,
            "expires_at": insert.excluded.expires_at,
        },
        where=or_(schema.Claim.owner.is_(None), schema.Claim.expires_at <= epoch_now()),
    ).returning(schema.Claim.step_key, schema.Claim.token)
    return {row.step_key: row.token for row in connection.execute(statement)}


def _clear(connection: Connection, key: str, token: int, *, token_before: bool = False) -> None:
    connection.execute(
        update(schema.Claim)
        .where(and_(schema.Claim.step_key == key, schema.Claim.token == token))
        .values(owner=None, expires_at=0.0, token=token - 1 if token_before else token)
    )


def _still_held(connection: Connection, claims: Sequence[Claim]) -> set[str]:
    tokens = {claim.key: claim.token for claim in claims}
    held: set[str] = set()
    for chunk in chunks(sorted(tokens)):
        rows = connection.execute(
            select(schema.Claim.step_key, schema.Claim.token)
            .where(schema.Claim.step_key.in_(chunk), schema.Claim.owner.is_not(None))
            .order_by(schema.Claim.step_key)
            .with_for_update()
        )
        held.update(row.step_key for row in rows if row.token == tokens[row.step_key])
    return held


def _memo(check: Callable[[str], bool]) -> Callable[[str], bool]:
    # For one call only: a process can die any time, so the answer must not be kept.
    return cache(check)
