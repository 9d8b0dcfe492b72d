"""An import of a zip code knows the version of its reader.

Revision ID: 20261201T061500
Revises: 20261201T061000
"""

import sqlalchemy as sa
from alembic import op

revision = "20261201T061500"
down_revision = "20261201T061000"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "zipcode_import",
        sa.Column("reader_version", sa.SmallInteger(), server_default="2", nullable=False),
        schema="fhir",
    )


def downgrade() -> None:
    op.drop_column("zipcode_import", "reader_version", schema="fhir")
