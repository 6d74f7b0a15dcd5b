"""Sweeps say how many steps they have, so that the loss of the last one is missed, too.

Revision: e5a18c62f0d7
Revises: d9b47c1f03e8
Created: 2026-11-29
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "e5a18c62f0d7"
down_revision = "d9b47c1f03e8"
branch_labels = None
depends_on = None

SWEEPS = sa.table("sweeps", sa.column("key", sa.String()), sa.column("n_steps", sa.Integer()))
STEPS = sa.table("sweep_steps", sa.column("sweep_key", sa.String()))


def upgrade() -> None:
    """Add the column, and count the steps that are there."""
    op.add_column("sweeps", sa.Column("n_steps", sa.Integer(), nullable=True))
    there = sa.select(sa.func.count()).where(STEPS.c.sweep_key == SWEEPS.c.key).scalar_subquery()
    op.execute(sa.update(SWEEPS).values(n_steps=there))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("sweeps", "n_steps")
