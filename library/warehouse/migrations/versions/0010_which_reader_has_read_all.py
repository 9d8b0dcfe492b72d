"""With which reader all of a patient's observations were read.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "patient_import",
        sa.Column("reader_version", sa.SmallInteger(), server_default="1", nullable=False),
        schema="fhir",
    )


def downgrade() -> None:
    op.drop_column("patient_import", "reader_version", schema="fhir")
