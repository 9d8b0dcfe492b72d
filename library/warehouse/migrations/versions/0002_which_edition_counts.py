"""Views of beds: which edition counts, what organisations are called, what deserves a second look."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

VIEWS = (
    """
-- The newest edition of each quarter and basis, by the date that it states. Of two with the same date the first that landed
-- stays: nothing says that the other is better. The order of loading decides nothing.
CREATE VIEW beds.current_edition AS
SELECT DISTINCT ON (period_end, basis) *
FROM beds.edition
ORDER BY period_end, basis, coalesce(revised, published) DESC NULLS LAST, landed_at, id
""",
    """
-- Organisations whose beds fell to none from a hundred or more in the quarter before: closures, and forgotten returns.
CREATE VIEW beds.fallen_to_zero AS
SELECT e.id AS edition_id, o.organisation_code, before.available AS available_before
FROM beds.edition e
JOIN beds.current_edition earlier
  ON earlier.basis = e.basis
 AND earlier.period_end = (date_trunc('month', e.period_end) - interval '2 months' - interval '1 day')::date
JOIN beds.occupancy o ON o.edition_id = e.id AND o.sector = 'total' AND o.available = 0
JOIN beds.occupancy before
  ON before.edition_id = earlier.id AND before.organisation_code = o.organisation_code
 AND before.sector = 'total' AND before.available >= 100
""",
    """
CREATE VIEW beds.occupancy_of_edition AS
SELECT o.edition_id, e.financial_year, e.quarter, e.period_end, e.basis, o.organisation_code,
       org.name AS organisation_name, org.parent_code, org.parent_kind, o.sector, o.available, o.occupied, o.rate,
       org.warnings || o.warnings
         || CASE WHEN o.sector = 'total' AND z.edition_id IS NOT NULL
                 THEN ARRAY['available beds fell to 0 from ' || round(z.available_before::numeric, 1)
                            || ' in the quarter before']
                 ELSE '{}' END AS warnings,
       o.load_id
FROM beds.occupancy o
JOIN beds.edition e ON e.id = o.edition_id
JOIN beds.edition_organisation org ON org.edition_id = o.edition_id AND org.organisation_code = o.organisation_code
LEFT JOIN beds.fallen_to_zero z ON z.edition_id = o.edition_id AND z.organisation_code = o.organisation_code
""",
    """
CREATE VIEW beds.current_occupancy AS
SELECT o.* FROM beds.occupancy_of_edition o JOIN beds.current_edition c ON c.id = o.edition_id
""",
    """
CREATE VIEW beds.current_specialty_occupancy AS
SELECT o.edition_id, c.financial_year, c.quarter, c.period_end, c.basis, o.organisation_code,
       org.name AS organisation_name, org.parent_code, org.parent_kind, o.specialty_code, s.name AS specialty_name,
       o.occupied, o.load_id
FROM beds.specialty_occupancy o
JOIN beds.current_edition c ON c.id = o.edition_id
JOIN beds.edition_organisation org ON org.edition_id = o.edition_id AND org.organisation_code = o.organisation_code
JOIN beds.specialty s ON s.code = o.specialty_code
""",
    """
-- An organisation by its newest name and parent, with the first and the last quarter in which it stands.
CREATE VIEW beds.organisation AS
SELECT DISTINCT ON (org.organisation_code) org.organisation_code, org.name, org.parent_code, org.parent_kind,
       min(c.period_end) OVER (PARTITION BY org.organisation_code) AS first_period_end,
       max(c.period_end) OVER (PARTITION BY org.organisation_code) AS last_period_end
FROM beds.edition_organisation org
JOIN beds.current_edition c ON c.id = org.edition_id
ORDER BY org.organisation_code, c.period_end DESC, c.basis DESC
""",
    """
-- Everything that deserves a second look: what the reader saw, and what only several editions together show.
CREATE VIEW beds.warning AS
SELECT id AS edition_id, NULL::text AS organisation_code, NULL::text AS sector, unnest(warnings) AS warning
FROM beds.edition
UNION ALL
SELECT edition_id, organisation_code, NULL, unnest(warnings) FROM beds.edition_organisation
UNION ALL
SELECT edition_id, organisation_code, sector, unnest(warnings) FROM beds.occupancy
UNION ALL
SELECT edition_id, organisation_code, 'total',
       'available beds fell to 0 from ' || round(available_before::numeric, 1) || ' in the quarter before'
FROM beds.fallen_to_zero
UNION ALL
SELECT e.id, NULL, NULL, 'another edition of this quarter has the same date and other content: ' || other.id
FROM beds.edition e
JOIN beds.edition other
  ON other.period_end = e.period_end AND other.basis = e.basis AND other.id <> e.id
 AND coalesce(other.revised, other.published) IS NOT DISTINCT FROM coalesce(e.revised, e.published)
""",
)


def upgrade() -> None:
    for view in VIEWS:
        op.execute(view)
