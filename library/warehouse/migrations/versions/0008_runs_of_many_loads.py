"""Runs of many loads: one load does not complete them, and their counts are sums.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("run", sa.Column("one_load", sa.Boolean(), server_default="true", nullable=False), schema="ingest")


def downgrade() -> None:
    op.drop_column("run", "one_load", schema="ingest")
