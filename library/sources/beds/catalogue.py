"""Queries of editions, periods, organisations and England's totals. Results are small, so they have no pages."""

from typing import Any
from uuid import UUID

from asyncpg import Record
from pydantic import JsonValue

from library.contracts.runs import NOTE
from library.sources.beds.contracts import CURRENT_EDITION
from library.warehouse.pool import Pool
from library.warehouse.queries.pages import Query

EDITION_COLUMNS = (
    "id",
    "financial_year",
    "quarter",
    "period_end",
    "basis",
    "title",
    "status",
    "published",
    "revised",
    "landed_at",
    "current",
    "organisations",
    "warnings",
    "object_key",
    "object_sha256",
    "load_id",
)

_EDITIONS = """
SELECT e.id, e.financial_year, e.quarter, e.period_end, e.basis, e.title, e.status, e.published, e.revised, e.landed_at,
       EXISTS (SELECT FROM beds.current_edition c WHERE c.id = e.id) AS current,
       (SELECT count(*) FROM beds.edition_organisation o WHERE o.edition_id = e.id) AS organisations,
       (SELECT coalesce(array_agg(concat_ws(': ', w.organisation_code, w.sector, w.warning)), '{}')
        FROM beds.warning w WHERE w.edition_id = e.id) AS warnings,
       e.object_key, e.object_sha256, e.load_id
FROM beds.edition e
"""

PERIOD_COLUMNS = ("financial_year", "quarter", "period_end", "basis", "editions")
_PERIODS = """
SELECT financial_year, quarter, period_end, basis,
       json_agg(json_build_object('id', id, 'published', published, 'revised', revised, 'landed_at', landed_at)
                ORDER BY coalesce(revised, published), landed_at) AS editions
FROM beds.edition GROUP BY financial_year, quarter, period_end, basis
"""

SUMMARY_COLUMNS = ("financial_year", "quarter", "period_end", "basis", "organisations", "available", "occupied", "rate")
_SUMMARY = """
SELECT financial_year, quarter, period_end, basis, count(*) AS organisations, sum(available) AS available,
       sum(occupied) AS occupied, sum(occupied) / nullif(sum(available), 0) AS rate
FROM beds.current_occupancy WHERE sector = 'total' GROUP BY financial_year, quarter, period_end, basis
"""

ORGANISATION_COLUMNS = (
    "organisation_code",
    "name",
    "parent_code",
    "parent_kind",
    "first_period_end",
    "last_period_end",
)


# The dates are those that `beds.current_edition` compares. The file's name is the subject of the run that loaded it.
_COUNTS = """
SELECT e.id, e.financial_year, e.quarter, coalesce(e.revised, e.published) AS day,
       c.id AS current, coalesce(c.revised, c.published) AS current_day,
       c.landed_at < e.landed_at AS landed_first, run.subject AS file
FROM ingest.load l
JOIN beds.edition e ON e.id = (l.report ->> 'edition')::uuid
JOIN beds.current_edition c ON c.period_end = e.period_end AND c.basis = e.basis
LEFT JOIN ingest.load counting ON counting.id = c.load_id
LEFT JOIN ingest.run run ON run.id = counting.run_id AND run.subject <> run.workflow_id
WHERE l.id = $1
"""


def editions() -> Query:
    """All editions, with the origin and the warnings of each."""
    return Query(_EDITIONS, EDITION_COLUMNS, (), ("period_end", "id"))


def edition(edition_id: UUID) -> Query:
    """One edition."""
    return Query(f"{_EDITIONS} WHERE e.id = $1", EDITION_COLUMNS, (edition_id,), ("period_end", "id"))


def periods() -> Query:
    """Quarters, each with its editions."""
    return Query(_PERIODS, PERIOD_COLUMNS, (), ("period_end", "basis"))


def summary() -> Query:
    """England's totals by quarter, from the rows of the sector `total`."""
    return Query(_SUMMARY, SUMMARY_COLUMNS, (), ("period_end", "basis"))


def organisations_called(text: str) -> Query:
    """Organisations whose name contains a text, or is similar to it."""
    return Query(
        "SELECT * FROM beds.organisation WHERE strpos(lower(name), lower($1)) > 0 "
        "OR public.word_similarity(lower($1), lower(name)) > 0.5",
        ORGANISATION_COLUMNS,
        (text,),
        ("organisation_code",),
    )


async def current_edition(pool: Pool, load_id: str) -> dict[str, JsonValue]:
    """For a run's report: the edition that counts for the quarter of the load's workbook."""
    row = await pool.fetchrow(_COUNTS, load_id)
    if row is None:
        return {}
    report: dict[str, JsonValue] = {CURRENT_EDITION: str(row["current"])}
    return report if row["current"] == row["id"] else report | {NOTE: _does_not_count(row)}


def _does_not_count(row: Record) -> str:
    file = f" (file {row['file']})" if row["file"] else ""
    mine, other = row["day"], row["current_day"]
    if mine != other:
        why = f"That one is dated {other}, this one {'states no date' if mine is None else mine}."
    else:
        both = "Neither edition states a date" if mine is None else f"Both editions state the date {mine}"
        first = "and then the one that landed here first counts."
        same_second = "and they landed here in the same second; then the one with the lower id counts."
        why = f"{both}, {first if row['landed_first'] else same_second}"
    return (
        f"This workbook is loaded, but it does not count for {row['financial_year']} Q{row['quarter']}: "
        f"edition {row['current']}{file} counts. {why}"
    )


async def workbook_of(pool: Pool, edition_id: UUID) -> dict[str, Any] | None:
    """The key, sha256 and size of the edition's workbook in the store."""
    row = await pool.fetchrow(
        "SELECT l.object_key, l.object_sha256, l.object_size FROM beds.edition e "
        "JOIN ingest.load l ON l.id = e.load_id WHERE e.id = $1",
        edition_id,
    )
    return None if row is None else dict(row)
