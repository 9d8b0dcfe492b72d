"""The demo of beds: eight published workbooks, and the loaded figures beside the published ones."""

import csv

from config.servers import CHECKOUT
from config.settings import Settings
from library.contracts.errors import ConfigurationError
from library.contracts.runs import RunState
from library.warehouse.pool import Pool
from service.cli.demonstrating import Demonstrated, LookAt, Typed
from service.cli.output import DONE, FAILED, out, path_to_type, table
from service.resources import warehouse
from service.sources.beds.commands import ingest_workbooks, show

DATA = CHECKOUT / "tests" / "data" / "nhs"
WORKBOOKS = (
    "NHS-organisations-in-England-Quarter-1-2010-11--HowsMyNHS-tempfile.xls",
    "Beds-Open-Overnight-Web_File-Q1-2011-12-November-2012-Refresh-v3-Final.xls",
    "Beds-Open-Overnight-Web_File-Q4-2013-14-Final-Working-Revised-33335.xlsx",
    "Beds-Open-Overnight-Web_File-Q2-2016-17-Final-98123.xlsx",
    "Beds-Open-Overnight-Q3-201718-REVISED-Web_File-Final.xlsx",
    "1920-Q3-Beds-Open-Overnight-Web_File-Final-DE5WC.xlsx",
    "Beds-Open-Overnight-Web_File-Q1-2020-21-Final-1.xlsx",
    "Beds-Open-Overnight-Web_File-Q3-2025-26.xlsx",
)
"""One workbook of each layout since 2010."""

_TOLERANCE = 0.01
"""Beds by which sums of rounded figures may differ."""

_TOTALS = """
SELECT e.financial_year, e.quarter, count(*) AS organisations,
       sum(o.available) AS available, sum(o.occupied) AS occupied
FROM beds.edition e JOIN beds.occupancy o ON o.edition_id = e.id AND o.sector = 'total'
WHERE e.id = ANY ($1::uuid[]) GROUP BY e.id ORDER BY e.period_end
"""


async def demonstrate(settings: Settings) -> Demonstrated:
    """Ingest the workbooks, and show the loaded and the published beds of England."""
    paths = [DATA / "kh03" / name for name in WORKBOOKS]
    if missing := [path for path in paths if not path.exists()]:
        raise ConfigurationError(
            f"The sample workbook {missing[0]} is not there.", advice="Run the demo from a whole checkout."
        )
    outcomes = await ingest_workbooks(settings, paths)
    show(outcomes)
    async with warehouse(settings, size=1) as pool:
        agrees = await _compare(pool, [outcome.edition for outcome in outcomes if outcome.edition])
    complete = all(outcome.state == RunState.COMPLETED for outcome in outcomes)
    return Demonstrated(complete and agrees, next((outcome.run for outcome in outcomes if outcome.run), ""))


def look_at(settings: Settings, typed: Typed) -> LookAt:  # noqa: ARG001 - each source is asked the same
    """Commands and routes to try next."""
    workbooks = path_to_type(DATA / "kh03")
    return {
        "SQL": (
            f'{typed.wardflow} sql "SELECT financial_year, quarter, round(sum(available)) AS beds',
            "    FROM beds.current_occupancy WHERE sector = 'total' GROUP BY 1, 2 ORDER BY 1, 2\"",
        ),
        "REST": (
            f"{typed.curl} \\",
            f'    "{typed.api}/nhs-data/occupancy?sector=total&sort=rate&descending=true&limit=3"',
        ),
        "All 25 files": (f"{typed.wardflow} ingest workbook {workbooks}",),
    }


async def _compare(pool: Pool, editions: list[str]) -> bool:
    """Print the sums of England's beds beside the published totals; returns whether they agree."""
    with (DATA / "england-totals.csv").open(newline="") as file:
        published = {
            (row["financial_year"], row["quarter"]): row for row in csv.DictReader(file) if row["folder"] == "kh03"
        }
    lines = table("England", "organisations>", "available: found>", "published>", "occupied: found>", "published>", "")
    found = await pool.fetch(_TOTALS, editions)
    agrees = len(found) == len(WORKBOOKS)
    for row in found:
        stated = published[(row["financial_year"], str(row["quarter"]))]
        available, occupied = float(stated["available_total"]), float(stated["occupied_total"])
        same = abs(row["available"] - available) <= _TOLERANCE and abs(row["occupied"] - occupied) <= _TOLERANCE
        same = same and row["organisations"] == int(stated["organisations"])
        agrees = agrees and same
        lines.add_row(
            f"{row['financial_year']} Q{row['quarter']}",
            f"{row['organisations']}",
            f"{row['available']:,.2f}",
            f"{available:,.2f}",
            f"{row['occupied']:,.2f}",
            f"{occupied:,.2f}",
            DONE if same else FAILED,
        )
    out.print()
    out.print(lines)
    return agrees
