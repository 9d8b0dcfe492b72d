"""The KH03 return of beds: `read_workbook(data)` gives a `WorkbookReading`, or raises a `WorkbookRejected`."""

from library.sources.beds.reader import READER_VERSION, read_workbook
from library.sources.beds.reading import (
    SECTORS,
    Basis,
    Edition,
    EnglandTotal,
    Occupancy,
    Organisation,
    ParentKind,
    Sector,
    Specialty,
    SpecialtyOccupancy,
    SpecialtyRow,
    WorkbookReading,
)

__all__ = [
    "READER_VERSION",
    "SECTORS",
    "Basis",
    "Edition",
    "EnglandTotal",
    "Occupancy",
    "Organisation",
    "ParentKind",
    "Sector",
    "Specialty",
    "SpecialtyOccupancy",
    "SpecialtyRow",
    "WorkbookReading",
    "read_workbook",
]
