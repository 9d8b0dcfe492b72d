"""`wardflow doctor`."""

import asyncio
import json
from dataclasses import asdict

import typer
from rich.table import Table
from rich.text import Text

from service.cli.output import DONE, FAILED, Json, errors_as_sentences, load_settings, say
from service.cli.output import out as console
from service.stack.doctor import Report, examine
from service.waiting import report_waits_to

app = typer.Typer(add_completion=False)

COLOURS = {"running": "green", "not answering": "red", "not running": "yellow", "turned off": "dim"}


@app.command()
def doctor(as_json: Json = False) -> None:
    """Show what runs, where its data and logs are, and what is wrong."""

    async def main() -> Report:
        report_waits_to(say)
        return await examine(load_settings())

    with errors_as_sentences():
        report = asyncio.run(main())
    if as_json:
        typer.echo(json.dumps(asdict(report), indent=2))
    else:
        _show(report)
    raise typer.Exit(1 if report.problems else 0)


def _show(report: Report) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("part", "state", "address", "process", "version"):
        table.add_column(heading, overflow="fold")
    for part in report.parts:
        state = Text(part.state, COLOURS[part.state])
        table.add_row(part.name, state, part.address, str(part.pid or ""), part.version)
    console.print(table)
    supervisor = f" (process {report.pid})" if report.pid else ""
    console.print(f"stack {report.stack}{supervisor}, wardflow {report.wardflow}, Python {report.python}")
    console.print(f"data {report.folder} ({report.disk_free_bytes / 1024**3:.0f} GiB free), logs {report.logs}")
    for note in report.notes:
        console.print("·", note.message)
        console.print(f"  {note.advice}")
    for problem in report.problems:
        console.print(FAILED, problem.message)
        console.print(f"  {problem.advice}")
    if not report.problems:
        console.print(DONE, "All is well.")
