"""`wardflow streams`."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Literal

import typer
from rich.text import Text

from config.settings import Settings
from library.access.audit import LOCAL, Audit
from library.contracts.drains import StreamPosition, StreamState, StreamStatus
from library.contracts.errors import ConfigurationError, WardflowError
from library.contracts.lake import ArchiveState, ArchiveStatus
from library.streams.control import Streams, Target
from service.addresses import kafka_server
from service.cli.output import DONE, Json, count, local, out, print_json, run, table
from service.cli.pools import open_warehouse
from service.drains import start_drains
from service.resources import kafka_connection, streams
from service.temporal import connect
from service.waiting import resolved, waiting_for

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Look at streams, pause, resume and rewind them.")

Topic = Annotated[str, typer.Argument(help="The topic's name in the cluster.")]
_COLOURS = {StreamState.DRAINING: "green", StreamState.PAUSED: "yellow", StreamState.STOPPED: "red"}


@app.command("list")
def list_streams(as_json: Json = False) -> None:
    """List every partition: how far behind, how fast, and why one does not go on."""

    async def main(settings: Settings) -> list[StreamStatus]:
        return (await _overview(settings))[0]

    found = run(main)
    if as_json:
        print_json(found)
        return
    lines = table(
        "topic", "partition>", "state", "lag>", "records/s>", "behind>", "next>", "generation>", "loaded", "reason"
    )
    for each in found:
        lines.add_row(
            each.topic,
            str(each.partition),
            Text(each.state, _COLOURS[each.state]),
            count(each.lag),
            f"{each.rate:.1f}",
            "" if each.freshness is None else f"{each.freshness:.0f} s",
            count(each.next_offset),
            str(each.generation),
            local(each.updated_at),
            each.reason or "",
        )
    out.print(lines)


@app.command("archives")
def list_archives(as_json: Json = False) -> None:
    """List how far every partition is in the lake, and why one does not go on."""

    async def main(settings: Settings) -> list[ArchiveStatus]:
        return (await _overview(settings))[1]

    found = run(main)
    if as_json:
        print_json(found)
        return
    lines = table("topic", "partition>", "state", "lag>", "next>", "incarnation>", "said", "reason")
    for each in found:
        lines.add_row(
            each.topic,
            str(each.partition),
            Text(each.state, "green" if each.state is ArchiveState.ARCHIVING else "red"),
            "" if each.lag is None else count(each.lag),
            count(each.next_offset),
            str(each.incarnation),
            local(each.updated_at),
            each.reason or "",
        )
    out.print(lines)


@app.command()
def pause(topic: Topic, as_json: Json = False) -> None:
    """Pause a topic. Loaded rows stay; new records wait in Kafka."""
    paused = _steer("pause_stream", topic, lambda steering: steering.pause(topic))
    if as_json:
        print_json(paused)
    else:
        out.print(DONE, f"{topic} is paused.")


@app.command()
def resume(topic: Topic, as_json: Json = False) -> None:
    """Resume a paused topic."""
    resumed = _steer("resume_stream", topic, lambda steering: steering.resume(topic))
    if as_json:
        print_json(resumed)
    else:
        out.print(DONE, f"{topic} is resumed.")


@app.command()
def rewind(
    topic: Topic,
    offset: Annotated[int | None, typer.Option(min=0, help="To this offset.")] = None,
    time: Annotated[
        str | None, typer.Option(help="To the first record from this time on: 2026-01-31T12:00:00Z.")
    ] = None,
    to: Annotated[str | None, typer.Option(help="To 'earliest' or 'latest'.")] = None,
    partition: Annotated[int | None, typer.Option(min=0, help="Only this partition; all unless set.")] = None,
    as_json: Json = False,
) -> None:
    """Load records again from an offset or a time on; it is the way on, too, for a stream that stopped."""

    async def act(steering: Streams) -> list[StreamPosition]:
        return await steering.rewind(topic, _target(offset, time, to), partition)

    rewound = _steer("rewind_stream", topic, act)
    if as_json:
        print_json(rewound)
        return
    for each in rewound:
        out.print(DONE, f"{topic}/{each.partition} continues at {each.next_offset}, generation {each.generation}.")


async def _overview(settings: Settings) -> tuple[list[StreamStatus], list[ArchiveStatus]]:
    kafka_connection(settings)  # where Kafka is turned off, that is said first
    async with open_warehouse(settings) as pool:
        with waiting_for(kafka_server(settings), "it does not answer"):
            return await streams(settings, pool).overview()


def _target(offset: int | None, time: str | None, to: str | None) -> Target:
    if sum(each is not None for each in (offset, time, to)) != 1:
        raise ConfigurationError("Where to?", advice="Give just one of --offset, --time and --to.")
    if offset is not None:
        return offset
    if time is not None:
        try:
            found = datetime.fromisoformat(time)
        except ValueError:
            raise ConfigurationError("--time: not a time.", advice="Write it as 2026-01-31T12:00:00Z.") from None
        if found.tzinfo is None:
            raise ConfigurationError("--time: a time without a zone.", advice="Add Z or an offset.")
        return found
    ends: dict[str | None, Literal["earliest", "latest"]] = {"earliest": "earliest", "latest": "latest"}
    if to not in ends:
        raise ConfigurationError("--to: neither 'earliest' nor 'latest'.", advice="Give one of them.")
    return ends[to]


def _steer(action: str, topic: str, act: Callable[[Streams], Awaitable[list[StreamPosition]]]) -> list[StreamPosition]:
    async def main(settings: Settings) -> list[StreamPosition]:
        async with open_warehouse(settings, size=2) as pool:
            steering = streams(settings, pool)
            await resolved(kafka_server(settings))
            with waiting_for(kafka_server(settings), "it does not answer"):
                found = await act(steering)
            await Audit(pool).record(LOCAL, action, topic)
            with suppress(WardflowError):  # without Temporal the schedule starts them, once it is back
                await start_drains(await connect(settings), settings, found)
            return found

    return run(main)
