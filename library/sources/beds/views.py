"""The views of schema `beds`. The revisions make them."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import ARRAY, Date, Double, Text

from library.datasets.fields import field, like
from library.datasets.views import View
from library.sources.beds.datasets import (
    SCHEMA,
    Edition,
    EditionOrganisation,
    Occupancy,
    Specialty,
    SpecialtyOccupancy,
)
from library.sources.beds.names import Basis, ParentKind, Sector


class _OfEdition(View):
    """What rows of an edition have in common, with the names of their organisation."""

    edition_id: UUID = like(Occupancy, "edition_id", primary_key=True)
    financial_year: str = like(Edition, "financial_year")
    quarter: int = like(Edition, "quarter")
    period_end: date = like(Edition, "period_end")
    basis: Basis = like(Edition, "basis")
    organisation_code: str = like(EditionOrganisation, "organisation_code", primary_key=True)
    organisation_name: str = like(EditionOrganisation, "name")
    parent_code: str | None = like(EditionOrganisation, "parent_code")
    parent_kind: ParentKind = like(EditionOrganisation, "parent_kind")
    load_id: UUID = like(Occupancy, "load_id")


class _Occupancy(_OfEdition):
    """Beds with the names of their organisation."""

    sector: Sector = like(Occupancy, "sector", primary_key=True)
    available: float = like(Occupancy, "available")
    occupied: float = like(Occupancy, "occupied")
    rate: float | None = like(Occupancy, "rate")
    warnings: list[str] = field("Everything in the row that deserves a second look.", [], sa_type=ARRAY(Text))


class OccupancyOfEdition(_Occupancy, table=True):
    """Beds by organisation and sector, of every edition."""

    __tablename__ = "occupancy_of_edition"
    __table_args__ = ({"schema": SCHEMA},)


class CurrentOccupancy(_Occupancy, table=True):
    """Beds by organisation and sector, of the editions that count today."""

    __tablename__ = "current_occupancy"
    __table_args__ = ({"schema": SCHEMA},)


class CurrentSpecialtyOccupancy(_OfEdition, table=True):
    """Occupied beds by organisation and specialty, of the editions that count today."""

    __tablename__ = "current_specialty_occupancy"
    __table_args__ = ({"schema": SCHEMA},)

    specialty_code: str = like(SpecialtyOccupancy, "specialty_code", primary_key=True)
    specialty_name: str = like(Specialty, "name")
    occupied: float = like(SpecialtyOccupancy, "occupied")


class CurrentEdition(View, table=True):
    """The edition that counts for a quarter and a basis today: the newest one."""

    __tablename__ = "current_edition"
    __table_args__ = ({"schema": SCHEMA},)

    id: UUID = like(Edition, "id", primary_key=True)
    financial_year: str = like(Edition, "financial_year")
    quarter: int = like(Edition, "quarter")
    period_end: date = like(Edition, "period_end")
    basis: Basis = like(Edition, "basis")
    title: str = like(Edition, "title")
    status: str | None = like(Edition, "status")
    published: date | None = like(Edition, "published")
    revised: date | None = like(Edition, "revised")
    data_quality: list[str] = like(Edition, "data_quality")
    warnings: list[str] = like(Edition, "warnings")
    object_key: str = like(Edition, "object_key")
    object_sha256: str = like(Edition, "object_sha256")
    landed_at: datetime = like(Edition, "landed_at")
    load_id: UUID = like(Edition, "load_id")
    reader_version: int = like(Edition, "reader_version")


class FallenToZero(View, table=True):
    """Organisations without beds that had a hundred or more in the quarter before."""

    __tablename__ = "fallen_to_zero"
    __table_args__ = ({"schema": SCHEMA},)

    edition_id: UUID = like(Occupancy, "edition_id", primary_key=True)
    organisation_code: str = like(Occupancy, "organisation_code", primary_key=True)
    available_before: float = field("Average number of beds open per day, in the quarter before.", sa_type=Double)


class Organisation(View, table=True):
    """An organisation by its newest name."""

    __tablename__ = "organisation"
    __table_args__ = ({"schema": SCHEMA},)

    organisation_code: str = field("The code of the Organisation Data Service.", "RP6", sa_type=Text, primary_key=True)
    name: str = field(
        "As the newest edition that has it writes it.", "Moorfields Eye Hospital NHS Foundation Trust", sa_type=Text
    )
    parent_code: str | None = like(EditionOrganisation, "parent_code")
    parent_kind: ParentKind = like(EditionOrganisation, "parent_kind")
    first_period_end: date = field("Of the first quarter that has it.", "2010-06-30", sa_type=Date)
    last_period_end: date = field("Of the last quarter that has it.", "2025-12-31", sa_type=Date)


class EditionWarning(View, table=True):
    """What deserves a second look: what the reader saw, and what only several editions together show."""

    __tablename__ = "warning"
    __table_args__ = ({"schema": SCHEMA},)

    edition_id: UUID = like(Occupancy, "edition_id", primary_key=True)
    organisation_code: str | None = field("Null: the whole edition.", default=None, sa_type=Text)
    sector: str | None = field("Null: the whole organisation.", default=None, sa_type=Text)
    warning: str = field("What is odd.", sa_type=Text, primary_key=True)


VIEWS = (
    OccupancyOfEdition,
    CurrentOccupancy,
    CurrentSpecialtyOccupancy,
    CurrentEdition,
    FallenToZero,
    Organisation,
    EditionWarning,
)
