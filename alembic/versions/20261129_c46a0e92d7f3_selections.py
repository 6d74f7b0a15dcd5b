"""Which sources a target combines has a table of its own, and adapters are made from what chose their settings.

Revision: c46a0e92d7f3
Revises: b83f5d17e6a4
Created: 2026-11-29
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "c46a0e92d7f3"
down_revision = "b83f5d17e6a4"
branch_labels = None
depends_on = None

TABLE = "selections"
KIND = "selection"
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
ADAPTERS = sa.table("adapters", sa.column("key", sa.String()), sa.column("settings", JSON))
LINEAGE = sa.table(
    "lineage",
    sa.column("child", sa.String()),
    sa.column("position", sa.Integer()),
    sa.column("parent", sa.String()),
    sa.column("child_kind", sa.String()),
    sa.column("parent_kind", sa.String()),
)
STEPS = sa.table("sweep_steps", sa.column("kind", sa.String()))


def upgrade() -> None:
    """Make the table, and say of adapters which study chose what was searched of them."""
    op.create_table(
        TABLE,
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("backbone_digest", sa.String(64), nullable=False),
        sa.Column("task", sa.String(), nullable=False),
        sa.Column("task_digest", sa.String(64), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("settings", JSON, nullable=False),
        sa.Column("sources", JSON, nullable=False),
        sa.Column("metric", sa.String(), nullable=False),
        sa.Column("value", sa.Float(53), nullable=True),
        sa.Column("seconds", sa.Float(53), nullable=True),
        sa.Column("train_rows", sa.BigInteger(), nullable=True),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["backbone_digest"], ["backbones.digest"], name="fk_selections_backbone_digest"
        ),
        sa.ForeignKeyConstraint(
            ["task", "task_digest"], ["tasks.name", "tasks.digest"], name="fk_selections_task_task_digest"
        ),
        sa.PrimaryKeyConstraint("key", name="pk_selections"),
    )
    op.create_index("ix_selections_created_at", TABLE, ["created_at"])
    op.create_index(
        "ix_selections_task_created_at_rule_backbone_digest",
        TABLE,
        ["task", "created_at", "rule", "backbone_digest"],
    )
    op.create_index("ix_selections_rule_created_at", TABLE, ["rule", "created_at"])
    op.create_index("ix_selections_backbone_digest_created_at", TABLE, ["backbone_digest", "created_at"])
    op.add_column("studies", sa.Column("selection", sa.String(64), nullable=True))
    op.create_index("ix_studies_selection", "studies", ["selection"])
    connection = op.get_bind()
    known = set(connection.execute(sa.select(LINEAGE.c.child)).scalars())
    edges = [
        {
            "child": key,
            "position": 0,
            "parent": settings["study"],
            "child_kind": "source",
            "parent_kind": "study",
        }
        for key, settings in connection.execute(sa.select(ADAPTERS.c.key, ADAPTERS.c.settings))
        if key not in known and settings.get("study") is not None
    ]
    if edges:
        connection.execute(sa.insert(LINEAGE), edges)


def downgrade() -> None:
    """Drop the table; studies keep their pools, and nobody knows how these were chosen.

    Sweeps forget that they had such steps: the code of then has no word for them.
    """
    op.execute(sa.delete(LINEAGE).where(sa.or_(LINEAGE.c.parent_kind == KIND, LINEAGE.c.child_kind == KIND)))
    op.execute(sa.delete(LINEAGE).where(LINEAGE.c.child_kind == "source", LINEAGE.c.parent_kind == "study"))
    op.execute(sa.delete(STEPS).where(STEPS.c.kind == KIND))
    op.drop_index("ix_studies_selection", table_name="studies")
    op.drop_column("studies", "selection")
    op.drop_table(TABLE)
