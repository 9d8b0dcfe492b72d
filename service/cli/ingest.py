"""`wardflow ingest`."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import asyncpg
import typer
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from temporalio.client import WorkflowFailureError
from temporalio.service import RPCError

from config.settings import Settings
from library.access.audit import LOCAL, Audit
from library.contracts.errors import ConfigurationError, WardflowError
from library.contracts.runs import Run, RunState
from library.warehouse.failures import DISCONNECTED
from library.warehouse.runs import RunLog
from service.cli.output import err, out, print_json, run, table
from service.resources import object_store, warehouse
from service.starts import EXCEL, RunHandle, Starter, run_id
from service.temporal import connect

app = typer.Typer(add_completion=False, no_args_is_help=True)

_AT_ONCE = 8
"""Files that are sent side by side."""
_OUTAGE, _BETWEEN_TRIES = 120.0, 1.0
"""Seconds that Temporal may be away while runs are followed, and between two tries to reach it."""


@dataclass(frozen=True)
class Outcome:
    """What became of one file.

    Attributes:
        run: its run's id; empty where none was started.
        rows: that its load brought, in all datasets.
        error: why not, with its type; empty where all went well.
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


@app.callback()
def ingest() -> None:
    """Bring files in."""


@app.command()
def workbook(
    paths: Annotated[list[str], typer.Argument(help="Workbooks, folders of them, or URLs.", show_default=False)],
    reload: Annotated[bool, typer.Option("--reload", help="Load once more what the ledger already has.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Ingest KH03 workbooks; exits with 0 only if every one of them is loaded, now or before."""

    async def main(settings: Settings) -> list[Outcome]:
        return await ingest_workbooks(settings, list(workbooks_in(paths)), reload=reload, quiet=as_json)

    outcomes = run(main)
    if as_json:
        print_json([asdict(outcome) for outcome in outcomes])
    else:
        show(outcomes)
    raise typer.Exit(0 if all(outcome.state == RunState.COMPLETED for outcome in outcomes) else 1)


def workbooks_in(paths: Sequence[str]) -> Iterator[Path | str]:
    """URLs and files themselves, and the workbooks in folders, whatever lies how deep; lock files of Excel are none.

    Raises:
        ConfigurationError: a path does not exist, or a folder holds no workbook.
    """
    for given in paths:
        path = Path(given)
        if given.startswith(("https://", "http://")):
            yield given
        elif path.is_file():
            yield path
        elif not path.is_dir():
            raise ConfigurationError(f"There is no file or folder {path}.", advice="Check the path.")
        else:
            found = sorted(
                file
                for file in path.rglob("*")
                if file.is_file() and file.suffix.lower() in EXCEL and not file.name.startswith("~$")
            )
            if not found:
                raise ConfigurationError(f"The folder {path} holds no .xls or .xlsx file.", advice="Check the path.")
            yield from found


async def ingest_workbooks(
    settings: Settings, paths: Sequence[Path | str], *, reload: bool = False, quiet: bool = False
) -> list[Outcome]:
    """Land and ingest files side by side, with a bar for each; a file that fails stops no other."""
    client, store = await connect(settings), object_store(settings)
    columns = (
        TextColumn("{task.fields[name]}"),
        BarColumn(24),
        TextColumn("{task.fields[state]}"),
        TimeElapsedColumn(),
    )
    async with warehouse(settings, size=4) as pool:
        with Progress(*columns, console=err, transient=True, disable=quiet or not err.is_terminal) as progress:
            ingest = _Ingest(
                Starter(settings, client, store, pool), RunLog(pool), progress, asyncio.Semaphore(_AT_ONCE), Audit(pool)
            )
            outcomes = await asyncio.gather(*(ingest.one(path, reload=reload) for path in paths))
    store.close()
    return outcomes


@dataclass(frozen=True)
class _Ingest:
    starter: Starter
    runs: RunLog
    progress: Progress
    gate: asyncio.Semaphore
    audit: Audit

    async def one(self, source: Path | str, *, reload: bool) -> Outcome:
        name = source.name if isinstance(source, Path) else urlsplit(source).path.rsplit("/", 1)[-1]
        bar = self.progress.add_task("", name=name, state="waiting", total=None)
        try:
            outcome = await self._ingest(source, name, bar, reload=reload)
        except WardflowError as error:
            outcome = Outcome(name, error_type=type(error).__name__, error=error.message, advice=error.advice)
        except (RPCError, asyncpg.PostgresError, *DISCONNECTED) as error:
            outcome = Outcome(
                name,
                error_type=type(error).__name__,
                error="The file cannot be read, or a server went away while it was followed.",
                advice="If its run was started, it goes on: `wardflow runs list` shows it. Else send it again.",
            )
        self.progress.update(bar, state=outcome.result or outcome.error_type)
        return outcome

    async def _ingest(self, source: Path | str, name: str, bar: TaskID, *, reload: bool) -> Outcome:
        async with self.gate:
            handle = await (
                self._start_file(source, bar, reload=reload)
                if isinstance(source, Path)
                else self._start_url(source, reload=reload)
            )
        self.progress.update(bar, state="running")
        await self.audit.record(LOCAL, "start_run", handle.id)
        await _ended(handle)
        finished = await self.runs.get(run_id(handle))
        if finished is None:
            raise ConfigurationError(
                "The run ended without a row in ingest.run.",
                advice="Its worker uses another warehouse: compare settings.",
            )
        return outcome_of(name, finished)

    async def _start_file(self, path: Path, bar: TaskID, *, reload: bool) -> RunHandle:
        self.progress.update(bar, state="landing", total=path.stat().st_size)
        landed = await self.starter.land_workbook(path, progress=lambda sent: self.progress.advance(bar, sent))
        self.progress.update(bar, completed=landed.size)
        return await self.starter.ingest_workbook(landed, subject=path.name, reload=reload)

    async def _start_url(self, url: str, *, reload: bool) -> RunHandle:
        if reload:
            raise ConfigurationError(
                "What a URL gives can only be known once it is downloaded.",
                advice="Give --reload with the file itself.",
            )
        return await self.starter.ingest_workbook_from(url)


async def _ended(handle: RunHandle) -> None:
    """Wait for a run's end, through an outage of Temporal too: the run itself outlives it."""
    given_up = time.monotonic() + _OUTAGE
    while True:
        try:
            await handle.result()
        except WorkflowFailureError:
            return  # the run says why
        except RPCError:
            if time.monotonic() > given_up:
                raise
            await asyncio.sleep(_BETWEEN_TRIES)
        else:
            return


def outcome_of(file: str, finished: Run) -> Outcome:
    """What a closed run says of its file."""
    report = finished.report
    return Outcome(
        file=file,
        run=finished.id,
        state=finished.state,
        result=finished.result or "",
        edition=str(report.get("edition", "")),
        period_end=str(report.get("period_end", "")),
        organisations=_number(report.get("organisations")),
        rows=_number(report.get("rows")),
        warnings=_number(report.get("warnings")),
        error_type=finished.error.type if finished.error else "",
        error=finished.error.message if finished.error else "",
        advice=finished.error.advice if finished.error else "",
    )


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def show(outcomes: Sequence[Outcome]) -> None:
    """A line for each file, and below them why those that failed did."""
    lines = table("file", "result", "period end", "organisations>", "rows>", "warnings>")
    for outcome in outcomes:
        failed = outcome.state != RunState.COMPLETED
        lines.add_row(
            outcome.file,
            f"[red]{outcome.error_type or outcome.state}[/]" if failed else f"[green]{outcome.result}[/]",
            outcome.period_end,
            f"{outcome.organisations or ''}",
            f"{outcome.rows:,}" if outcome.rows else "",
            f"{outcome.warnings or ''}",
        )
    out.print(lines)
    for outcome in outcomes:
        if outcome.error:
            err.print(f"\n{outcome.file}: {outcome.error}", style="red", markup=False)
            err.print(outcome.advice, markup=False)
