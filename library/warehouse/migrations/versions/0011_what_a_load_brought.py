"""The patients and observations that a load brought are found by it.

Revision ID: 0011
Revises: 0010
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("observation_load", "observation", ["load_id"], schema="fhir")
    op.create_index("patient_load", "patient", ["load_id"], schema="fhir")


def downgrade() -> None:
    op.drop_index("patient_load", "patient", schema="fhir")
    op.drop_index("observation_load", "observation", schema="fhir")
