"""The first catalog: records of results, claims, progress, sweeps, tracking runs.

Revision: a41c7e90b5d2
Revises: -
Created: 2026-11-21
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "a41c7e90b5d2"
down_revision = None
branch_labels = None
depends_on = None

DIGEST = sa.String(64)
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
TABLES = (
    "backbones",
    "claims",
    "lineage",
    "metrics",
    "progress",
    "sweeps",
    "tasks",
    "tracking_runs",
    "adapters",
    "studies",
    "sweep_steps",
    "transfers",
    "coefficients",
)


def upgrade() -> None:  # noqa: PLR0915 - one statement a table or index
    """Create all tables."""
    op.create_table(
        "backbones",
        sa.Column("digest", DIGEST, nullable=False),
        sa.Column("source", sa.String(), nullable=True),
        sa.Column("architecture", sa.String(), nullable=True),
        sa.Column("layers", sa.Integer(), nullable=True),
        sa.Column("hidden_size", sa.Integer(), nullable=True),
        sa.Column("tokenizer_digest", DIGEST, nullable=True),
        sa.Column("config_digest", DIGEST, nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_backbones"),
    )
    op.create_table(
        "claims",
        sa.Column("step_key", DIGEST, nullable=False),
        sa.Column("owner", sa.String(), nullable=True),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("acquired_at", sa.Float(53), nullable=False),
        sa.Column("expires_at", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("step_key", name="pk_claims"),
    )
    op.create_table(
        "lineage",
        sa.Column("child", DIGEST, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("parent", DIGEST, nullable=False),
        sa.Column("child_kind", sa.String(), nullable=False),
        sa.Column("parent_kind", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("child", "position", name="pk_lineage"),
    )
    op.create_index("ix_lineage_parent", "lineage", ["parent"])
    op.create_table(
        "metrics",
        sa.Column("key", DIGEST, nullable=False),
        sa.Column("split", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("task", sa.String(), nullable=False),
        sa.Column("backbone_digest", DIGEST, nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("value", sa.Float(53), nullable=True),
        sa.PrimaryKeyConstraint("key", "split", "name", name="pk_metrics"),
    )
    op.create_index(
        "ix_metrics_name_kind_split_backbone_digest_value_method",
        "metrics",
        ["name", "kind", "split", "backbone_digest", "value", "method"],
    )
    op.create_index(
        "ix_metrics_name_kind_split_method_value", "metrics", ["name", "kind", "split", "method", "value"]
    )
    op.create_index(
        "ix_metrics_name_kind_split_task_value_method_backbone_digest",
        "metrics",
        ["name", "kind", "split", "task", "value", "method", "backbone_digest"],
    )
    op.create_index("ix_metrics_name_kind_split_value", "metrics", ["name", "kind", "split", "value"])
    op.create_table(
        "progress",
        sa.Column("step_key", DIGEST, nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=True),
        sa.Column("detail", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("updated_at", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("step_key", name="pk_progress"),
    )
    op.create_table(
        "sweeps",
        sa.Column("key", DIGEST, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("spec", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=True),
        sa.Column("created_at", sa.Float(53), nullable=False),
        sa.Column("updated_at", sa.Float(53), nullable=False),
        sa.Column("cancel_requested_at", sa.Float(53), nullable=True),
        sa.PrimaryKeyConstraint("key", name="pk_sweeps"),
    )
    op.create_index("ix_sweeps_name_updated_at", "sweeps", ["name", "updated_at"])
    op.create_index("ix_sweeps_updated_at", "sweeps", ["updated_at"])
    op.create_table(
        "tasks",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("digest", DIGEST, nullable=False),
        sa.Column("problem_type", sa.String(), nullable=True),
        sa.Column("n_labels", sa.Integer(), nullable=True),
        sa.Column("metric", sa.String(), nullable=True),
        sa.Column("n_train", sa.Integer(), nullable=True),
        sa.Column("n_validation", sa.Integer(), nullable=True),
        sa.Column("n_test", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", "digest", name="pk_tasks"),
    )
    op.create_table(
        "tracking_runs",
        sa.Column("node", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("node", name="pk_tracking_runs"),
    )
    op.create_table(
        "adapters",
        sa.Column("key", DIGEST, nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("backbone_digest", DIGEST, nullable=False),
        sa.Column("task", sa.String(), nullable=False),
        sa.Column("task_digest", DIGEST, nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("settings", JSON, nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("metric", sa.String(), nullable=False),
        sa.Column("metric_value", sa.Float(53), nullable=True),
        sa.Column("epochs", sa.Integer(), nullable=True),
        sa.Column("best_epoch", sa.Integer(), nullable=True),
        sa.Column("blob", DIGEST, nullable=False),
        sa.Column("blob_bytes", sa.BigInteger(), nullable=False),
        sa.Column("n_parameters", sa.BigInteger(), nullable=True),
        sa.Column("head_parameters", sa.BigInteger(), nullable=True),
        sa.Column("seconds", sa.Float(53), nullable=True),
        sa.Column("train_rows", sa.BigInteger(), nullable=True),
        sa.Column("device", sa.String(), nullable=True),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["backbone_digest"], ["backbones.digest"], name="fk_adapters_backbone_digest"
        ),
        sa.ForeignKeyConstraint(
            ["task", "task_digest"], ["tasks.name", "tasks.digest"], name="fk_adapters_task_task_digest"
        ),
        sa.PrimaryKeyConstraint("key", name="pk_adapters"),
    )
    op.create_index("ix_adapters_backbone_digest_created_at", "adapters", ["backbone_digest", "created_at"])
    op.create_index(
        "ix_adapters_backbone_digest_method_created_at",
        "adapters",
        ["backbone_digest", "method", "created_at"],
    )
    op.create_index(
        "ix_adapters_backbone_digest_method_metric_value",
        "adapters",
        ["backbone_digest", "method", "metric_value"],
    )
    op.create_index(
        "ix_adapters_backbone_digest_metric_value", "adapters", ["backbone_digest", "metric_value"]
    )
    op.create_index("ix_adapters_blob", "adapters", ["blob"])
    op.create_index("ix_adapters_created_at", "adapters", ["created_at"])
    op.create_index("ix_adapters_method_created_at", "adapters", ["method", "created_at"])
    op.create_index("ix_adapters_method_metric_value", "adapters", ["method", "metric_value"])
    op.create_index("ix_adapters_metric_value", "adapters", ["metric_value"])
    op.create_index("ix_adapters_seed_created_at", "adapters", ["seed", "created_at"])
    op.create_index("ix_adapters_seed_metric_value", "adapters", ["seed", "metric_value"])
    op.create_index(
        "ix_adapters_task_created_at_method_backbone_digest",
        "adapters",
        ["task", "created_at", "method", "backbone_digest"],
    )
    op.create_index(
        "ix_adapters_task_metric_value_method_backbone_digest",
        "adapters",
        ["task", "metric_value", "method", "backbone_digest"],
    )
    op.create_table(
        "studies",
        sa.Column("key", DIGEST, nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("backbone_digest", DIGEST, nullable=False),
        sa.Column("task", sa.String(), nullable=False),
        sa.Column("task_digest", DIGEST, nullable=False),
        sa.Column("combiner", sa.String(), nullable=False),
        sa.Column("settings", JSON, nullable=False),
        sa.Column("pool", JSON, nullable=False),
        sa.Column("metric", sa.String(), nullable=False),
        sa.Column("best_trial", sa.Integer(), nullable=True),
        sa.Column("best_value", sa.Float(53), nullable=True),
        sa.Column("best_settings", JSON, nullable=False),
        sa.Column("trials", JSON, nullable=False),
        sa.Column("study_name", sa.String(), nullable=True),
        sa.Column("seconds", sa.Float(53), nullable=True),
        sa.Column("train_rows", sa.BigInteger(), nullable=True),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["backbone_digest"], ["backbones.digest"], name="fk_studies_backbone_digest"),
        sa.ForeignKeyConstraint(
            ["task", "task_digest"], ["tasks.name", "tasks.digest"], name="fk_studies_task_task_digest"
        ),
        sa.PrimaryKeyConstraint("key", name="pk_studies"),
    )
    op.create_index("ix_studies_backbone_digest_best_value", "studies", ["backbone_digest", "best_value"])
    op.create_index(
        "ix_studies_backbone_digest_combiner_best_value",
        "studies",
        ["backbone_digest", "combiner", "best_value"],
    )
    op.create_index(
        "ix_studies_backbone_digest_combiner_created_at",
        "studies",
        ["backbone_digest", "combiner", "created_at"],
    )
    op.create_index("ix_studies_backbone_digest_created_at", "studies", ["backbone_digest", "created_at"])
    op.create_index("ix_studies_best_value", "studies", ["best_value"])
    op.create_index("ix_studies_combiner_best_value", "studies", ["combiner", "best_value"])
    op.create_index("ix_studies_combiner_created_at", "studies", ["combiner", "created_at"])
    op.create_index("ix_studies_created_at", "studies", ["created_at"])
    op.create_index(
        "ix_studies_task_best_value_combiner_backbone_digest",
        "studies",
        ["task", "best_value", "combiner", "backbone_digest"],
    )
    op.create_index(
        "ix_studies_task_created_at_combiner_backbone_digest",
        "studies",
        ["task", "created_at", "combiner", "backbone_digest"],
    )
    op.create_table(
        "sweep_steps",
        sa.Column("sweep_key", DIGEST, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("step_key", DIGEST, nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("needs", JSON, nullable=False),
        sa.ForeignKeyConstraint(["sweep_key"], ["sweeps.key"], name="fk_sweep_steps_sweep_key"),
        sa.PrimaryKeyConstraint("sweep_key", "position", name="pk_sweep_steps"),
    )
    op.create_index("ix_sweep_steps_step_key", "sweep_steps", ["step_key"])
    op.create_table(
        "transfers",
        sa.Column("key", DIGEST, nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("study_key", DIGEST, nullable=False),
        sa.Column("backbone_digest", DIGEST, nullable=False),
        sa.Column("task", sa.String(), nullable=False),
        sa.Column("task_digest", DIGEST, nullable=False),
        sa.Column("combiner", sa.String(), nullable=False),
        sa.Column("settings", JSON, nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("metric", sa.String(), nullable=False),
        sa.Column("validation_value", sa.Float(53), nullable=True),
        sa.Column("test_value", sa.Float(53), nullable=True),
        sa.Column("epochs", sa.Integer(), nullable=True),
        sa.Column("best_epoch", sa.Integer(), nullable=True),
        sa.Column("blob", DIGEST, nullable=False),
        sa.Column("blob_bytes", sa.BigInteger(), nullable=False),
        sa.Column("coefficient_shape", JSON, nullable=False),
        sa.Column("n_parameters", sa.BigInteger(), nullable=True),
        sa.Column("head_parameters", sa.BigInteger(), nullable=True),
        sa.Column("seconds", sa.Float(53), nullable=True),
        sa.Column("train_rows", sa.BigInteger(), nullable=True),
        sa.Column("device", sa.String(), nullable=True),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["backbone_digest"], ["backbones.digest"], name="fk_transfers_backbone_digest"
        ),
        sa.ForeignKeyConstraint(["study_key"], ["studies.key"], name="fk_transfers_study_key"),
        sa.ForeignKeyConstraint(
            ["task", "task_digest"], ["tasks.name", "tasks.digest"], name="fk_transfers_task_task_digest"
        ),
        sa.PrimaryKeyConstraint("key", name="pk_transfers"),
    )
    op.create_index(
        "ix_transfers_backbone_digest_combiner_created_at",
        "transfers",
        ["backbone_digest", "combiner", "created_at"],
    )
    op.create_index(
        "ix_transfers_backbone_digest_combiner_test_value",
        "transfers",
        ["backbone_digest", "combiner", "test_value"],
    )
    op.create_index("ix_transfers_backbone_digest_created_at", "transfers", ["backbone_digest", "created_at"])
    op.create_index("ix_transfers_backbone_digest_test_value", "transfers", ["backbone_digest", "test_value"])
    op.create_index("ix_transfers_blob", "transfers", ["blob"])
    op.create_index("ix_transfers_combiner_created_at", "transfers", ["combiner", "created_at"])
    op.create_index("ix_transfers_combiner_test_value", "transfers", ["combiner", "test_value"])
    op.create_index("ix_transfers_created_at", "transfers", ["created_at"])
    op.create_index("ix_transfers_seed_created_at", "transfers", ["seed", "created_at"])
    op.create_index("ix_transfers_seed_test_value", "transfers", ["seed", "test_value"])
    op.create_index("ix_transfers_study_key", "transfers", ["study_key"])
    op.create_index(
        "ix_transfers_task_created_at_combiner_backbone_digest",
        "transfers",
        ["task", "created_at", "combiner", "backbone_digest"],
    )
    op.create_index(
        "ix_transfers_task_test_value_combiner_backbone_digest",
        "transfers",
        ["task", "test_value", "combiner", "backbone_digest"],
    )
    op.create_index("ix_transfers_test_value", "transfers", ["test_value"])
    op.create_table(
        "coefficients",
        sa.Column("transfer_key", DIGEST, nullable=False),
        sa.Column("layer", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("adapter_key", DIGEST, nullable=False),
        sa.Column("source_task", sa.String(), nullable=False),
        sa.Column("mean", sa.Float(53), nullable=True),
        sa.Column("std", sa.Float(53), nullable=True),
        sa.Column("minimum", sa.Float(53), nullable=True),
        sa.Column("maximum", sa.Float(53), nullable=True),
        sa.ForeignKeyConstraint(["transfer_key"], ["transfers.key"], name="fk_coefficients_transfer_key"),
        sa.PrimaryKeyConstraint("transfer_key", "layer", "position", name="pk_coefficients"),
    )
    op.create_index("ix_coefficients_adapter_key", "coefficients", ["adapter_key"])
    op.create_index("ix_coefficients_source_task", "coefficients", ["source_task"])


def downgrade() -> None:
    """Drop all tables, with their indexes."""
    for table in reversed(TABLES):
        op.drop_table(table)
