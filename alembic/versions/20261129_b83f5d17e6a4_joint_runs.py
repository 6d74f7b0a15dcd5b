"""Runs that train one model on several tasks have a table of their own.

Revision: b83f5d17e6a4
Revises: f6d94e21c058
Created: 2026-11-29
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "b83f5d17e6a4"
down_revision = "f6d94e21c058"
branch_labels = None
depends_on = None

TABLE = "joint_runs"
KIND = "joint"
LINEAGE = sa.table("lineage", sa.column("child"), sa.column("parent_kind", sa.String()))
STEPS = sa.table("sweep_steps", sa.column("kind", sa.String()))


def upgrade() -> None:
    """Make the table."""
    json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
    texts = ("device", "device_name", "adapterlab_version", "git_commit", "python_version")
    texts += ("torch_version", "transformers_version", "run_id")
    op.create_table(
        TABLE,
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("backbone_digest", sa.String(64), nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("settings", json, nullable=False),
        sa.Column("shares", json, nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("metric", sa.String(), nullable=False),
        sa.Column("value", sa.Float(53), nullable=True),
        sa.Column("steps", sa.BigInteger(), nullable=True),
        sa.Column("best_step", sa.BigInteger(), nullable=True),
        sa.Column("blob", sa.String(64), nullable=False),
        sa.Column("blob_bytes", sa.BigInteger(), nullable=False),
        sa.Column("n_parameters", sa.BigInteger(), nullable=True),
        sa.Column("head_parameters", sa.BigInteger(), nullable=True),
        sa.Column("seconds", sa.Float(53), nullable=True),
        sa.Column("train_rows", sa.BigInteger(), nullable=True),
        *(sa.Column(name, sa.String(), nullable=True) for name in texts),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["backbone_digest"], ["backbones.digest"], name="fk_joint_runs_backbone_digest"
        ),
        sa.PrimaryKeyConstraint("key", name="pk_joint_runs"),
    )
    op.create_index("ix_joint_runs_blob", TABLE, ["blob"])
    op.create_index("ix_joint_runs_created_at", TABLE, ["created_at"])
    op.create_index("ix_joint_runs_method_created_at", TABLE, ["method", "created_at"])
    op.create_index("ix_joint_runs_backbone_digest_created_at", TABLE, ["backbone_digest", "created_at"])


def downgrade() -> None:
    """Drop the table; what tasks have of its runs stays, as adapters whose parent nobody knows.

    Sweeps forget that they had such steps: the code of then has no word for them.
    """
    op.execute(sa.delete(LINEAGE).where(LINEAGE.c.parent_kind == KIND))
    op.execute(sa.delete(STEPS).where(STEPS.c.kind == KIND))
    op.drop_table(TABLE)
