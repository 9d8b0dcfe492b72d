"""A run knows its executions, so that one that is reset or repeated is the same run.

Revision ID: 20261201T054200
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "20261201T054200"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("run", sa.Column("executions", ARRAY(sa.Text), nullable=False, server_default="{}"), schema="ingest")


def downgrade() -> None:
    op.drop_column("run", "executions", schema="ingest")
