"""Schema `beds`: NHS England's quarterly return KH03, bed availability and occupancy by organisation.

Every workbook is an edition. Editions are stored side by side, and no edition changes another one. Views decide which
edition counts today (`beds.current_occupancy`); the migrations make them.

The loader writes an edition and its rows together or not at all, so there is no foreign key: checking it for each row
would take more than half of the merge. Queries ask for editions, and find their rows by the keys.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import CheckConstraint, Column, Computed, Date, DateTime, Double, Index, SmallInteger, Text
from sqlalchemy.dialects.postgresql import ARRAY

from library.datasets.declaration import Action, Dataset, Expectation, Loaded
from library.datasets.fields import field
from library.datasets.strategies import Family, Upsert
from library.sources.beds.names import BASES, PARENT_KINDS, SECTORS, Basis, ParentKind, Sector, one_of

SCHEMA = "beds"

EDITION_EXAMPLE = "55fd5766-7b48-1af0-80b2-c5c3c294ca0a"
SHA256_EXAMPLE = "8a3fba491baf4e88bb64cf89f2590026c2274df6903c83e9a48e893c881baeac"


class Edition(Loaded, table=True):
    """A workbook: one publication of one quarter."""

    __tablename__ = "edition"
    __table_args__ = (
        CheckConstraint("quarter BETWEEN 1 AND 4", name="edition_quarter"),
        CheckConstraint(one_of("basis", BASES), name="edition_basis"),
        Index("edition_period", "period_end", "basis"),
        {"schema": SCHEMA},
    )

    id: UUID = field("Made from the workbook's sha256, so that a reload keeps it.", EDITION_EXAMPLE, primary_key=True)
    financial_year: str = field("From April to March.", "2019-20", sa_type=Text)
    quarter: int = field("1: April to June.", 3, ge=1, le=4, sa_type=SmallInteger)
    period_end: date = field("The last day of the quarter.", "2019-12-31", sa_type=Date)
    basis: Basis = field("Beds open overnight, or by day only.", "overnight", sa_type=Text)
    title: str = field(
        "The title in the workbook.",
        "Average daily number of available and occupied beds open overnight by sector",
        sa_type=Text,
    )
    status: str | None = field("As the workbook states it.", "Published 20th February 2020", default=None, sa_type=Text)
    published: date | None = field("As the workbook states it.", "2020-02-20", default=None, sa_type=Date)
    revised: date | None = field("As the workbook states it.", "2020-11-19", default=None, sa_type=Date)
    data_quality: list[str] = field(
        "The workbook's notes on the quality of its data.", sa_column=Column(ARRAY(Text), nullable=False)
    )
    warnings: list[str] = field("What the reader found odd.", [], sa_column=Column(ARRAY(Text), nullable=False))
    object_key: str = field("The landed workbook.", f"landed/beds/{SHA256_EXAMPLE}", sa_type=Text)
    object_sha256: str = field("Of the workbook's bytes.", SHA256_EXAMPLE, sa_type=Text)
    landed_at: datetime = field(
        "When the workbook was first stored here.", "2026-11-21T10:15:30+00:00", sa_type=DateTime(timezone=True)
    )


class EditionRow(NamedTuple):
    """A row of `beds.edition`."""

    id: UUID
    financial_year: str
    quarter: int
    period_end: date
    basis: str
    title: str
    status: str | None
    published: date | None
    revised: date | None
    data_quality: Sequence[str]
    warnings: Sequence[str]
    object_key: str
    object_sha256: str
    landed_at: datetime


class EditionOrganisation(Loaded, table=True):
    """An organisation as an edition names it: organisations move and change their names."""

    __tablename__ = "edition_organisation"
    __table_args__ = (
        CheckConstraint(
            one_of("parent_kind", PARENT_KINDS),
            name="edition_organisation_parent_kind",
        ),
        Index("edition_organisation_code", "organisation_code"),
        {"schema": SCHEMA},
    )

    edition_id: UUID = field("The edition that names the organisation so.", EDITION_EXAMPLE, primary_key=True)
    organisation_code: str = field("The code of the Organisation Data Service.", "RJ1", sa_type=Text, primary_key=True)
    name: str = field("As the edition writes it.", "Guy's and St Thomas' NHS Foundation Trust", sa_type=Text)
    parent_code: str | None = field("The region, or what came before regions.", "Y56", default=None, sa_type=Text)
    parent_kind: ParentKind = field("What `parent_code` is the code of.", "region", sa_type=Text)
    warnings: list[str] = field("What the reader found odd.", [], sa_column=Column(ARRAY(Text), nullable=False))


class EditionOrganisationRow(NamedTuple):
    """A row of `beds.edition_organisation`."""

    edition_id: UUID
    organisation_code: str
    name: str
    parent_code: str | None
    parent_kind: str
    warnings: Sequence[str]


class Occupancy(Loaded, table=True):
    """Beds of an organisation in a sector: averages over the quarter, a day."""

    __tablename__ = "occupancy"
    __table_args__ = (
        CheckConstraint(one_of("sector", SECTORS), name="occupancy_sector"),
        Index("occupancy_organisation", "organisation_code", "sector"),
        {"schema": SCHEMA},
    )

    edition_id: UUID = field("The edition that has the row.", EDITION_EXAMPLE, primary_key=True)
    organisation_code: str = field("The code of the Organisation Data Service.", "RJ1", sa_type=Text, primary_key=True)
    sector: Sector = field("`total` is all sectors together.", "total", sa_type=Text, primary_key=True)
    available: float = field("Average number of beds open per day.", 1107.5, sa_type=Double)
    occupied: float = field("Average number of beds occupied per day.", 1001.25, sa_type=Double)
    rate: float | None = field(
        "Occupied / available; null without beds. It can be above 1.",
        0.904,
        default=None,
        sa_column=Column(Double, Computed("occupied / nullif(available, 0)", persisted=True)),
    )
    warnings: list[str] = field("What the reader found odd.", [], sa_column=Column(ARRAY(Text), nullable=False))


class OccupancyColumns(NamedTuple):
    """Rows of `beds.occupancy`, a sequence for each column."""

    edition_id: Sequence[UUID]
    organisation_code: Sequence[str]
    sector: Sequence[str]
    available: Sequence[float]
    occupied: Sequence[float]
    warnings: Sequence[Sequence[str]]


class SpecialtyOccupancy(Loaded, table=True):
    """Occupied beds of an organisation in a consultant main specialty, a day."""

    __tablename__ = "specialty_occupancy"
    __table_args__ = ({"schema": SCHEMA},)

    edition_id: UUID = field("The edition that has the row.", EDITION_EXAMPLE, primary_key=True)
    organisation_code: str = field("The code of the Organisation Data Service.", "RJ1", sa_type=Text, primary_key=True)
    specialty_code: str = field("The consultant main specialty.", "100", sa_type=Text, primary_key=True)
    occupied: float = field("Average number of beds occupied per day.", 61.5, sa_type=Double)


class SpecialtyOccupancyColumns(NamedTuple):
    """Rows of `beds.specialty_occupancy`, a sequence for each column."""

    edition_id: Sequence[UUID]
    organisation_code: Sequence[str]
    specialty_code: Sequence[str]
    occupied: Sequence[float]


class EnglandTotal(Loaded, table=True):
    """The England row as published: the total to reconcile with, never an organisation."""

    __tablename__ = "england_total"
    __table_args__ = (
        CheckConstraint(one_of("sector", SECTORS), name="england_total_sector"),
        {"schema": SCHEMA},
    )

    edition_id: UUID = field("The edition that has the row.", EDITION_EXAMPLE, primary_key=True)
    sector: Sector = field("`total` is all sectors together.", "total", sa_type=Text, primary_key=True)
    available: float = field("Average number of beds open per day.", sa_type=Double)
    occupied: float = field("Average number of beds occupied per day.", sa_type=Double)


class EnglandTotalRow(NamedTuple):
    """A row of `beds.england_total`."""

    edition_id: UUID
    sector: str
    available: float
    occupied: float


class Specialty(Loaded, table=True):
    """A consultant main specialty, with the name that the newest edition gives it."""

    __tablename__ = "specialty"
    __table_args__ = ({"schema": SCHEMA},)

    code: str = field("The code of the main specialty.", "100", sa_type=Text, primary_key=True)
    name: str = field("As the newest edition writes it.", "General Surgery", sa_type=Text)
    named_for: date = field("The last day of the quarter of the edition that has the name.", sa_type=Date)
    named_on: date = field("When that edition was published or revised, else landed.", sa_type=Date)


class SpecialtyNameRow(NamedTuple):
    """A row of `beds.specialty`."""

    code: str
    name: str
    named_for: date
    named_on: date


# Warnings, since one such number was published (a specialty of Q4 2013-14), and its totals agree.
_NO_NEGATIVE_BEDS = Expectation("no_negative_beds", "available >= 0 AND occupied >= 0", Action.WARN)
_NO_NEGATIVE_OCCUPIED = Expectation("no_negative_beds", "occupied >= 0", Action.WARN)

EDITION = Dataset(Edition, EditionRow, Upsert(written_once=("object_key", "object_sha256", "landed_at")))
_OF_EDITION = Family(parent=EDITION, parent_key=("edition_id",))
EDITION_ORGANISATION = Dataset(EditionOrganisation, EditionOrganisationRow, _OF_EDITION)
OCCUPANCY = Dataset(Occupancy, OccupancyColumns, _OF_EDITION, expectations=(_NO_NEGATIVE_BEDS,))
SPECIALTY_OCCUPANCY = Dataset(
    SpecialtyOccupancy, SpecialtyOccupancyColumns, _OF_EDITION, expectations=(_NO_NEGATIVE_OCCUPIED,)
)
ENGLAND_TOTAL = Dataset(EnglandTotal, EnglandTotalRow, _OF_EDITION, expectations=(_NO_NEGATIVE_BEDS,))
SPECIALTY = Dataset(Specialty, SpecialtyNameRow, Upsert(order=("named_for", "named_on")))

DATASETS = (EDITION, EDITION_ORGANISATION, OCCUPANCY, SPECIALTY_OCCUPANCY, ENGLAND_TOTAL, SPECIALTY)
