"""Records, offsets of streams, and rejections of records."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "stream_offset",
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("topic_id", sa.Text(), nullable=False),
        sa.Column("incarnation", sa.Integer(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.Column("paused", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("state", sa.Text(), server_default="draining", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("reached_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("end_offset", sa.BigInteger(), nullable=True),
        sa.Column("looked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("state IN ('draining', 'stopped')", name="stream_offset_state"),
        sa.PrimaryKeyConstraint("topic", "partition"),
        schema="ingest",
    )
    op.create_table(
        "admission",
        sa.Column("load_id", sa.Uuid(), nullable=False),
        sa.Column("reader_version", sa.SmallInteger(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("event_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("admission_id", sa.Integer(), nullable=False),
        sa.Column("admission_start_date", sa.DateTime(timezone=True), nullable=False),
        sa.Column("admission_end_date", sa.DateTime(timezone=True), nullable=True),
        sa.Column("primary_diagnosis_code", sa.Text(), nullable=False),
        sa.Column("primary_diagnosis_description", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("patient_id", "admission_id"),
        schema="records",
    )
    op.create_index("admission_diagnosis", "admission", ["primary_diagnosis_code"], unique=False, schema="records")
    op.create_index("admission_start", "admission", ["admission_start_date"], unique=False, schema="records")
    op.create_table(
        "lab_result",
        sa.Column("load_id", sa.Uuid(), nullable=False),
        sa.Column("reader_version", sa.SmallInteger(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("event_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("admission_id", sa.Integer(), nullable=False),
        sa.Column("lab_name", sa.Text(), nullable=False),
        sa.Column("lab_date_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lab_value", sa.Double(), nullable=False),
        sa.Column("lab_units", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("patient_id", "admission_id", "lab_name", "lab_date_time"),
        schema="records",
    )
    op.create_index("lab_result_name", "lab_result", ["lab_name", "lab_date_time"], unique=False, schema="records")
    op.create_table(
        "patient",
        sa.Column("load_id", sa.Uuid(), nullable=False),
        sa.Column("reader_version", sa.SmallInteger(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("event_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("gender", sa.Text(), nullable=False),
        sa.Column("date_of_birth", sa.DateTime(timezone=True), nullable=False),
        sa.Column("race", sa.Text(), nullable=False),
        sa.Column("marital_status", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("population_percentage_below_poverty", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("patient_id"),
        schema="records",
    )
    op.create_index("patient_gender", "patient", ["gender", "patient_id"], unique=False, schema="records")
    op.create_index("patient_language", "patient", ["language", "patient_id"], unique=False, schema="records")
    op.alter_column("load", "object_key", existing_type=sa.TEXT(), nullable=True, schema="ingest")
    op.alter_column("load", "object_sha256", existing_type=sa.TEXT(), nullable=True, schema="ingest")
    op.alter_column("load", "object_size", existing_type=sa.BIGINT(), nullable=True, schema="ingest")
    op.add_column("rejection", sa.Column("topic", sa.Text(), nullable=True), schema="ingest")
    op.add_column("rejection", sa.Column("incarnation", sa.Integer(), nullable=True), schema="ingest")
    op.add_column("rejection", sa.Column("partition", sa.Integer(), nullable=True), schema="ingest")
    op.add_column("rejection", sa.Column("offset", sa.BigInteger(), nullable=True), schema="ingest")
    op.alter_column("rejection", "object_key", existing_type=sa.TEXT(), nullable=True, schema="ingest")
    op.alter_column("rejection", "line", existing_type=sa.BIGINT(), nullable=True, schema="ingest")
    op.create_index(
        "rejection_record",
        "rejection",
        ["topic", "partition", "offset"],
        unique=False,
        schema="ingest",
        postgresql_where=sa.text("topic IS NOT NULL"),
    )
    op.create_check_constraint("rejection_origin", "rejection", "num_nonnulls(object_key, topic) = 1", schema="ingest")
