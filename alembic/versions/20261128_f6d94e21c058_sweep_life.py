"""Sweeps say when they began and ended and why, what they cost, and can be put away.

Revision: f6d94e21c058
Revises: f2c81d47a9e0
Created: 2026-11-28
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "f6d94e21c058"
down_revision = "f2c81d47a9e0"
branch_labels = None
depends_on = None

NUMBERS = ("started_at", "ended_at", "archived_at", "device_seconds")
SWEEPS = sa.table("sweeps", sa.column("state", sa.String()))
PROGRESS = sa.table("progress", sa.column("state", sa.String()))
NEW_STATES = ("cancelled", "refused", "stopped")


def upgrade() -> None:
    """Add the columns; of sweeps that are there nobody knows any more."""
    op.add_column("sweeps", sa.Column("reason", sa.String(), nullable=True))
    for name in NUMBERS:
        op.add_column("sweeps", sa.Column(name, sa.Float(53), nullable=True))
    op.add_column("sweeps", sa.Column("exit_code", sa.Integer(), nullable=True))
    op.add_column("sweep_steps", sa.Column("train_rows", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    """Drop the columns; states that the code of then does not know become ``killed``, as it called them all."""
    for table in (SWEEPS, PROGRESS):
        op.execute(sa.update(table).where(table.c.state.in_(NEW_STATES)).values(state="killed"))
    op.drop_column("sweep_steps", "train_rows")
    op.drop_column("sweeps", "exit_code")
    for name in reversed(NUMBERS):
        op.drop_column("sweeps", name)
    op.drop_column("sweeps", "reason")
