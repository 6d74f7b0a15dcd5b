"""A study may be of several tasks at once: the search of a joint run.

Revision: c6e2f90a74d1
Revises: c46a0e92d7f3
Created: 2026-11-29
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "c6e2f90a74d1"
down_revision = "c46a0e92d7f3"
branch_labels = None
depends_on = None

STUDIES = sa.table("studies", sa.column("key", sa.String()), sa.column("task", sa.String()))
ONE_TASK = ("task", "task_digest")


def upgrade() -> None:
    """Let a study have a list of tasks instead of one."""
    json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
    with op.batch_alter_table("studies") as table:
        table.add_column(sa.Column("tasks", json, nullable=True))
        for name in ONE_TASK:
            table.alter_column(name, existing_type=_text(name), nullable=True)


def downgrade() -> None:
    """Forget the studies of several tasks, which the code of then has no place for; joint runs keep what they chose."""
    op.execute(sa.delete(STUDIES).where(STUDIES.c.task.is_(None)))
    with op.batch_alter_table("studies") as table:
        for name in ONE_TASK:
            table.alter_column(name, existing_type=_text(name), nullable=False)
        table.drop_column("tasks")


def _text(name: str) -> sa.String:
    return sa.String(64) if name.endswith("digest") else sa.String()
