"""Adapters and transfers say how many metrics they have, so that a lost one is missed.

Revision: d9b47c1f03e8
Revises: c6e2f90a74d1
Created: 2026-11-29
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "d9b47c1f03e8"
down_revision = "c6e2f90a74d1"
branch_labels = None
depends_on = None

TABLES = tuple(
    sa.table(name, sa.column("key", sa.String()), sa.column("n_metrics", sa.Integer()))
    for name in ("adapters", "transfers")
)
METRICS = sa.table("metrics", sa.column("key", sa.String()))


def upgrade() -> None:
    """Add the column, and count the metrics that are there."""
    for table in TABLES:
        op.add_column(table.name, sa.Column("n_metrics", sa.Integer(), nullable=True))
        there = sa.select(sa.func.count()).where(METRICS.c.key == table.c.key).scalar_subquery()
        op.execute(sa.update(table).values(n_metrics=there))


def downgrade() -> None:
    """Drop the column."""
    for table in TABLES:
        op.drop_column(table.name, "n_metrics")
