"""`wardflow demo`: the stack, eight real workbooks beside what was published, and records that clinics post."""

import csv
import time
from pathlib import Path

import typer

from config.settings import Settings
from library.contracts.errors import ConfigurationError
from library.contracts.runs import RunState
from library.warehouse.pool import Pool
from service.cli.demo_records import post_records
from service.cli.ingest import Outcome, ingest_workbooks, show
from service.cli.output import err, errors_as_sentences, out, run, table
from service.resources import warehouse
from service.stack.detach import ensure_running
from service.stack.state import read_state

app = typer.Typer(add_completion=False)

DATA = Path(__file__).parents[2] / "tests" / "data" / "nhs"
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
"""One of each layout since 2010."""

_TOLERANCE = 0.01
"""Beds: what sums of published fractions may differ by."""

_TOTALS = """
SELECT e.financial_year, e.quarter, count(*) AS organisations,
       sum(o.available) AS available, sum(o.occupied) AS occupied
FROM beds.edition e JOIN beds.occupancy o ON o.edition_id = e.id AND o.sector = 'total'
WHERE e.id = ANY ($1::uuid[]) GROUP BY e.id ORDER BY e.period_end
"""


@app.command()
def demo() -> None:
    """Start the stack, load eight real workbooks, show England's beds as found and as published; post records."""
    began = time.monotonic()
    with errors_as_sentences(), err.status("Starting the stack"):
        ensure_running(Settings(), say=lambda line: err.print(line, markup=False))
    up_after = time.monotonic() - began

    async def main(settings: Settings) -> tuple[list[Outcome], bool, bool]:
        paths = [DATA / "kh03" / name for name in WORKBOOKS]
        if missing := [path for path in paths if not path.exists()]:
            raise ConfigurationError(
                f"The sample workbook {missing[0]} is not there.", advice="Run the demo from a whole checkout."
            )
        outcomes = await ingest_workbooks(settings, paths)
        show(outcomes)
        async with warehouse(settings, size=1) as pool:
            agrees = await _compare(pool, [outcome.edition for outcome in outcomes if outcome.edition])
        return outcomes, agrees, not settings.kafka.enabled or await post_records(settings)

    outcomes, agrees, posted = run(main)
    _what_next(Settings(), outcomes, up_after, time.monotonic() - began)
    complete = all(outcome.state == RunState.COMPLETED for outcome in outcomes)
    raise typer.Exit(0 if complete and agrees and posted else 1)


async def _compare(pool: Pool, editions: list[str]) -> bool:
    """Print England's beds as summed from the rows beside the published totals; whether they agree."""
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
            "[green]✓[/]" if same else "[red]✗[/]",
        )
    out.print()
    out.print(lines)
    return agrees


def _what_next(settings: Settings, outcomes: list[Outcome], up_after: float, seconds: float) -> None:
    read_only = settings.postgres.read_only_dsn
    shown = read_only.get_secret_value() if read_only else ""
    wardflow = ".venv/bin/wardflow"
    api = read_state(settings.stack.folder)["api"]["url"]
    out.print(
        f"""
Up after {up_after:.1f} s, all done after {seconds:.1f} s. What to look at next:

  Runs            {wardflow} runs list
                  {wardflow} runs show {outcomes[0].run}      decoded inputs and results of each step
  Temporal UI     {api}/temporal      sign in with the token in {settings.stack.folder}/token: inputs and
                  results are decoded; at {settings.temporal.ui_url} they are encrypted
  SQL, read-only  {wardflow} sql "SELECT financial_year, quarter, round(sum(available)) AS beds
                      FROM beds.current_occupancy WHERE sector = 'total' GROUP BY 1, 2 ORDER BY 1, 2"
                  {shown}
  REST            curl -H "Authorization: Bearer $(cat {settings.stack.folder}/token)" \\
                      "{api}/nhs-data/occupancy?sector=total&sort=rate&descending=true&limit=3"
                  {api}/docs      every route
  Post records    {wardflow} simulate records --rate 50 --duration 20 --verify
  All 25 files    {wardflow} ingest workbook tests/data/nhs/kh03
  Health          {wardflow} doctor
  Stop            {wardflow} down
""".rstrip(),
        markup=False,
    )
