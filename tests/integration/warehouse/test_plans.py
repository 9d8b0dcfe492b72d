"""The queries behind `/nhs-data` find their rows by indexes, on as many rows as ten years of both bases have."""

from typing import Any

import pytest_asyncio

from library.access.questions import AUDIT
from library.sources.beds.questions import OCCUPANCY, SPECIALTY_OCCUPANCY, OccupancySort
from library.warehouse.pool import Pool
from library.warehouse.queries.pages import fetch_page
from library.warehouse.queries.question import BoundQuestion
from library.warehouse.queries.runs import RUNS
from tests.support.plans import Explaining, nodes, touched

ROWS = """
INSERT INTO beds.edition (id, financial_year, quarter, period_end, basis, title, data_quality, warnings, object_key,
                          object_sha256, landed_at, published, load_id, reader_version)
SELECT md5('edition' || n)::uuid, (2010 + n / 4) || '-' || lpad(((11 + n / 4) % 100)::text, 2, '0'), n % 4 + 1,
       date '2010-06-30' + n * 91, 'overnight', 'made up', '{}', '{}', 'k', 's', now(), date '2010-08-30' + n * 91,
       gen_random_uuid(), 1
FROM generate_series(0, 59) n;
INSERT INTO beds.edition_organisation (edition_id, organisation_code, name, parent_code, parent_kind, warnings, load_id,
    reader_version)
SELECT id, 'R' || lpad(o::text, 3, '0'), 'Organisation ' || o, 'Y' || o % 7, 'region', '{}', load_id, 1
FROM beds.edition, generate_series(1, 200) o;
INSERT INTO beds.occupancy (edition_id, organisation_code, sector, available, occupied, warnings, load_id,
    reader_version)
SELECT edition_id, organisation_code, sector, 100 + random() * 900, 50 + random() * 50, '{}', load_id, 1
FROM beds.edition_organisation,
     unnest(ARRAY['total', 'general_and_acute', 'learning_disabilities', 'maternity', 'mental_illness']) sector;
INSERT INTO beds.specialty (code, name, named_for, named_on, load_id, reader_version)
SELECT (100 + n)::text, 'Specialty ' || n, '2020-01-01', '2020-01-01', gen_random_uuid(), 1
FROM generate_series(0, 9) n;
INSERT INTO beds.specialty_occupancy (edition_id, organisation_code, specialty_code, occupied, load_id,
    reader_version)
SELECT edition_id, organisation_code, code, random() * 100, o.load_id, 1
FROM beds.edition_organisation o, beds.specialty;
INSERT INTO ingest.run (id, workflow_id, workflow, source, subject, state, phase, started_at)
SELECT 'run ' || n, 'w ' || n, 'ingest-workbook', 'beds', 's', 'completed', 'done', now() - n * interval '1 minute'
FROM generate_series(1, 20000) n;
INSERT INTO access.audit (actor, action, subject) SELECT 'a', 'start_run', 's ' || n FROM generate_series(1, 20000) n;
"""
LARGE = {"occupancy", "specialty_occupancy", "edition_organisation", "run", "audit"}
"""Tables that no query may read whole; editions are few."""

ONE_QUARTER: dict[str, Any] = {"year": "2015-16", "quarter": 2}

BY_INDEX: dict[str, tuple[BoundQuestion, int]] = {
    "a page of all": (OCCUPANCY.ask(), 3_000),
    "a page of totals": (OCCUPANCY.ask(sector="total"), 3_000),
    "a page, the newest first": (OCCUPANCY.ask(descending=True), 3_000),
    "a quarter": (OCCUPANCY.ask(**ONE_QUARTER, sector="total"), 3_000),
    "a quarter by rate": (OCCUPANCY.ask(**ONE_QUARTER, sort=OccupancySort.RATE, descending=True), 3_000),
    "an organisation": (OCCUPANCY.ask(organisation="R007"), 3_000),
    "a region in a quarter": (OCCUPANCY.ask(**ONE_QUARTER, region="Y3"), 3_000),
    "specialties of a quarter": (SPECIALTY_OCCUPANCY.ask(**ONE_QUARTER, specialty="100"), 5_000),
    "specialties of an organisation": (SPECIALTY_OCCUPANCY.ask(organisation="R007"), 5_000),
    "a page of specialties": (SPECIALTY_OCCUPANCY.ask(), 6_000),
    "runs": (RUNS.ask(), 300),
    "the audit": (AUDIT.ask(), 300),
}
"""Each query with the rows that its first page may touch at most, of 60,000 and 120,000."""


@pytest_asyncio.fixture
async def many_rows(pool: Pool) -> Pool:
    await pool.execute(ROWS)
    await pool.execute("ANALYZE")
    return pool


async def test_first_and_later_pages_are_found_by_indexes(many_rows: Pool) -> None:
    wrong = []
    for name, (query, most) in BY_INDEX.items():
        explaining = Explaining(many_rows)
        after = None
        for page in ("first", "second"):
            following = (await fetch_page(explaining, query, limit=100, after=after)).following
            read_whole = [
                node["Relation Name"]
                for node in nodes(explaining.plan)
                if node["Node Type"] == "Seq Scan" and node["Relation Name"] in LARGE and node["Actual Loops"]
            ]
            if read_whole or touched(explaining.plan) > most:
                wrong.append(f"{name}, {page} page: reads {read_whole} whole, touches {touched(explaining.plan)} rows")
            if following is None:
                break
            after = following
    assert not wrong, "\n".join(wrong)
