"""`wardflow reload`."""

from functools import partial
from typing import Annotated

import typer

from config.settings import Settings
from library.contracts.errors import WardflowError
from service.cli.choosing import SourceName
from service.cli.exits import exit_of_all
from service.cli.following import Bar, RunEnd, RunToStart, follow
from service.cli.output import Json, count, err, out, print_json, run, table
from service.reloads import reload_older
from service.sources import SOURCES
from service.starts import RunHandle, Starter

app = typer.Typer(add_completion=False)

_RELOADED = [source.name for source in SOURCES if source.keeps_objects]


class NoLandedObjects(WardflowError):
    """The source has no landed objects. Its records are in the lake."""

    default_advice = "`wardflow streams rewind` reads the records of a topic again."


@app.command()
def reload(
    older_readers: Annotated[
        bool, typer.Option("--older-readers", help="All landed objects that an older version of a reader has read.")
    ] = False,
    source: SourceName = None,
    as_json: Json = False,
) -> None:
    """Read landed objects again after a reader was corrected; exits with 0 only if the reader takes all of them."""
    if not older_readers:
        raise typer.BadParameter("Say what is to be read again: --older-readers.")

    async def main(settings: Settings) -> list[RunEnd]:
        if source is not None and source not in _RELOADED:
            raise NoLandedObjects(f"The source '{source}' has no landed objects.")
        return await follow(settings, [_reload(each) for each in _RELOADED if source in (None, each)], quiet=as_json)

    ended = run(main)
    if as_json:
        print_json([_told(each) for each in ended])
    else:
        _show(ended)
    raise typer.Exit(exit_of_all(ended))


def _reload(source: str) -> RunToStart:
    async def start(source: str, starter: Starter, _: Bar) -> RunHandle:
        return await reload_older(starter, source)

    return RunToStart(source, partial(start, source))


def _told(end: RunEnd) -> dict[str, object]:
    return {
        "source": end.name,
        "run": end.run.id if end.run else "",
        "state": end.run.state if end.run else "failed",
        "result": end.result,
        "report": end.run.report if end.run else {},
        "warnings": end.run.warnings if end.run else [],
        "error_type": end.error_type,
        "error": end.error,
        "advice": end.advice,
    }


def _show(ended: list[RunEnd]) -> None:
    lines = table("source", "result", "objects>", "refused>", "rejected>", "inserted>", "updated>", "run")
    for end in ended:
        report = end.run.report if end.run else {}
        counts = [each for each in (end.run.counts if end.run else {}).values() if isinstance(each, dict)]
        sums = [sum(int(str(each.get(kind, 0))) for each in counts) for kind in ("rejected", "inserted", "updated")]
        numbers = [count(each) for each in (report.get("objects", ""), report.get("refused", ""), *sums)]
        lines.add_row(end.name, end.result or end.error_type, *numbers, end.run.id if end.run else "")
    out.print(lines)
    for end in ended:
        if end.error:
            err.print(f"{end.name}: {end.error} {end.advice}", style="red")
        if end.run is None:
            continue
        for warning in end.run.warnings:
            err.print(f"{end.name}: {warning}", style="yellow")
        for name, values in end.run.report.items():
            if isinstance(values, list):
                err.print(f"{end.name}: {name.replace('_', ' ')}: {', '.join(map(str, values))}", style="yellow")
