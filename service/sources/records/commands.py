"""`wardflow simulate records`."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from statistics import quantiles
from typing import Annotated

import httpx
import typer

from config.settings import Settings
from library.contracts.errors import ConfigurationError
from library.contracts.streams import KafkaTurnedOff
from library.warehouse.pool import Pool
from service.addresses import api_server, postgres_server
from service.cli.output import DONE, FAILED, Json, err, out, print_json, run, table
from service.resources import lake_storage, warehouse
from service.sources.records.simulator.records import (
    Clinics,
    SimulationPlan,
    SimulationResult,
    play,
    refuse_without_kafka,
)
from service.sources.records.simulator.verifying import Verdict, in_lake, in_warehouse, verify
from service.sources.records.topics import topics
from service.waiting import resolved, waiting_for

app = typer.Typer()

_CLOCKS_DIFFER = timedelta(minutes=5)


def _share(text: str) -> float:
    try:
        share = float(text.rstrip("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise typer.BadParameter("a share: 10% or 0.1")
    return share


@app.command()
def records(
    rate: Annotated[float, typer.Option(min=0.1, help="Posts a second.")] = 10.0,
    users: Annotated[int, typer.Option(min=1, help="Clinics that post; the last one signs in with a password.")] = 3,
    bad: Annotated[str, typer.Option(help="Share of posts that have to be refused.")] = "10%",
    duration: Annotated[float, typer.Option(min=0.1, help="Seconds.")] = 10.0,
    check: Annotated[
        bool,
        typer.Option(
            "--verify", help="Look afterwards whether all that was accepted is there, and nothing that was refused."
        ),
    ] = False,
    within: Annotated[float, typer.Option(help="Seconds that what was accepted gets to arrive.")] = 150.0,
    seed: Annotated[int, typer.Option(help="Of what is made up.")] = 1,
    as_json: Json = False,
) -> None:
    """Post made-up records: valid ones, broken ones, and as users who are unknown or lack a grant."""
    plan = SimulationPlan(rate, users, _share(bad), duration, seed)

    async def main(settings: Settings) -> tuple[SimulationResult, list[Verdict]]:
        if not settings.kafka.enabled:
            raise KafkaTurnedOff
        if not settings.api.url:
            raise ConfigurationError(
                "No API is known here.", advice="Start the stack with `wardflow up`, or set WARDFLOW_API__URL."
            )
        began = datetime.now(UTC) - _CLOCKS_DIFFER
        async with warehouse(settings, size=2) as pool:
            clinics = Clinics(pool)
            try:
                with waiting_for(postgres_server(settings), "users are made for the clinics"):
                    await clinics.open(users)
                await resolved(api_server(settings))
                async with httpx.AsyncClient(base_url=settings.api.url, trust_env=False) as http:
                    with waiting_for(api_server(settings), "it does not answer"):
                        await refuse_without_kafka(http, clinics)
                    played = await play(plan, http, clinics)
            finally:
                with waiting_for(postgres_server(settings), "the users of the clinics are disabled"):
                    await clinics.close()
            if not as_json:  # print this first, since the check takes some time
                show(played)
            return played, await verified(settings, pool, played, began, within=within) if check else []

    played, verdicts = run(main)
    if as_json:
        print_json(told(played, verdicts))
    elif verdicts:
        show_verdicts(verdicts)
    raise typer.Exit(0 if not played.surprises and all(verdict.holds for verdict in verdicts) else 1)


async def verified(
    settings: Settings, pool: Pool, played: SimulationResult, since: datetime, *, within: float
) -> list[Verdict]:
    """Check the warehouse and the lake."""
    lake = in_lake(lake_storage(settings), topics(settings), since)
    what = "the accepted records to be in the {}"
    with waiting_for(what.format("warehouse"), seconds=within):
        in_tables = await verify("warehouse", played, in_warehouse(pool), within=within, once=True)
    with waiting_for(what.format("lake"), seconds=within):
        return [in_tables, await verify("lake", played, lake, within=within, once=False)]


def told(played: SimulationResult, verdicts: Sequence[Verdict]) -> dict[str, object]:
    """The posts, the answers and the stored records, for scripts; status 0: no answer."""
    return {
        "posts": sum(played.counts.values()),
        "seconds": played.seconds,
        "heard": [
            {"posted": kind, "outcome": outcome, "status": status, "records": count}
            for (kind, outcome, status), count in sorted(played.counts.items())
        ],
        "milliseconds": _percentiles(played),
        "surprises": sorted(set(played.surprises)),
        "places": [asdict(each) | {"holds": each.holds} for each in verdicts],
    }


def show(played: SimulationResult) -> None:
    """Print the posts and the answers."""
    lines = table("posted", "outcome", "status>", "records>")
    for (kind, outcome, status), count in sorted(played.counts.items()):
        lines.add_row(str(kind), str(outcome), str(status or "none"), f"{count:,}")
    out.print(lines)
    posts = sum(played.counts.values())
    times = (f"{value:.0f} ms ({name})" for name, value in _percentiles(played).items())
    after = ", ".join(times) or "no measured time"
    out.print(f"{posts:,} posts, {posts / played.seconds:,.1f} a second; accepted after {after}")
    for surprise in sorted(set(played.surprises)):
        err.print(f"unexpected answer: {surprise}", style="red")


def show_verdicts(verdicts: Sequence[Verdict]) -> None:
    """Print the stored records."""
    lines = table("place", "found>", "missing>", "wrong>", "doubled>", "all there after>", "")
    for each in verdicts:
        mark = DONE if each.holds else FAILED
        counts = (f"{count:,}" for count in (each.found, each.missing, each.wrong, each.doubled))
        lines.add_row(each.place, *counts, f"{each.seconds:.1f} s", mark)
    out.print(lines)


def _percentiles(played: SimulationResult) -> dict[str, float]:
    if len(played.milliseconds) < 2:
        return {}
    cut = quantiles(played.milliseconds, n=100)
    return {"p50": cut[49], "p99": cut[98]}
