"""`wardflow import zipcode` and `wardflow import fhir`."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import asyncpg
import typer
from rich.text import Text

from config.settings import Settings
from library.contracts.errors import WardflowError
from library.contracts.loads import LoadOutcome
from library.contracts.runs import FIGURES_OF, Run, RunState
from library.sources.fhir.contracts import OUTDATED
from library.sources.fhir.lookups import patient_unknown
from library.sources.fhir.ndjson import SUFFIXES
from library.warehouse import ledger
from library.warehouse.failures import DISCONNECTED
from service.cli.exits import exit_of_all
from service.cli.files import files_in, run_to_start
from service.cli.following import Bar, RunEnd, RunToStart, follow
from service.cli.outcomes import show_errors, told
from service.cli.output import Json, err, errors_as_sentences, out, print_json, run, table
from service.cli.pools import open_warehouse
from service.sources.fhir.starts import import_fhir, import_fhir_from, import_zipcode, land_fhir
from service.starts import RunHandle, Starter

app = typer.Typer()

_DATASETS = ("fhir.patient", "fhir.observation")
_TYPES = 5
"""Maximum number of types of skipped resources to name."""

Server = Annotated[str | None, typer.Option(help="A FHIR server of the settings.", show_default=False)]


@app.command()
def zipcode(
    zipcodes: Annotated[list[str], typer.Argument(help="Zip codes.", show_default=False)],
    server: Server = None,
    as_json: Json = False,
) -> None:
    """Import the patients of zip codes and their observations; exits with 0 only if all is loaded, now or before."""
    _follow([zipcode_wanted(each, server) for each in zipcodes], as_json=as_json)


def zipcode_wanted(zipcode: str, server: str | None) -> RunToStart:
    """The import of a zip code."""

    async def start(starter: Starter, _: Bar) -> RunHandle:
        return await import_zipcode(starter, zipcode, server=server)

    def source(settings: Settings) -> str:
        name = server or settings.fhir.default
        known = settings.fhir.by_name.get(name)
        place = urlsplit(known.base_url).netloc.rpartition("@")[2] if known else ""
        return f"the FHIR server {name} at {place}" if place else f"the FHIR server {name}"

    return RunToStart(zipcode, start, source)


@app.command()
def fhir(
    paths: Annotated[
        list[str], typer.Argument(help="NDJSON files, folders of them, or URLs of exports.", show_default=False)
    ],
    server: Server = None,
    reload: Annotated[bool, typer.Option("--reload", help="Load once more what the ledger already has.")] = False,
    as_json: Json = False,
) -> None:
    """Import NDJSON files or exports; exits with 0 only if every one of them is loaded, now or before."""

    def wanted(source: Path | str) -> RunToStart:
        return run_to_start(
            source,
            land=land_fhir,
            start_file=partial(import_fhir, server=server),
            start_url=partial(import_fhir_from, server=server),
            reload=reload,
        )

    with errors_as_sentences():
        sources = list(files_in(paths, SUFFIXES))
    _follow([wanted(each) for each in sources], as_json=as_json)


def _follow(wanted: Sequence[RunToStart], *, as_json: bool) -> None:
    async def main(settings: Settings) -> list[RunEnd]:
        return await follow(settings, wanted, quiet=as_json)

    followed = run(main)
    if as_json:
        print_json([told(each) for each in followed])
    else:
        show(followed)
    if unknown := run(partial(_patient_unknown, followed=followed)):
        err.print(unknown)
    raise typer.Exit(exit_of_all(followed))


async def _patient_unknown(settings: Settings, followed: Sequence[RunEnd]) -> str:
    """Count these after all runs have ended, since patients may be in a file that is loaded later."""
    runs = [each.run for each in followed if each.run]
    try:
        async with open_warehouse(settings) as pool:
            loads = {load for each in runs for load in await ledger.loads_behind(pool, _source(each), each.load_ids)}
            unknown = await patient_unknown(pool, list(loads))
    except (WardflowError, asyncpg.PostgresError, *DISCONNECTED):
        return "Postgres went away before observations of unknown patients were counted; the runs' reports say it."
    return f"Observations whose patient is not here (yet): {unknown:,}. They are kept." if unknown else ""


def show(followed: Sequence[RunEnd]) -> None:
    """Print a line for each run, then the reasons of failed runs."""
    lines = table("import", "result", "patients>", "observations>", "unchanged>", "rejected>")
    for each in followed:
        state = each.run.state if each.run else RunState.FAILED
        colour = "yellow" if each.result == LoadOutcome.INCOMPLETE else "green"
        written = [_rows(each, name, "inserted", "updated") for name in _DATASETS]
        counts = [*written, _rows(each, "", "unchanged"), _rows(each, "", "rejected")]
        lines.add_row(
            each.name,
            Text(each.result, colour) if each.completed else Text(each.error_type or state, "red"),
            *(f"{rows:,}" if rows or each.completed else "" for rows in counts),
        )
    out.print(lines)
    for each in followed:
        if each.completed and each.run and each.run.report.get("patients") == 0:
            err.print(f"{each.name}: the server has no patient with this zip code.")
        for warning in each.run.warnings if each.completed and each.run else ():
            err.print(f"{each.name}: {warning}")
        if each.completed and (passed_over := _passed_over(each)):
            err.print(f"{each.name}: {passed_over}")
        if each.run and (outdated := each.run.report.get(OUTDATED)):
            err.print(f"{each.name}: {outdated:,} stored before are outdated: their newer versions were refused.")
        if each.run and (refused := _rows(each, "", "rejected")):
            err.print(f"{each.name}: {refused:,} refused; see `wardflow quarantine list --run {_source(each.run)}`.")
    show_errors(followed)


def _passed_over(followed: RunEnd) -> str:
    """The skipped resources of a file, as a text; empty if there are none."""
    report = followed.run.report if followed.run else {}
    skipped = report.get("skipped")
    if isinstance(skipped, dict) and skipped:
        most = sorted(skipped.items(), key=lambda each: -int(str(each[1])))
        told = ", ".join(f"{kind} {rows:,}" for kind, rows in most[:_TYPES])
        further = len(most) - _TYPES
        more = f" and {further} more type{'s' if further > 1 else ''}" if further > 0 else ""
        return f"passed over, since they are neither patients nor observations: {told}{more}."
    # An export that was loaded before has no counts either. Only its lines and files show that it is empty.
    is_empty = 0 in (report.get("lines"), report.get("files"))
    return "holds no patient and no observation." if is_empty else ""


def _source(run: Run) -> str:
    """The run that the figures belong to: this one, or an earlier one."""
    return str(run.report.get(FIGURES_OF, run.id))


def _rows(followed: RunEnd, dataset: str, *kinds: str) -> int:
    """The counts of a dataset, or of patients and observations together if none is named."""
    counts = followed.run.counts if followed.run else {}
    found = (counts.get(name) for name in ([dataset] if dataset else _DATASETS))
    return sum(int(str(each.get(kind, 0))) for each in found if isinstance(each, dict) for kind in kinds)
