"""Adapters can be imported, and records have names, notes and tags.

Revision: f2c81d47a9e0
Revises: e3f05b8c6e17
Created: 2026-11-28
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "f2c81d47a9e0"
down_revision = "e3f05b8c6e17"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    """Add the column and the table."""
    op.add_column("adapters", sa.Column("origin", JSON, nullable=True))
    op.create_table(
        "annotations",
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("name", sa.String(), nullable=True),
        sa.Column("note", sa.String(), nullable=True),
        sa.Column("tags", JSON, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_annotations"),
    )


def downgrade() -> None:
    """Drop both; imported adapters stay, and look as if they had been trained."""
    op.drop_table("annotations")
    op.drop_column("adapters", "origin")
