"""`wardflow ingest workbook`."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from config.settings import Settings
from library.contracts.runs import NOTE, RunState
from library.sources.beds.contracts import CURRENT_EDITION
from service.cli.exits import exit_of_all
from service.cli.files import files_in, run_to_start
from service.cli.following import RunEnd, RunToStart, follow
from service.cli.output import Json, err, out, print_json, run, table
from service.sources.beds.starts import EXCEL, ingest_workbook, ingest_workbook_from, land_workbook

app = typer.Typer()


@dataclass(frozen=True)
class Outcome:
    """The result of one file.

    Attributes:
        run: the id of its run; empty if none was started.
        rows: the number of rows of its load, in all datasets.
        current_edition: the edition that counted for its quarter when the run ended.
        note: a sentence about that edition; empty if it is the file's own.
        error: the reason of a failure, with its type; else empty.
    """

    file: str
    run: str = ""
    state: str = RunState.FAILED
    result: str = ""
    edition: str = ""
    period_end: str = ""
    organisations: int = 0
    rows: int = 0
    warnings: int = 0
    error_type: str = ""
    error: str = ""
    advice: str = ""
    current_edition: str = ""
    note: str = ""


@app.command()
def workbook(
    paths: Annotated[list[str], typer.Argument(help="Workbooks, folders of them, or URLs.", show_default=False)],
    reload: Annotated[bool, typer.Option("--reload", help="Load once more what the ledger already has.")] = False,
    as_json: Json = False,
) -> None:
    """Ingest KH03 workbooks; exits with 0 only if every one of them is loaded, now or before."""

    async def main(settings: Settings) -> list[RunEnd]:
        return await _follow(settings, list(files_in(paths, tuple(EXCEL))), reload=reload, quiet=as_json)

    followed = run(main)
    outcomes = [outcome_of(each) for each in followed]
    if as_json:
        print_json([asdict(outcome) for outcome in outcomes])
    else:
        show(outcomes)
    raise typer.Exit(exit_of_all(followed))


async def ingest_workbooks(settings: Settings, paths: Sequence[Path | str], *, quiet: bool = False) -> list[Outcome]:
    """Land and ingest files at the same time, with a bar for each. A failed file does not stop the others."""
    return [outcome_of(each) for each in await _follow(settings, paths, quiet=quiet)]


async def _follow(
    settings: Settings, paths: Sequence[Path | str], *, reload: bool = False, quiet: bool = False
) -> list[RunEnd]:
    return await follow(settings, [_wanted(path, reload=reload) for path in paths], quiet=quiet)


def _wanted(source: Path | str, *, reload: bool) -> RunToStart:
    return run_to_start(
        source, land=land_workbook, start_file=ingest_workbook, start_url=ingest_workbook_from, reload=reload
    )


def outcome_of(followed: RunEnd) -> Outcome:
    """The result of a file, from its closed run."""
    finished = followed.run
    report = finished.report if finished else {}
    return Outcome(
        file=followed.name,
        run=finished.id if finished else "",
        state=finished.state if finished else RunState.FAILED,
        result=(finished.result if finished else None) or "",
        edition=str(report.get("edition", "")),
        period_end=str(report.get("period_end", "")),
        organisations=_number(report.get("organisations")),
        rows=_number(report.get("rows")),
        warnings=_number(report.get("warnings")),
        error_type=followed.error_type,
        error=followed.error,
        advice=followed.advice,
        current_edition=str(report.get(CURRENT_EDITION, "")),
        note=str(report.get(NOTE, "")),
    )


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def show(outcomes: Sequence[Outcome]) -> None:
    """Print a line for each file, then the reasons of failed files."""
    lines = table("file", "result", "period end", "organisations>", "rows>", "warnings>")
    for outcome in outcomes:
        failed = outcome.state != RunState.COMPLETED
        lines.add_row(
            outcome.file,
            Text(outcome.error_type or outcome.state, "red") if failed else Text(outcome.result, "green"),
            outcome.period_end,
            f"{outcome.organisations or ''}",
            f"{outcome.rows:,}" if outcome.rows else "",
            f"{outcome.warnings or ''}",
        )
    out.print(lines)
    for outcome in outcomes:
        if outcome.note:
            err.print(f"{outcome.file}: {outcome.note}", style="yellow")
        if outcome.error:
            err.print(f"\n{outcome.file}: {outcome.error}", style="red")
            err.print(outcome.advice)
