"""Adapters and transfers say which versions and which device made them.

Revision: d58e03f6a71c
Revises: a41c7e90b5d2
Created: 2026-11-28
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "d58e03f6a71c"
down_revision = "a41c7e90b5d2"
branch_labels = None
depends_on = None

TABLES = ("adapters", "transfers")
COLUMNS = (
    "device_name",
    "adapterlab_version",
    "git_commit",
    "python_version",
    "torch_version",
    "transformers_version",
)


def upgrade() -> None:
    """Add the columns; in rows that are there they stay NULL, because nobody knows any more."""
    for table in TABLES:
        for name in COLUMNS:
            op.add_column(table, sa.Column(name, sa.String(), nullable=True))


def downgrade() -> None:
    """Drop the columns."""
    for table in TABLES:
        for name in reversed(COLUMNS):
            op.drop_column(table, name)
