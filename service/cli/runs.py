"""`wardflow runs`."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated

import typer
from pydantic import TypeAdapter
from rich.text import Text
from temporalio.service import RPCError, RPCStatusCode

from activities.abandoned import AbandonedRuns
from config.settings import Settings
from library.access.audit import LOCAL, Audit
from library.contracts.errors import WardflowError
from library.contracts.runs import NOTE, Run, RunState
from library.warehouse.pool import Pool
from library.warehouse.queries.pages import fetch_page
from library.warehouse.queries.runs import RUNS
from library.warehouse.runs import RunLog
from service.addresses import postgres_server, temporal_server
from service.cli.choosing import SourceName, chosen_run
from service.cli.history import HistoryStep, steps_of
from service.cli.output import Json, count, err, local, out, print_json, run, say, table
from service.cli.pools import open_warehouse
from service.cli.step_watcher import StepWatcher
from service.repeats import repeat_run
from service.resources import warehouse
from service.temporal import TemporalUnavailable, connect, history_link
from service.waiting import waiting_for

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Look at runs; follow, cancel and repeat them.")

_TEMPORAL_MAY_TAKE = 2.0
"""Seconds to wait for Temporal's answer about open runs. Without it, only the table is used."""
_LOOK_EVERY = 0.5
"""Seconds between two checks of the table by `watch`."""
_LOOKS_UNTIL_ASKED = 10
"""Checks of the table between two questions to Temporal whether the run still runs."""
_COLOURS = {RunState.COMPLETED: "green", RunState.FAILED: "red", RunState.CANCELLED: "yellow", RunState.RUNNING: "cyan"}

RunId = Annotated[str, typer.Argument(help="The run's id, or its beginning if no other run's id begins like that.")]


@app.command("list")
def list_runs(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, the newest first.")] = 20,
    state: Annotated[list[RunState] | None, typer.Option(help="Only these; can be given several times.")] = None,
    source: SourceName = None,
    as_json: Json = False,
) -> None:
    """List runs, the newest first."""

    async def main(settings: Settings) -> list[Run]:
        async with open_warehouse(settings, size=2) as pool:
            await _ask_temporal(settings, pool)
            page = await fetch_page(pool, RUNS.ask(state=state or None, source=source), limit=limit)
        return TypeAdapter(list[Run]).validate_json(page.items)

    found = run(main)
    if as_json:
        print_json(found)
        return
    lines = table("run", "source", "subject", "state", "result", "phase", "started", "seconds>")
    for each in found:
        seconds = ((each.finished_at or datetime.now(UTC)) - each.started_at).total_seconds()
        what = each.error.type if each.error else each.result or ""
        lines.add_row(
            each.id,
            each.source,
            each.subject,
            _coloured(each.state),
            what,
            each.phase,
            local(each.started_at),
            f"{seconds:.1f}",
        )
    out.print(lines)


@app.command()
def show(run_id: RunId, as_json: Json = False) -> None:
    """Show a run, with the decoded inputs and results of its steps."""

    async def main(settings: Settings) -> tuple[Run, list[HistoryStep], str | None]:
        async with open_warehouse(settings, size=2) as pool:
            await _ask_temporal(settings, pool)
            found = await chosen_run(RunLog(pool), run_id)
        steps: list[HistoryStep] = []
        try:
            client = await connect(settings)
            with waiting_for(temporal_server(settings), "the run's history is not there yet"):
                steps = await steps_of(client, found)
        except (RPCError, WardflowError) as error:
            err.print(f"Its history cannot be read: {error}", style="yellow")
            if isinstance(error, WardflowError):
                err.print(error.advice)
        return found, steps, history_link(settings, found)

    found, steps, link = run(main)
    if as_json:
        print_json({**found.model_dump(mode="json"), "steps": steps, "history": link})
        return
    _print_run(found, link)
    for step in steps:
        out.print("\n", Text(step["step"], "bold"), sep="")
        out.print_json(data=step["payload"]) if step["payload"] is not None else out.print("null")


@app.command()
def watch(run_id: RunId) -> None:
    """Follow a run until it ends. The exit code is 0 if it completed."""

    async def main(settings: Settings) -> Run:
        async with warehouse(settings, size=2) as pool:
            log, shown, looks = RunLog(pool), "", 0
            found = await chosen_run(log, run_id)
            watching = asyncio.create_task(_watch_steps(settings, found))
            while True:
                if (now := f"{found.state} · {found.phase}") != shown:
                    err.print(now)
                    shown = now
                if found.state is not RunState.RUNNING:
                    watching.cancel()
                    return found
                await asyncio.sleep(_LOOK_EVERY)
                looks += 1
                if looks % _LOOKS_UNTIL_ASKED == 0:
                    await _ask_temporal(settings, pool)
                with waiting_for(postgres_server(settings), "it has not answered yet"):
                    found = await chosen_run(log, found.id)

    found = run(main)
    _print_run(found, None)
    raise typer.Exit(0 if found.state is RunState.COMPLETED else 1)


@app.command()
def cancel(run_id: RunId) -> None:
    """Cancel a run. Rows that it has loaded stay."""

    async def main(settings: Settings) -> str:
        async with open_warehouse(settings, size=2) as pool:
            await _ask_temporal(settings, pool)
            found = await chosen_run(RunLog(pool), run_id)
            if found.state is RunState.RUNNING:
                await Audit(pool).record(LOCAL, "cancel_run", found.id)
        if found.state is not RunState.RUNNING:
            return f"The run has already ended: {found.state}."
        client = await connect(settings)
        try:
            with waiting_for(temporal_server(settings), "it has not accepted the request yet"):
                await client.get_workflow_handle(found.workflow_id, first_execution_run_id=found.id).cancel()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise TemporalUnavailable(f"Temporal did not accept the request ({error.status.name}).") from error
            return "The run has ended in the meantime."
        return "The run was asked to stop. `wardflow runs watch` shows when it has ended."

    out.print(run(main))


@app.command()
def repeat(run_id: RunId) -> None:
    """Repeat a failed or cancelled run from its first step, with the same id."""

    async def main(settings: Settings) -> str:
        async with open_warehouse(settings, size=2) as pool:
            await _ask_temporal(settings, pool)
            log = RunLog(pool)
            found = await chosen_run(log, run_id)
            if found.state is RunState.RUNNING:
                return "The run is running."
            await Audit(pool).record(LOCAL, "repeat_run", found.id)
            client = await connect(settings)
            with waiting_for(temporal_server(settings), "it has not accepted the request yet"):
                await repeat_run(client, log, found)
        return f"The run is running again. `wardflow runs watch {found.id}` follows it."

    out.print(run(main))


async def _watch_steps(settings: Settings, run: Run) -> None:
    """Report why steps of an open run are retried. Without Temporal, only the table is watched."""
    if run.state is RunState.RUNNING:
        with suppress(WardflowError):
            client = await connect(settings)
            await StepWatcher(client, temporal_server(settings), say).watch(run.workflow_id, run.subject)


async def _ask_temporal(settings: Settings, pool: Pool) -> None:
    """Close runs whose workflow has ended without closing them. If Temporal is away, nothing is changed."""
    log, now = RunLog(pool), datetime.now(UTC)
    if not await log.doubtful(now, limit=1):
        return
    try:
        async with asyncio.timeout(_TEMPORAL_MAY_TAKE):
            await AbandonedRuns(pool, log, await connect(settings)).close(now, forgotten=False)
    except (TimeoutError, RPCError, WardflowError):
        err.print("Temporal does not answer, so the state of open runs may be old.", style="yellow")


def _print_run(found: Run, link: str | None) -> None:
    lines = {
        "run": found.id,
        "workflow": f"{found.workflow} ({found.workflow_id})",
        "subject": found.subject,
        "state": Text.assemble(_coloured(found.state), f" {found.result or ''}"),
        "phase": found.phase,
        "object": found.object_key or "",
        "started": local(found.started_at),
        "finished": local(found.finished_at),
        "report": ", ".join(f"{name} {count(value)}" for name, value in found.report.items() if name != NOTE),
        "note": str(found.report.get(NOTE, "")),
        "loads": ", ".join(found.load_ids),
        "history": link or "",
    }
    for name, value in lines.items():
        if value:
            out.print(Text(f"{name:<10}", "bold"), value, sep="")
    if found.counts:
        datasets = table(
            "dataset", "staged>", "rejected>", "repeated>", "inserted>", "updated>", "unchanged>", "deleted>"
        )
        for name, counts in found.counts.items():
            kinds = ("staged", "rejected", "repeated", "inserted", "updated", "unchanged", "deleted")
            datasets.add_row(name, *(count(counts[kind]) if isinstance(counts, dict) else "" for kind in kinds))
        out.print(datasets)
    for warning in found.warnings:
        out.print(f"warning: {warning}", style="yellow")
    if found.error:
        out.print(f"{found.error.type}: {found.error.message}", style="red")
        out.print(found.error.advice)


def _coloured(state: RunState) -> Text:
    return Text(state, _COLOURS[state])
