"""Contracts of the beds source: the errors of workbooks, and the inputs of its workflow.

FileRejected
└── WorkbookRejected
    ├── AnotherSeries
    ├── ArchiveTooLarge
    ├── CellUnreadable
    ├── FormulaWithoutValue
    ├── HeaderUnknown
    ├── NotAWorkbook
    ├── NumberExpected
    ├── OrganisationRepeated
    ├── OrganisationUnreadable
    ├── PasswordProtected
    ├── PeriodMissing
    ├── SheetTooLarge
    ├── TotalsDisagree
    ├── WorkbookDamaged
    ├── WorkbookTooLarge
    └── WorkbookTruncated
"""

from typing import ClassVar

from library.contracts.base import Contract
from library.contracts.objects import ObjectRef
from library.contracts.reading import FileRejected

SOURCE = "beds"
"""The name of the source, in runs, loads and keys of objects."""


class WorkbookRejected(FileRejected):
    """A workbook cannot be loaded. The message says where: the sheet, and row and column as Excel counts them.

    Attributes:
        sheet: the name of the sheet, if the error is in a sheet.
        row: counted from 1.
        column: the column's letters.
    """

    details = ("sheet", "row", "column")
    default_advice: ClassVar[str] = "Compare the file with the one on the publisher's page and send the right one."

    def __init__(
        self,
        message: str,
        *,
        sheet: str | None = None,
        row: int | None = None,
        column: str | None = None,
        advice: str = "",
    ) -> None:
        place = ", ".join(
            part
            for part in (
                f"sheet '{sheet}'" if sheet is not None else "",
                f"row {row}" if row is not None else "",
                f"column {column}" if column is not None else "",
            )
            if part
        )
        super().__init__(f"{message} ({place})" if place else message, advice=advice)
        self.sheet = sheet
        self.row = row
        self.column = column


class NotAWorkbook(WorkbookRejected):
    """The bytes are no Excel workbook."""


class WorkbookTruncated(WorkbookRejected):
    """The file ends before its content does."""

    default_advice = "Download or copy the file again: it was cut off on its way."


class WorkbookDamaged(WorkbookRejected):
    """The file is a workbook by its form, but its content cannot be decoded."""

    default_advice = "Download or copy the file again: some of its bytes were changed or lost on their way."


class WorkbookTooLarge(WorkbookRejected):
    """The file is larger than the limit for workbooks."""


class ArchiveTooLarge(WorkbookRejected):
    """The workbook inflates past the limits on entries, total size or ratio."""


class PasswordProtected(WorkbookRejected):
    """The workbook is encrypted."""

    default_advice = "Save the workbook without a password and send it again."


class SheetTooLarge(WorkbookRejected):
    """A sheet has more rows or columns with content than a KH03 return can have."""

    default_advice = (
        "Delete the rows below the table and the columns beside it, also those that look empty: they have content. "
        "Or compare the file with the one on the publisher's page and send the right one."
    )


class AnotherSeries(WorkbookRejected):
    """A workbook, but not the quarterly KH03 return of beds open by organisation."""


class PeriodMissing(WorkbookRejected):
    """No financial year and quarter can be found in the cells."""


class HeaderUnknown(WorkbookRejected):
    """A header that the table needs is missing, repeated or unknown."""

    default_advice = "If the publisher has changed the layout, report it with the file: the reader has to learn it."


class FormulaWithoutValue(WorkbookRejected):
    """A formula whose result was never stored in the file."""

    default_advice = "Open the workbook in a spreadsheet program, let it calculate, save it and send it again."


class NumberExpected(WorkbookRejected):
    """A cell of the table holds something else than a number of beds."""


class CellUnreadable(WorkbookRejected):
    """A cell holds what no table can keep."""

    default_advice: ClassVar[str] = "Type the cell anew in a spreadsheet program: it holds an invisible character."


class OrganisationUnreadable(WorkbookRejected):
    """A row has beds but no valid organisation code, or an organisation is in only one of the sheets."""


class OrganisationRepeated(WorkbookRejected):
    """An organisation code is repeated in a sheet."""


class TotalsDisagree(WorkbookRejected):
    """Organisations do not sum to the published England row, or sectors not to the total."""


CURRENT_EDITION = "current_edition"
"""In a run's report: the edition that counted for the workbook's quarter when the run ended."""


class IngestWorkbook(Contract):
    """Input of the workflow `ingest-workbook`. It has no file name, since a name may tell too much.

    Attributes:
        workbook: the landed workbook; or
        url: the URL to download it from.
        reload: if above 0, the same bytes are loaded once more.
    """

    workbook: ObjectRef | None = None
    url: str | None = None
    reload: int = 0


class DownloadWorkbook(Contract):
    """Input of the activity `download_workbook`; its result is the landed workbook's `ObjectRef`."""

    run_id: str
    url: str


class StageWorkbook(Contract):
    """Input of the activity `stage_workbook`; its result is `Staged`."""

    run_id: str
    workbook: ObjectRef
    reload: int = 0
