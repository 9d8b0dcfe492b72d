"""The items of answers about beds, for the OpenAPI document only."""

from datetime import date, datetime
from uuid import UUID

from pydantic import BaseModel, Field

from library.sources.beds.names import Basis, ParentKind, Sector

_EDITION = "55fd5766-7b48-1af0-80b2-c5c3c294ca0a"
_SHA256 = "8a3fba491baf4e88bb64cf89f2590026c2274df6903c83e9a48e893c881baeac"


class _Quarter(BaseModel):
    financial_year: str = Field(examples=["2019-20"])
    quarter: int = Field(ge=1, le=4, description="1: April to June.", examples=[3])
    period_end: date = Field(examples=["2019-12-31"])
    basis: Basis = Field(examples=["overnight"])


class _OfOrganisation(_Quarter):
    edition_id: UUID = Field(examples=[_EDITION])
    organisation_code: str = Field(examples=["RJ1"])
    organisation_name: str = Field(examples=["Guy's and St Thomas' NHS Foundation Trust"])
    parent_code: str | None = Field(examples=["Y56"])


class OccupancyItem(_OfOrganisation):
    """Beds of an organisation in a sector: averages over the quarter, a day."""

    sector: Sector = Field(examples=["total"])
    available: float = Field(examples=[1107.5])
    occupied: float = Field(examples=[1001.25])
    rate: float | None = Field(description="Occupied / available; null without beds.", examples=[0.904])
    warnings: list[str] = Field(examples=[[]])


class SpecialtyItem(_OfOrganisation):
    """Occupied beds of an organisation in a specialty, a day."""

    specialty_code: str = Field(examples=["100"])
    specialty_name: str = Field(examples=["General Surgery"])
    occupied: float = Field(examples=[61.5])


class EditionOfPeriod(BaseModel):
    """An edition, in short."""

    id: UUID = Field(examples=[_EDITION])
    published: date | None = Field(examples=["2020-02-20"])
    revised: date | None = Field(examples=["2020-11-19"])
    landed_at: datetime = Field(examples=["2026-11-21T10:15:30+00:00"])


class PeriodItem(_Quarter):
    """A quarter with its editions, the oldest first."""

    editions: list[EditionOfPeriod]


class SummaryItem(_Quarter):
    """England in a quarter, summed from all sectors together."""

    organisations: int = Field(examples=[201])
    available: float = Field(examples=[128325.97])
    occupied: float = Field(examples=[116126.27])
    rate: float | None = Field(examples=[0.905])


class OrganisationItem(BaseModel):
    """An organisation by its newest name."""

    organisation_code: str = Field(examples=["RP6"])
    name: str = Field(examples=["Moorfields Eye Hospital NHS Foundation Trust"])
    parent_code: str | None = Field(examples=["Y56"])
    parent_kind: ParentKind = Field(examples=["region"])
    first_period_end: date = Field(examples=["2010-06-30"])
    last_period_end: date = Field(examples=["2025-12-31"])


class EditionItem(_Quarter):
    """A workbook: provenance and warnings."""

    id: UUID = Field(examples=[_EDITION])
    title: str = Field(examples=["Average daily number of available and occupied beds open overnight by sector"])
    status: str | None = Field(examples=["Published 20th February 2020"])
    published: date | None = Field(examples=["2020-02-20"])
    revised: date | None = Field(examples=["2020-11-19"])
    landed_at: datetime = Field(examples=["2026-11-21T10:15:30+00:00"])
    current: bool = Field(description="Whether it counts for its quarter today.", examples=[True])
    organisations: int = Field(examples=[201])
    warnings: list[str] = Field(examples=[[]])
    object_key: str = Field(examples=[f"landed/beds/{_SHA256}"])
    object_sha256: str = Field(examples=[_SHA256])
    load_id: UUID = Field(examples=["65009f02-689c-5c5e-8604-6ba18afdb58c"])
