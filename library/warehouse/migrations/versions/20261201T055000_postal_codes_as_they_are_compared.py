"""Patients are found by their postal codes as they are compared.

The codes of stored patients are compared by their form and the country of the first address, until a newer reader reads
them again with the country of each address. The program compares them in `library.sources.fhir.zipcodes`.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261201T055000"
down_revision = "20261201T054500"
branch_labels = None
depends_on = None

_FILL = r"""
UPDATE fhir.patient SET compared_postal_codes = ARRAY(
    SELECT DISTINCT CASE
        WHEN code ~ '^[0-9]{5}(\s*-\s*([0-9]{4})?|\s*[0-9]{4})?$' AND coalesce(
            btrim(lower(replace(country, '.', ''))) IN ('', 'us', 'usa', 'united states', 'united states of america'),
            true) THEN left(code, 5)
        ELSE code END
    FROM (SELECT regexp_replace(given, '^\s+|\s+$', '', 'g') AS code FROM unnest(postal_codes) given) trimmed
    WHERE code <> ''
) WHERE postal_codes <> '{}'
"""


def upgrade() -> None:
    op.add_column(
        "patient",
        sa.Column("compared_postal_codes", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        schema="fhir",
    )
    op.execute(_FILL)
    op.drop_index("patient_postal_codes", table_name="patient", schema="fhir")
    op.create_index(
        "patient_compared_postal_codes",
        "patient",
        ["compared_postal_codes"],
        schema="fhir",
        postgresql_using="gin",
    )


def downgrade() -> None:
    op.drop_index("patient_compared_postal_codes", table_name="patient", schema="fhir")
    op.create_index("patient_postal_codes", "patient", ["postal_codes"], schema="fhir", postgresql_using="gin")
    op.drop_column("patient", "compared_postal_codes", schema="fhir")
