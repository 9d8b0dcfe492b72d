"""Resources of which a newer version was refused are outdated."""

import sqlalchemy as sa
from alembic import op

revision = "20261201T061000"
down_revision = "20261201T055100"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("patient", "observation"):
        op.add_column(table, sa.Column("outdated", sa.Boolean(), server_default="false", nullable=False), schema="fhir")
    op.create_table(
        "refused_version",
        sa.Column("load_id", sa.Uuid(), nullable=False),
        sa.Column("reader_version", sa.SmallInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("last_updated", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version_number", sa.BigInteger(), nullable=False),
        sa.Column("version_id", sa.Text(), nullable=False),
        sa.Column("line", sa.BigInteger(), nullable=False),
        sa.Column("object_key", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "id", "server"),
        schema="fhir",
    )
    op.create_index("refused_version_load", "refused_version", ["load_id"], schema="fhir")


def downgrade() -> None:
    op.drop_table("refused_version", schema="fhir")
    for table in ("observation", "patient"):
        op.drop_column(table, "outdated", schema="fhir")
