"""From a workbook on disk to staged CSV files: what runs inside the reading process, and what calls it."""

from datetime import datetime
from pathlib import Path
from typing import NamedTuple, cast
from uuid import UUID

from pydantic import JsonValue

from config.beds import WorkbookSettings
from library.contracts.loads import LoadIdentity
from library.contracts.objects import ObjectRef
from library.datasets.declaration import Dataset
from library.reading.child import run_in_child
from library.sources.beds import datasets as beds
from library.sources.beds.contracts import SOURCE, CellUnreadable, WorkbookRejected
from library.sources.beds.reader import READER_VERSION, read_workbook
from library.staging.files import Staging

_NO_TABLE_KEEPS = "A cell holds what no table can keep, such as a NUL character."


class StagedWorkbook(NamedTuple):
    """The files that the reading process left in its folder.

    Attributes:
        rows: the number of rows of each dataset.
        report: facts about the whole workbook. It goes into histories, so it must not quote cells.
        warnings: sentences for people; they may quote cells.
    """

    rows: dict[str, int]
    report: dict[str, JsonValue]
    warnings: tuple[str, ...]


def workbook_identity(workbook: ObjectRef, *, reload: int = 0) -> LoadIdentity:
    """The identity of a workbook's load."""
    return LoadIdentity(source=SOURCE, sha256=workbook.sha256, reader_version=READER_VERSION, reload=reload)


def edition_id(sha256: str) -> UUID:
    """The edition's id: the first half of its workbook's sha256, so every load of it has the same id."""
    return UUID(hex=sha256[:32])


def stage_in_child(source: Path, folder: Path, workbook: ObjectRef, limits: WorkbookSettings) -> StagedWorkbook:
    """Read a workbook in a child process, and write a CSV file for each dataset to the folder.

    Raises:
        WorkbookRejected: the workbook cannot be loaded; the error says what is wrong, and where.
    """
    said = run_in_child(
        stage_file,
        str(source),
        str(folder),
        workbook.model_dump_json(),
        errors=[WorkbookRejected],
        max_memory=limits.max_memory,
        max_seconds=limits.max_seconds,
    )
    return StagedWorkbook(
        rows=cast(dict[str, int], said["rows"]),
        report=cast(dict[str, JsonValue], said["report"]),
        warnings=tuple(cast(list[str], said["warnings"])),
    )


def stage_file(source: str, folder: str, workbook_json: str) -> dict[str, JsonValue]:
    """Read the workbook at `source` and write its rows below `folder`; all arguments and results are plain data."""
    workbook = ObjectRef.model_validate_json(workbook_json)
    reading = read_workbook(Path(source).read_bytes())
    edition, edition_key = reading.edition, edition_id(workbook.sha256)
    landed_at = cast(datetime, workbook.landed_at)
    named_on = edition.revised or edition.published or landed_at.date()
    all_warnings = [
        *edition.warnings,
        *(f"{row.code}: {text}" for row in reading.organisations for text in row.warnings),
        *(f"{row.organisation_code}, {row.sector}: {text}" for row in reading.occupancy for text in row.warnings),
    ]
    with Staging(Path(folder), beds.DATASETS) as staging:

        def keep(dataset: Dataset, row: NamedTuple, *, line: int = 1, parent: int | None = None) -> None:
            # A workbook is loaded completely or not at all: without one row, the sums no longer equal the England row.
            if not staging.add(dataset, row, line=line, parent=parent):
                raise CellUnreadable(_NO_TABLE_KEEPS, row=line)

        keep(
            beds.EDITION,
            beds.EditionRow(
                id=edition_key,
                financial_year=edition.financial_year,
                quarter=edition.quarter,
                period_end=edition.period_end,
                basis=edition.basis,
                title=edition.title,
                status=edition.status,
                published=edition.published,
                revised=edition.revised,
                data_quality=edition.data_quality,
                warnings=edition.warnings,
                object_key=workbook.key,
                object_sha256=workbook.sha256,
                landed_at=landed_at,
            ),
        )
        for row, code, name, parent_code, parent_kind, warnings in reading.organisations:
            keep(
                beds.EDITION_ORGANISATION,
                beds.EditionOrganisationRow(edition_key, code, name, parent_code or None, parent_kind, warnings),
                line=row,
                parent=1,
            )
        sectors, specialties = reading.occupancy, reading.specialty_occupancy
        tables: tuple[tuple[Dataset, NamedTuple, list[int]], ...] = (
            (
                beds.OCCUPANCY,
                beds.OccupancyColumns(
                    edition_id=[edition_key] * len(sectors),
                    organisation_code=[row.organisation_code for row in sectors],
                    sector=[row.sector for row in sectors],
                    available=[row.available for row in sectors],
                    occupied=[row.occupied for row in sectors],
                    warnings=[row.warnings for row in sectors],
                ),
                [row.row for row in sectors],
            ),
            (
                beds.SPECIALTY_OCCUPANCY,
                beds.SpecialtyOccupancyColumns(
                    edition_id=[edition_key] * len(specialties.rows),
                    organisation_code=specialties.organisation_codes,
                    specialty_code=specialties.specialty_codes,
                    occupied=specialties.occupied,
                ),
                specialties.rows,
            ),
        )
        for dataset, columns, lines in tables:
            if not staging.add_columns(dataset, columns, lines=lines, parent=1):
                raise CellUnreadable(_NO_TABLE_KEEPS)
        for sector, available, occupied in reading.england:
            keep(beds.ENGLAND_TOTAL, beds.EnglandTotalRow(edition_key, sector, available, occupied), parent=1)
        for code, name in reading.specialties:
            keep(beds.SPECIALTY, beds.SpecialtyNameRow(code, name, edition.period_end, named_on))
        return {
            "rows": cast(JsonValue, staging.rows),
            "report": {
                "edition": str(edition_key),
                "period_end": edition.period_end.isoformat(),
                "organisations": len(reading.organisations),
                "rows": sum(staging.rows.values()),
                "warnings": len(all_warnings),
            },
            "warnings": cast(JsonValue, all_warnings),
        }
