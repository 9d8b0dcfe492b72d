"""The result of reading a workbook."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from typing import NamedTuple

from library.sources.beds.names import Basis, ParentKind, Sector


class Organisation(NamedTuple):
    """An organisation as this edition names it.

    Attributes:
        row: of the sector sheet, as Excel counts.
        parent_code: of the authority, team or region above it; as published, so it may be empty.
        warnings: sentences about this row; they may quote cells.
    """

    row: int
    code: str
    name: str
    parent_code: str
    parent_kind: ParentKind
    warnings: tuple[str, ...]


class Occupancy(NamedTuple):
    """Beds of one organisation in one sector: daily averages, as published and never rounded."""

    row: int
    organisation_code: str
    sector: Sector
    available: float
    occupied: float
    warnings: tuple[str, ...]


class Specialty(NamedTuple):
    """A consultant's main specialty, by its national code."""

    code: str
    name: str


class SpecialtyOccupancy(NamedTuple):
    """Occupied beds by organisation and specialty, as columns: some 16,000 entries each.

    A published 0 is an entry; an empty cell is not.
    """

    rows: list[int]
    organisation_codes: list[str]
    specialty_codes: list[str]
    occupied: list[float]


class SpecialtyRow(NamedTuple):
    """Occupied beds of one organisation.

    Attributes:
        occupied: for each of the specialties, in their order; `None` if the cell is empty.
    """

    row: int
    organisation_code: str
    occupied: Sequence[float | None]


class EnglandTotal(NamedTuple):
    """The published England row. The organisations must sum to it."""

    sector: Sector
    available: float
    occupied: float


@dataclass(frozen=True, slots=True)
class Edition:
    """One edition of one quarter's return.

    Attributes:
        financial_year: `2019-20`, from April to March.
        quarter: 1 (April to June) to 4 (January to March).
        period_end: last day of the quarter.
        basis: beds open overnight, or only by day, as the title says.
        published: `None` if the workbook has no readable date.
        revised: the latest revision that the workbook names.
        data_quality: the rows of the notes on data quality, one text for each.
        warnings: sentences about the whole workbook; they may quote cells.
    """

    financial_year: str
    quarter: int
    period_end: dt.date
    basis: Basis
    title: str
    status: str | None
    published: dt.date | None
    revised: dt.date | None
    data_quality: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WorkbookReading:
    """Everything that was read from one workbook, in the order of its sheets."""

    edition: Edition
    organisations: list[Organisation]
    occupancy: list[Occupancy]
    specialties: list[Specialty]
    specialty_rows: list[SpecialtyRow]
    england: list[EnglandTotal]

    @property
    def specialty_occupancy(self) -> SpecialtyOccupancy:
        """The cells of `specialty_rows`, one by one."""
        found = SpecialtyOccupancy([], [], [], [])
        codes = [specialty.code for specialty in self.specialties]
        for row, organisation, numbers in self.specialty_rows:
            there = [number is not None for _, number in zip(codes, numbers, strict=True)]
            count = sum(there)
            found.rows.extend([row] * count)
            found.organisation_codes.extend([organisation] * count)
            found.specialty_codes.extend(compress(codes, there))
            found.occupied.extend(number for number in numbers if number is not None)
        return found
