"""Questions about beds. A name or a region is the edition's, since organisations move."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Date,
    FromClause,
    Numeric,
    and_,
    case,
    cast,
    func,
    literal,
    literal_column,
    select,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import distinct_on
from sqlmodel import col

from library.datasets.fields import table_of
from library.sources.beds import catalogue
from library.sources.beds.datasets import Edition, EditionOrganisation, Occupancy, Specialty, SpecialtyOccupancy
from library.sources.beds.names import READ_BEDS, Basis, Sector
from library.sources.beds.views import FallenToZero
from library.warehouse.queries.columns import Sql, column, columns
from library.warehouse.queries.filters import VALUE, ActiveFilters, Filter, at_least, at_most, equal
from library.warehouse.queries.parameters import Day, Moment
from library.warehouse.queries.question import Question, Sort
from library.warehouse.queries.statement import AnySelect

EDITIONS = "editions"
"""Where the conditions of editions belong: before the newest one of each quarter is chosen."""

_OF_ORGANISATION = "Only of the organisation with this code."
Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,10}$")]

Year = Annotated[str, Field(pattern=r"^20\d\d-\d\d$")]
QuarterNumber = Annotated[int, Field(ge=1, le=4)]
Rate = Annotated[float, Field(ge=0, le=1_000, allow_inf_nan=False)]

_KNOWN_AT = "Only what had been landed here by this moment (with a zone)."
_PUBLISHED = func.coalesce(Edition.revised, Edition.published)


def _published_by(day: BindParameter[Any]) -> ColumnElement[bool]:
    return type_coerce(day, Date()) >= _PUBLISHED


_EDITION_FILTERS = (
    equal("year", Year, VALUE, col(Edition.financial_year), "Financial year.", at=EDITIONS),
    equal("quarter", QuarterNumber, VALUE, col(Edition.quarter), "1: April to June.", at=EDITIONS),
    equal("basis", Basis, VALUE, col(Edition.basis), "Beds open overnight, or by day only.", at=EDITIONS),
    Filter("as_of", Day, VALUE, "Only what was published by this day.", condition=_published_by, at=EDITIONS),
    at_most("known_at", Moment, VALUE, col(Edition.landed_at), _KNOWN_AT, at=EDITIONS),
)
_REGION = Filter(
    "region",
    Code,
    VALUE,
    "Only of organisations below the region with this code.",
    "Y56",
    condition=lambda value: col(EditionOrganisation.parent_code) == value,
)


def _chosen(filters: ActiveFilters) -> FromClause:
    """The newest edition of each quarter and basis among those that may count, as `beds.current_edition` chooses.

    They come in the order of the pages, so that Postgres reads the rows of the first ones and stops.
    """
    period_end = col(Edition.period_end)
    return (
        select(col(Edition.id), col(Edition.financial_year), col(Edition.quarter), period_end, col(Edition.basis))
        .ext(distinct_on(period_end, col(Edition.basis)))
        .where(*filters.conditions(EDITIONS))
        .order_by(
            period_end.desc() if filters.descending else period_end,
            col(Edition.basis),
            _PUBLISHED.desc().nulls_last(),
            col(Edition.landed_at),
            col(Edition.id),
        )
        .subquery("c")
    )


def _same_organisation(edition_id: Sql, code: Sql) -> ColumnElement[bool]:
    return and_(col(EditionOrganisation.edition_id) == edition_id, col(EditionOrganisation.organisation_code) == code)


def _with_names(rows: FromClause) -> FromClause:
    return rows.join(EditionOrganisation, _same_organisation(rows.c.edition_id, rows.c.organisation_code))


_ORGANISATION_COLUMNS = (
    column(Edition, "id", "edition_id"),
    *columns(Edition, "financial_year", "quarter", "period_end", "basis"),
    column(EditionOrganisation, "organisation_code"),
    column(EditionOrganisation, "name", "organisation_name").computed_by(lambda _: col(EditionOrganisation.name)),
    column(EditionOrganisation, "parent_code").computed_by(lambda _: col(EditionOrganisation.parent_code)),
)


def _of_editions(
    filters: ActiveFilters, model: type[Occupancy | SpecialtyOccupancy], *cells: ColumnElement[Any]
) -> AnySelect:
    """Rows of a model with their editions, and these columns of each row."""
    chosen = _chosen(filters)
    edition = (chosen.c[name] for name in ("financial_year", "quarter", "period_end", "basis"))
    rows: AnySelect = (
        select(col(model.edition_id), col(model.organisation_code), *edition, *cells)
        .select_from(chosen)
        .join(model, col(model.edition_id) == chosen.c.id)
    )
    if "region" in filters:
        rows = rows.join(EditionOrganisation, _same_organisation(col(model.edition_id), col(model.organisation_code)))
    return rows.where(*filters.conditions())


def _occupancy(filters: ActiveFilters) -> AnySelect:
    own = table_of(Occupancy).c
    # A key is never null: those without beds sort below all others.
    sort_rate = func.coalesce(own.rate, -1).label("sort_rate")
    return _of_editions(filters, Occupancy, own.sector, own.available, own.occupied, own.rate, own.warnings, sort_rate)


def _all_warnings(rows: FromClause) -> ColumnElement[Any]:
    """As `beds.occupancy_of_edition` puts them together. `beds.fallen_to_zero` is read only for totals without beds."""
    before = func.round(cast(FallenToZero.available_before, Numeric), 1)
    fallen = (
        select(literal("available beds fell to 0 from ").op("||")(before).op("||")(" in the quarter before"))
        .where(
            col(FallenToZero.edition_id) == rows.c.edition_id,
            col(FallenToZero.organisation_code) == rows.c.organisation_code,
        )
        .correlate(rows)
        .scalar_subquery()
    )
    is_empty = and_(rows.c.sector == "total", rows.c.available == 0)
    of_zero = case((is_empty, func.array(fallen)), else_=literal_column("'{}'"))
    return col(EditionOrganisation.warnings).op("||")(rows.c.warnings).op("||")(of_zero)


class OccupancySort(StrEnum):
    """What occupancy can be sorted by; all columns of the key follow."""

    PERIOD_END = "period_end"
    ORGANISATION = "organisation_code"
    RATE = "rate"
    AVAILABLE = "available"
    OCCUPIED = "occupied"


OCCUPANCY = Question(
    name="beds.occupancy",
    about="Beds available and occupied, a day, by organisation and sector.",
    scope=READ_BEDS,
    rows=_occupancy,
    columns=(
        *_ORGANISATION_COLUMNS,
        *columns(Occupancy, "sector", "available", "occupied", "rate"),
        column(Occupancy, "warnings").computed_by(_all_warnings),
    ),
    item="OccupancyItem",
    each="Beds of an organisation in a sector: averages over the quarter, a day.",
    order=("period_end", "edition_id", "organisation_code", "sector"),
    sort=Sort(
        OccupancySort,
        {OccupancySort.RATE: "sort_rate"},
        "Ascending unless `descending`. AnySelect without a rate come before all others, or last if `descending`.",
    ),
    parameters=(
        *_EDITION_FILTERS,
        equal("sector", Sector, VALUE, col(Occupancy.sector), "Only of this sector."),
        equal("organisation", Code, VALUE, col(Occupancy.organisation_code), _OF_ORGANISATION),
        _REGION,
        at_least("min_rate", Rate, VALUE, col(Occupancy.rate), "Only with this rate or a higher one."),
    ),
    joins=_with_names,
)


def _specialties(filters: ActiveFilters) -> AnySelect:
    own = table_of(SpecialtyOccupancy).c
    return _of_editions(filters, SpecialtyOccupancy, own.specialty_code, own.occupied)


SPECIALTY_OCCUPANCY = Question(
    name="beds.specialty_occupancy",
    about="Occupied beds, a day, by organisation and consultant main specialty.",
    scope=READ_BEDS,
    rows=_specialties,
    columns=(
        *_ORGANISATION_COLUMNS,
        column(SpecialtyOccupancy, "specialty_code"),
        column(Specialty, "name", "specialty_name").computed_by(lambda _: col(Specialty.name)),
        column(SpecialtyOccupancy, "occupied"),
    ),
    item="SpecialtyItem",
    each="Occupied beds of an organisation in a specialty, a day.",
    order=("period_end", "edition_id", "organisation_code", "specialty_code"),
    parameters=(
        *_EDITION_FILTERS,
        equal("specialty", Code, VALUE, col(SpecialtyOccupancy.specialty_code), "Only of this specialty."),
        equal("organisation", Code, VALUE, col(SpecialtyOccupancy.organisation_code), _OF_ORGANISATION),
        _REGION,
    ),
    joins=lambda rows: _with_names(rows).join(Specialty, col(Specialty.code) == rows.c.specialty_code),
)

QUESTIONS = (OCCUPANCY, SPECIALTY_OCCUPANCY, *catalogue.QUESTIONS)
