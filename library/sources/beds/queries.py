"""Questions about beds. Every filter by name or region means that of the edition, since organisations move."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from library.warehouse.queries.pages import Query

_ITEMS = (
    "edition_id",
    "financial_year",
    "quarter",
    "period_end",
    "basis",
    "organisation_code",
    "organisation_name",
    "parent_code",
)
OCCUPANCY_COLUMNS = (*_ITEMS, "sector", "available", "occupied", "rate", "warnings")
SPECIALTY_COLUMNS = (*_ITEMS, "specialty_code", "specialty_name", "occupied")

# Joined only to the rows of a page. Joined before the LIMIT, they took ten times as long as all the rest.
_NAMES = (
    "JOIN beds.edition_organisation org ON org.edition_id = q.edition_id "
    "AND org.organisation_code = q.organisation_code"
)
_NAMED = {"organisation_name": "org.name", "parent_code": "org.parent_code"}
# In the same way as `beds.occupancy_of_edition`. The view of the last part is only queried for empty totals.
_WARNINGS = """org.warnings || q.warnings || CASE WHEN q.sector = 'total' AND q.available = 0 THEN ARRAY(
    SELECT 'available beds fell to 0 from ' || round(z.available_before::numeric, 1) || ' in the quarter before'
    FROM beds.fallen_to_zero z WHERE z.edition_id = q.edition_id AND z.organisation_code = q.organisation_code
) ELSE '{}' END"""


class OccupancySort(StrEnum):
    """What occupancy can be sorted by; all columns of the key follow."""

    PERIOD_END = "period_end"
    ORGANISATION = "organisation_code"
    RATE = "rate"
    AVAILABLE = "available"
    OCCUPIED = "occupied"


@dataclass(frozen=True)
class Editions:
    """Which editions count.

    Attributes:
        year: financial year, `2019-20`.
        quarter: 1 (April to June) to 4.
        as_of: only editions that were published by this day.
        known_at: only editions that had been landed here by this time.
    """

    year: str | None = None
    quarter: int | None = None
    basis: str | None = None
    as_of: date | None = None
    known_at: datetime | None = None


class _Arguments:
    """Collects arguments and gives their places: `$1`, `$2`."""

    def __init__(self) -> None:
        self.values: list[object] = []

    def __call__(self, value: object) -> str:
        self.values.append(value)
        return f"${len(self.values)}"


def _chosen(editions: Editions, place: _Arguments, *, descending: bool = False) -> str:
    """The newest edition of each quarter and basis among those that may count, as `beds.current_edition` chooses.

    They come in the order of the pages, so that Postgres reads the rows of the first ones and stops.
    """
    conditions = [
        f"{column} {relation} {place(value)}"
        for column, relation, value in (
            ("financial_year", "=", editions.year),
            ("quarter", "=", editions.quarter),
            ("basis", "=", editions.basis),
            ("coalesce(revised, published)", "<=", editions.as_of),
            ("landed_at", "<=", editions.known_at),
        )
        if value is not None
    ]
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    direction = "DESC" if descending else ""
    return (
        f"SELECT DISTINCT ON (period_end, basis) * FROM beds.edition {where} "  # noqa: S608 - constants of the program
        f"ORDER BY period_end {direction}, basis, coalesce(revised, published) DESC NULLS LAST, landed_at, id"
    )


def occupancy(
    editions: Editions,
    *,
    sector: str | None = None,
    organisation: str | None = None,
    region: str | None = None,
    min_rate: float | None = None,
    sort: OccupancySort = OccupancySort.PERIOD_END,
    descending: bool = False,
) -> Query:
    """Beds by organisation and sector."""
    place = _Arguments()
    chosen = _chosen(editions, place, descending=descending)
    conditions = [
        f"{column} {relation} {place(value)}"
        for column, relation, value in (
            ("o.sector", "=", sector),
            ("o.organisation_code", "=", organisation),
            ("r.parent_code", "=", region),
            ("o.rate", ">=", min_rate),
        )
        if value is not None
    ]
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    in_region = "JOIN beds.edition_organisation r USING (edition_id, organisation_code)" if region else ""
    # A rate may be null, and nulls have no place in a keyset: those without beds sort below all others.
    by = "sort_rate" if sort is OccupancySort.RATE else str(sort)
    key = ("period_end", "edition_id", "organisation_code", "sector")
    return Query(
        select=(
            "SELECT o.edition_id, c.financial_year, c.quarter, c.period_end, c.basis, o.organisation_code, o.sector, "  # noqa: S608 - constants
            "o.available, o.occupied, o.rate, o.warnings, coalesce(o.rate, -1) AS sort_rate "
            f"FROM ({chosen}) c JOIN beds.occupancy o ON o.edition_id = c.id {in_region} {where}"
        ),
        columns=OCCUPANCY_COLUMNS,
        arguments=tuple(place.values),
        order=(by, *(column for column in key if column != by)),
        descending=descending,
        joins=_NAMES,
        expressions=_NAMED | {"warnings": _WARNINGS},
    )


def specialty_occupancy(
    editions: Editions, *, specialty: str | None = None, organisation: str | None = None, region: str | None = None
) -> Query:
    """Occupied beds by organisation and specialty."""
    place = _Arguments()
    chosen = _chosen(editions, place)
    conditions = [
        f"{column} = {place(value)}"
        for column, value in (
            ("o.specialty_code", specialty),
            ("o.organisation_code", organisation),
            ("r.parent_code", region),
        )
        if value is not None
    ]
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    in_region = "JOIN beds.edition_organisation r USING (edition_id, organisation_code)" if region else ""
    return Query(
        select=(
            "SELECT o.edition_id, c.financial_year, c.quarter, c.period_end, c.basis, o.organisation_code, "  # noqa: S608 - constants
            "o.specialty_code, o.occupied "
            f"FROM ({chosen}) c JOIN beds.specialty_occupancy o ON o.edition_id = c.id {in_region} {where}"
        ),
        columns=SPECIALTY_COLUMNS,
        arguments=tuple(place.values),
        order=("period_end", "edition_id", "organisation_code", "specialty_code"),
        joins=f"{_NAMES} JOIN beds.specialty s ON s.code = q.specialty_code",
        expressions=_NAMED | {"specialty_name": "s.name"},
    )
