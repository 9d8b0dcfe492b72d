"""`wardflow quarantine`."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from config.settings import Settings
from library.access.audit import LOCAL, Audit
from library.contracts.errors import WardflowError
from library.warehouse.queries.pages import MOST, fetch_page
from library.warehouse.queries.parameters import BIGINT, INTEGER
from library.warehouse.queries.quarantine import REJECTIONS, readable
from library.warehouse.runs import RunLog
from service.cli.choosing import SourceName, chosen_run
from service.cli.output import Json, out, print_json, run, table, written_out
from service.cli.pools import open_warehouse

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Look at the rows that were refused.")


class NoSuchRejection(WardflowError):
    """There is no rejection with this id."""

    default_advice = "`wardflow quarantine list` shows the rejections and their ids."


@app.command("list")
def list_rejections(
    source: SourceName = None,
    run_id: Annotated[
        str | None, typer.Option("--run", help="Only of this run: its id, or its beginning.", show_default=False)
    ] = None,
    reason: Annotated[
        str | None, typer.Option(help="Only rows with a reason that begins like this.", show_default=False)
    ] = None,
    topic: Annotated[str | None, typer.Option(help="Only records of this topic.", show_default=False)] = None,
    partition: Annotated[
        int | None, typer.Option(min=0, max=INTEGER, help="Only records of this partition.", show_default=False)
    ] = None,
    offset: Annotated[
        int | None, typer.Option(min=0, max=BIGINT, help="Only the record at this offset.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=MOST, help="How many, the newest first.")] = 20,
    as_json: Json = False,
) -> None:
    """List refused rows, the newest first."""

    async def main(settings: Settings) -> list[dict[str, Any]]:
        async with open_warehouse(settings) as pool:
            run_of = (await chosen_run(RunLog(pool), run_id)).id if run_id else None
            query = REJECTIONS.ask(
                source=source, run=run_of, reason=reason, topic=topic, partition=partition, offset=offset
            )
            page = await fetch_page(pool, query, limit=limit)
        items: list[dict[str, Any]] = json.loads(page.items)
        return items

    found = run(main)
    if as_json:
        print_json(found)
        return
    lines = table("id>", "dataset", "reasons", "where", "run")
    for each in found:
        lines.add_row(str(each["id"]), each["dataset"], "; ".join(each["reasons"]), _where(each), each["run_id"] or "")
    out.print(lines)


@app.command()
def show(
    rejection_id: Annotated[int, typer.Argument(min=1, max=BIGINT, help="Its id, from the list.")],
    as_json: Json = False,
) -> None:
    """Show a refused row as it was received. This is written to the audit."""

    async def main(settings: Settings) -> Mapping[str, Any]:
        async with open_warehouse(settings) as pool:
            page = await fetch_page(pool, REJECTIONS.ask(id=rejection_id, raw=True), limit=1)
            found = json.loads(page.items)
            if not found:
                raise NoSuchRejection(f"There is no rejection with the id {rejection_id}.")
            await Audit(pool).record(LOCAL, "read_raw_rejections", "/quarantine", rejections=[rejection_id])
            return readable(found[0])

    found = run(main)
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        if name != "raw" and value is not None:
            shown = "; ".join(value) if isinstance(value, list) else str(value)
            out.print(f"{name:<13}{shown}")
    if found["raw"] is None:
        out.print(f"\nThe row is too long to be stored here: see {_where(found)}.")
    else:
        # Invisible characters are replaced by their codes, since they may be the reason for the refusal.
        plain = (each if each.isprintable() or each in "\n\t" else written_out(each) for each in found["raw"])
        out.print("\n" + "".join(plain))


def _where(rejected: Mapping[str, Any]) -> str:
    if rejected["topic"] is None:
        return f"{rejected['object_key']}, line {rejected['line']}"
    return f"{rejected['topic']}, partition {rejected['partition']}, offset {rejected['offset']}"
