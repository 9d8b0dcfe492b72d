"""References to other servers, numbers as written, and the settings of a reader."""

import sqlalchemy as sa
from alembic import op

revision = "20261201T054500"
down_revision = "20261201T054200"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("load", "patient_import"):
        op.add_column(
            table,
            sa.Column("reader_settings", sa.Text(), server_default="", nullable=False),
            schema="ingest" if table == "load" else "fhir",
        )
    op.add_column("observation", sa.Column("reference_text", sa.Text(), nullable=True), schema="fhir")
    op.add_column("observation", sa.Column("patient_reference", sa.Text(), nullable=True), schema="fhir")
    op.add_column("observation", sa.Column("encounter_reference", sa.Text(), nullable=True), schema="fhir")
    op.add_column("observation_component", sa.Column("reference_text", sa.Text(), nullable=True), schema="fhir")
    op.create_index(
        "observation_elsewhere",
        "observation",
        ["sort_time", "id", "server"],
        schema="fhir",
        postgresql_where=sa.text("patient_reference IS NOT NULL"),
    )
    op.create_index(
        "observation_open_period",
        "observation",
        ["sort_time", "id", "server"],
        schema="fhir",
        postgresql_where=sa.text(
            "(effective_start IS NULL AND effective_end IS NOT NULL) OR right(effective_text, 1) = '/'"
        ),
    )


def downgrade() -> None:
    op.drop_index("observation_open_period", "observation", schema="fhir")
    op.drop_index("observation_elsewhere", "observation", schema="fhir")
    op.drop_column("observation_component", "reference_text", schema="fhir")
    for column in ("encounter_reference", "patient_reference", "reference_text"):
        op.drop_column("observation", column, schema="fhir")
    op.drop_column("patient_import", "reader_settings", schema="fhir")
    op.drop_column("load", "reader_settings", schema="ingest")
