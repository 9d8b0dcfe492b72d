"""Questions about editions, periods, organisations and England's totals."""

from typing import Annotated, Any
from uuid import UUID

from asyncpg import Record
from pydantic import Field, JsonValue
from sqlalchemy import ColumnElement, Text, bindparam, func, literal_column, or_, select, type_coerce
from sqlalchemy.dialects.postgresql import JSON, aggregate_order_by
from sqlmodel import SQLModel, col

from library.contracts.runs import NOTE
from library.datasets.fields import table_of
from library.datasets.ingest import Load
from library.sources.beds.contracts import CURRENT_EDITION
from library.sources.beds.datasets import Edition, EditionOrganisation
from library.sources.beds.names import READ_BEDS
from library.sources.beds.views import CurrentEdition, CurrentOccupancy, EditionWarning, Organisation
from library.warehouse.pool import Pool
from library.warehouse.queries.columns import Column, columns, item_model, list_column
from library.warehouse.queries.filters import VALUE, Filter, equal
from library.warehouse.queries.parameters import NO_NUL
from library.warehouse.queries.question import Question
from library.warehouse.queries.statement import Statement

OrganisationText = Annotated[str, Field(min_length=2, max_length=100, pattern=NO_NUL)]

_SIMILAR: ColumnElement[float] = literal_column("0.5")
"""The similarity from which on a name resembles a text; see the extension pg_trgm."""

_WARNINGS = (
    select(
        func.coalesce(
            func.array_agg(
                func.concat_ws(": ", EditionWarning.organisation_code, EditionWarning.sector, EditionWarning.warning)
            ),
            literal_column("'{}'"),
        )
    )
    .where(col(EditionWarning.edition_id) == col(Edition.id))
    .correlate(Edition)
    .scalar_subquery()
)
_CURRENT = select(CurrentEdition).where(col(CurrentEdition.id) == col(Edition.id)).correlate(Edition).exists()
_ORGANISATIONS = (
    select(func.count())
    .select_from(EditionOrganisation)
    .where(col(EditionOrganisation.edition_id) == col(Edition.id))
    .correlate(Edition)
    .scalar_subquery()
)
_QUARTER = ("financial_year", "quarter", "period_end", "basis")
_OF_EDITION = ("title", "status", "published", "revised", "landed_at", "object_key", "object_sha256", "load_id")

EDITIONS = Question(
    name="beds.editions",
    about="Every edition, with its provenance and warnings.",
    scope=READ_BEDS,
    rows=lambda filters: select(
        col(Edition.id),
        *(table_of(Edition).c[name] for name in (*_QUARTER, *_OF_EDITION)),
        _CURRENT.label("current"),
        _ORGANISATIONS.label("organisations"),
        _WARNINGS.label("warnings"),
    ).where(*filters.conditions()),
    columns=(
        *columns(Edition, "id", *_QUARTER, "title", "status", "published", "revised", "landed_at"),
        Column("current", bool, "Whether it counts for its quarter today.", True),
        Column("organisations", int, "How many it has.", 201),
        Column("warnings", list[str], "Everything in it that deserves a second look.", []),
        *columns(Edition, "object_key", "object_sha256", "load_id"),
    ),
    item="EditionItem",
    each="A workbook: provenance and warnings.",
    order=("period_end", "id"),
    parameters=(equal("id", UUID, VALUE, col(Edition.id), "Its id."),),
)

_EDITION_OF_PERIOD = columns(Edition, "id", "published", "revised", "landed_at")
_EDITION_IN_SHORT = item_model("EditionOfPeriod", "An edition, in short.", _EDITION_OF_PERIOD)
_EDITIONS_OF_PERIOD: ColumnElement[Any] = func.json_agg(
    aggregate_order_by(
        func.json_build_object(
            *(part for each in _EDITION_OF_PERIOD for part in (each.name, table_of(Edition).c[each.name]))
        ),
        func.coalesce(Edition.revised, Edition.published).nulls_last(),
        col(Edition.landed_at),
    ),
    type_=JSON,
)

PERIODS = Question(
    name="beds.periods",
    about="Quarters, each with its editions.",
    scope=READ_BEDS,
    rows=lambda _: select(*_of_quarter(Edition), _EDITIONS_OF_PERIOD.label("editions")).group_by(*_of_quarter(Edition)),
    columns=(
        *columns(Edition, *_QUARTER),
        list_column("editions", "Its editions.", _EDITION_IN_SHORT),
    ),
    item="PeriodItem",
    each="A quarter with its editions, the oldest first, and those without a date last.",
    order=("period_end", "basis"),
)

_BEDS, _OCCUPIED = func.sum(CurrentOccupancy.available), func.sum(CurrentOccupancy.occupied)

SUMMARY = Question(
    name="beds.summary",
    about="England by quarter: organisations, beds, rate.",
    scope=READ_BEDS,
    rows=lambda _: (
        select(
            *_of_quarter(CurrentOccupancy),
            func.count().label("organisations"),
            _BEDS.label("available"),
            _OCCUPIED.label("occupied"),
            (_OCCUPIED.op("/")(func.nullif(_BEDS, 0))).label("rate"),
        )
        .where(col(CurrentOccupancy.sector) == "total")
        .group_by(*_of_quarter(CurrentOccupancy))
    ),
    columns=(
        *columns(Edition, *_QUARTER),
        Column("organisations", int, "How many have beds or had some.", 201),
        Column("available", float, "Average number of beds open per day.", 128325.97),
        Column("occupied", float, "Average number of beds occupied per day.", 116126.27),
        Column("rate", float | None, "Occupied / available; null without beds.", 0.905),
    ),
    item="SummaryItem",
    each="England in a quarter, summed from all sectors together.",
    order=("period_end", "basis"),
)

ORGANISATIONS = Question(
    name="beds.organisations",
    about="Organisations whose name holds a text, or resembles it.",
    scope=READ_BEDS,
    rows=lambda filters: select(Organisation).where(*filters.conditions()),
    columns=columns(
        Organisation, "organisation_code", "name", "parent_code", "parent_kind", "first_period_end", "last_period_end"
    ),
    item="OrganisationItem",
    each="An organisation by its newest name.",
    order=("organisation_code",),
    parameters=(
        Filter(
            "text",
            OrganisationText,
            VALUE,
            "A part of the name, or a text like it.",
            "moorfields",
            condition=lambda value: _is_called(func.lower(type_coerce(value, Text))),
        ),
    ),
)


def _of_quarter(model: type[SQLModel]) -> list[ColumnElement[Any]]:
    return [table_of(model).c[name] for name in _QUARTER]


def _is_called(text: ColumnElement[str]) -> ColumnElement[bool]:
    name = func.lower(Organisation.name)
    return or_(func.strpos(name, text) > 0, func.public.word_similarity(text, name) > _SIMILAR)


# The dates are those that `beds.current_edition` compares. The file's name is the subject of the run that loaded it.
_COUNTS = """
SELECT e.id, e.financial_year, e.quarter, coalesce(e.revised, e.published) AS day,
       c.id AS current, coalesce(c.revised, c.published) AS current_day,
       c.landed_at < e.landed_at AS landed_first, run.subject AS file,
       (SELECT count(*) FROM beds.warning WHERE edition_id = e.id) AS warnings
FROM ingest.load l
JOIN beds.edition e ON e.id = (l.report ->> 'edition')::uuid
JOIN beds.current_edition c ON c.period_end = e.period_end AND c.basis = e.basis
LEFT JOIN ingest.load counting ON counting.id = c.load_id
LEFT JOIN ingest.run run ON run.id = counting.run_id AND run.subject <> run.workflow_id
WHERE l.id = $1
"""

QUESTIONS = (EDITIONS, PERIODS, SUMMARY, ORGANISATIONS)


async def current_edition(pool: Pool, load_id: str) -> dict[str, JsonValue]:
    """For a run's report: the edition that counts for the quarter of the load's workbook, and the number of warnings.

    The warnings are those of `/editions`: also those that only several editions show.
    """
    row = await pool.fetchrow(_COUNTS, load_id)
    if row is None:
        return {}
    report: dict[str, JsonValue] = {CURRENT_EDITION: str(row["current"]), "warnings": row["warnings"]}
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


_WORKBOOK = Statement(
    select(col(Load.object_key), col(Load.object_sha256), col(Load.object_size))
    .join(Edition, col(Edition.load_id) == col(Load.id))
    .where(col(Edition.id) == bindparam("edition_id"))
)


async def workbook_of(pool: Pool, edition_id: UUID) -> dict[str, Any] | None:
    """The key, sha256 and size of the edition's workbook in the store."""
    rows = await _WORKBOOK.fetch(pool, edition_id=edition_id)
    return dict(rows[0]) if rows else None
