"""Checks of a return: some refuse the workbook, others only give a warning.

If the organisations do not sum to the published England row, the workbook is refused: rows are missing, doubled or read
from a wrong column. A single row whose numbers do not fit together only gets a warning, since the publisher has such
rows, and their numbers are part of the England row.
"""

import math
from collections.abc import Mapping, Sequence

from library.sources.beds.contracts import TotalsDisagree, WorkbookRejected
from library.sources.beds.grid import Grid
from library.sources.beds.names import SECTORS, Sector
from library.sources.beds.reading import EnglandTotal, Occupancy

TOLERANCE = 0.01
"""Largest difference of a sum, in beds. The publisher's own sums differ by far less, rounded copies by more."""
RATE_TOLERANCE = 0.001
"""Largest difference of a published rate. Rates that were saved as shown are rounded to a tenth of a percent."""


def differ(one: float, other: float) -> bool:
    """Whether two numbers of beds differ by more than the tolerance."""
    return abs(one - other) > TOLERANCE


def row_warnings(
    available: Sequence[float | None], occupied: Sequence[float | None], rates: Sequence[float | None]
) -> dict[Sector, list[str]]:
    """The warnings of one row: empty cells, sectors that do not sum to the total, rates that do not match.

    Args:
        available: available beds, in the order of `SECTORS`.
        occupied: occupied beds, in the same order.
        rates: published rates in the same order, or an empty sequence. `None` if a rate is not published.
    """
    warnings: dict[Sector, list[str]] = {}
    for group, numbers in (("available", available), ("occupied", occupied)):
        total = numbers[0] or 0.0
        parts = sum(filter(None, numbers[1:]))
        if differ(parts, total):
            sentence = f"The sectors of {group} beds sum to {parts:.2f}, not to the total of {total:.2f}."
            warnings.setdefault("total", []).append(sentence)
        if None in numbers:
            for sector, number in zip(SECTORS, numbers, strict=True):
                if number is None:
                    sentence = f"The cell of {group} beds is empty; it is read as 0."
                    warnings.setdefault(sector, []).append(sentence)
    for sector, beds, used, published in zip(SECTORS, available, occupied, rates, strict=False):
        if published is None:
            continue
        rate = (used or 0.0) / beds if beds else 0.0
        if abs(rate - published) > RATE_TOLERANCE:
            sentence = f"The published rate is {published:.4f}, but occupied / available is {rate:.4f}."
            warnings.setdefault(sector, []).append(sentence)
    return warnings


def check_england(
    grid: Grid,
    england_row: int,
    columns: Mapping[str, Sequence[int]],
    england: Sequence[EnglandTotal],
    occupancy: Sequence[Occupancy],
) -> None:
    """Check that organisations sum to the England row, and that England's sectors sum to its total.

    Args:
        grid: the sheet, for errors.
        england_row: the index of the England row.
        columns: the columns of each group, in the order of `SECTORS`.
        england: the England row, in the order of `SECTORS`.
        occupancy: the organisations' rows; those of each organisation in the order of `SECTORS`.

    Raises:
        TotalsDisagree: a sum differs by more than 0.01 beds, or England has no beds.
    """
    for group in ("available", "occupied"):
        published: list[float] = [getattr(entry, group) for entry in england]
        beds = [getattr(row, group) for row in occupancy]
        for number, (sector, total) in enumerate(zip(SECTORS, published, strict=True)):
            summed = math.fsum(beds[number :: len(SECTORS)])
            if differ(summed, total):
                what = f"The organisations' {group} beds ({sector}) sum to {summed:.2f}"
                raise _disagreement(grid, england_row, columns[group][number], what)
        summed = math.fsum(published[1:])
        if differ(summed, published[0]):
            what = f"England's {group} beds sum to {summed:.2f} over the sectors"
            raise _disagreement(grid, england_row, columns[group][0], what)
    if not england[0].available:
        raise grid.error(TotalsDisagree, "England has no available beds.", england_row, columns["available"][0])


def _disagreement(grid: Grid, row: int, column: int, what: str) -> WorkbookRejected:
    return grid.error(TotalsDisagree, f"{what}, which is not the number published for England.", row, column)


def with_specialty_warnings(occupancy: Sequence[Occupancy], specialty_sums: Mapping[str, float]) -> list[Occupancy]:
    """Add a warning to each total of occupied beds that differs from the sum of the organisation's specialties.

    An organisation with occupied beds but no row of specialties gets a warning, too.
    """
    checked = []
    for row in occupancy:
        if row.sector == "total":
            summed = specialty_sums.get(row.organisation_code)
            if summed is None and row.occupied:
                warning = "The organisation has no row in the table by specialty."
                row = row._replace(warnings=(*row.warnings, warning))
            elif summed is not None and differ(summed, row.occupied):
                warning = f"Its specialties sum to {summed:.2f} occupied beds, not to {row.occupied:.2f}."
                row = row._replace(warnings=(*row.warnings, warning))
        checked.append(row)
    return checked
