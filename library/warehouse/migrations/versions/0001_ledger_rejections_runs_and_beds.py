"""Ledger, rejections, runs and beds."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE SCHEMA IF NOT EXISTS beds")
    op.create_table(
        "edition",
        sa.Column("load_id", sa.Uuid(), nullable=False),
        sa.Column("reader_version", sa.SmallInteger(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("financial_year", sa.Text(), nullable=False),
        sa.Column("quarter", sa.SmallInteger(), nullable=False),
        sa.Column("period_end", sa.Date(), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("published", sa.Date(), nullable=True),
        sa.Column("revised", sa.Date(), nullable=True),
        sa.Column("data_quality", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("warnings", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("object_key", sa.Text(), nullable=False),
        sa.Column("object_sha256", sa.Text(), nullable=False),
        sa.Column("landed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("basis IN ('overnight', 'day_only')", name="edition_basis"),
        sa.CheckConstraint("quarter BETWEEN 1 AND 4", name="edition_quarter"),
        sa.PrimaryKeyConstraint("id"),
        schema="beds",
    )
    op.create_index("edition_period", "edition", ["period_end", "basis"], unique=False, schema="beds")
    op.create_table(
        "specialty",
        sa.Column("load_id", sa.Uuid(), nullable=False),
        sa.Column("reader_version", sa.SmallInteger(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("named_for", sa.Date(), nullable=False),
        sa.Column("named_on", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("code"),
        schema="beds",
    )
    op.create_table(
        "load",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("object_key", sa.Text(), nullable=False),
        sa.Column("object_sha256", sa.Text(), nullable=False),
        sa.Column("object_size", sa.BigInteger(), nullable=False),
        sa.Column("reader_version", sa.SmallInteger(), nullable=False),
        sa.Column("reload", sa.SmallInteger(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("counts", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("report", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("committed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("identity"),
        schema="ingest",
    )
    op.create_index("load_committed", "load", ["committed_at"], unique=False, schema="ingest")
    op.create_index("load_run", "load", ["run_id"], unique=False, schema="ingest")
    op.create_index("load_object", "load", ["object_sha256"], unique=False, schema="ingest")
    op.create_table(
        "rejection",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("load_id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("object_key", sa.Text(), nullable=False),
        sa.Column("line", sa.BigInteger(), nullable=False),
        sa.Column("reasons", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=True),
        sa.Column("rejected_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        schema="ingest",
    )
    op.create_index("rejection_load", "rejection", ["load_id"], unique=False, schema="ingest")
    op.create_index("rejection_object", "rejection", ["object_key"], unique=False, schema="ingest")
    op.create_table(
        "run",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("workflow_id", sa.Text(), nullable=False),
        sa.Column("workflow", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("object_key", sa.Text(), nullable=True),
        sa.Column("counts", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("report", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("warnings", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("error", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("load_ids", postgresql.ARRAY(sa.Uuid()), server_default="{}", nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("result IN ('loaded', 'already_loaded')", name="run_result"),
        sa.CheckConstraint("state IN ('running', 'completed', 'failed', 'cancelled')", name="run_state"),
        sa.PrimaryKeyConstraint("id"),
        schema="ingest",
    )
    op.create_index("run_started", "run", ["started_at", "id"], unique=False, schema="ingest")
    op.create_index("run_workflow", "run", ["workflow_id"], unique=False, schema="ingest")
    op.create_table(
        "edition_organisation",
        sa.Column("load_id", sa.Uuid(), nullable=False),
        sa.Column("reader_version", sa.SmallInteger(), nullable=False),
        sa.Column("edition_id", sa.Uuid(), nullable=False),
        sa.Column("organisation_code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("parent_code", sa.Text(), nullable=True),
        sa.Column("parent_kind", sa.Text(), nullable=False),
        sa.Column("warnings", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.CheckConstraint(
            "parent_kind IN ('strategic_health_authority', 'area_team', 'region')",
            name="edition_organisation_parent_kind",
        ),
        sa.PrimaryKeyConstraint("edition_id", "organisation_code"),
        schema="beds",
    )
    op.create_index(
        "edition_organisation_code", "edition_organisation", ["organisation_code"], unique=False, schema="beds"
    )
    op.create_table(
        "england_total",
        sa.Column("load_id", sa.Uuid(), nullable=False),
        sa.Column("reader_version", sa.SmallInteger(), nullable=False),
        sa.Column("edition_id", sa.Uuid(), nullable=False),
        sa.Column("sector", sa.Text(), nullable=False),
        sa.Column("available", sa.Double(), nullable=False),
        sa.Column("occupied", sa.Double(), nullable=False),
        sa.CheckConstraint(
            "sector IN ('total', 'general_and_acute', 'learning_disabilities', 'maternity', 'mental_illness')",
            name="england_total_sector",
        ),
        sa.PrimaryKeyConstraint("edition_id", "sector"),
        schema="beds",
    )
    op.create_table(
        "occupancy",
        sa.Column("load_id", sa.Uuid(), nullable=False),
        sa.Column("reader_version", sa.SmallInteger(), nullable=False),
        sa.Column("edition_id", sa.Uuid(), nullable=False),
        sa.Column("organisation_code", sa.Text(), nullable=False),
        sa.Column("sector", sa.Text(), nullable=False),
        sa.Column("available", sa.Double(), nullable=False),
        sa.Column("occupied", sa.Double(), nullable=False),
        sa.Column("rate", sa.Double(), sa.Computed("occupied / nullif(available, 0)", persisted=True), nullable=True),
        sa.Column("warnings", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.CheckConstraint(
            "sector IN ('total', 'general_and_acute', 'learning_disabilities', 'maternity', 'mental_illness')",
            name="occupancy_sector",
        ),
        sa.PrimaryKeyConstraint("edition_id", "organisation_code", "sector"),
        schema="beds",
    )
    op.create_index("occupancy_organisation", "occupancy", ["organisation_code", "sector"], unique=False, schema="beds")
    op.create_table(
        "specialty_occupancy",
        sa.Column("load_id", sa.Uuid(), nullable=False),
        sa.Column("reader_version", sa.SmallInteger(), nullable=False),
        sa.Column("edition_id", sa.Uuid(), nullable=False),
        sa.Column("organisation_code", sa.Text(), nullable=False),
        sa.Column("specialty_code", sa.Text(), nullable=False),
        sa.Column("occupied", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("edition_id", "organisation_code", "specialty_code"),
        schema="beds",
    )
