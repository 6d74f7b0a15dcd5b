"""Steps of a sweep have an identity of their own; until now their titles tied them.

Rows recorded before keep NULL, and the titles in ``needs``: a report reads them by their spec.

Revision: e3f05b8c6e17
Revises: d58e03f6a71c
Created: 2026-11-28
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "e3f05b8c6e17"
down_revision = "d58e03f6a71c"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
STEPS = sa.table(
    "sweep_steps",
    sa.column("sweep_key", sa.String(64)),
    sa.column("position", sa.Integer()),
    sa.column("title", sa.String()),
    sa.column("needs", JSON),
    sa.column("step_id", sa.String()),
)


def upgrade() -> None:
    """Add the column."""
    op.add_column("sweep_steps", sa.Column("step_id", sa.String(), nullable=True))


def downgrade() -> None:
    """Tie steps by their titles again, and drop the column."""
    connection = op.get_bind()
    identified = connection.execute(sa.select(STEPS).where(STEPS.c.step_id.is_not(None))).all()
    titles = {(row.sweep_key, row.step_id): row.title for row in identified}
    for row in identified:
        if row.needs:
            needs = [titles.get((row.sweep_key, need), need) for need in row.needs]
            here = (STEPS.c.sweep_key == row.sweep_key) & (STEPS.c.position == row.position)
            connection.execute(sa.update(STEPS).where(here).values(needs=needs))
    op.drop_column("sweep_steps", "step_id")
