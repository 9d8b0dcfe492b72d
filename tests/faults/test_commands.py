"""A server goes away and comes back while a command sends files: the command waits for it, as runs do."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from config.settings import Settings
from library.contracts.loads import LoadOutcome
from library.objects.store import ObjectStore
from library.warehouse.pool import Pool
from service.cli.following import Bar, RunToStart, follow, retry_while_away
from service.resources import warehouse_dsn
from service.sources.beds.starts import ingest_workbook, land_workbook
from service.starts import RunHandle, Starter
from tests.faults.harness import KH03
from tests.faults.proxy import Door
from tests.support.runs import workbooks

pytestmark = pytest.mark.faults

OUTAGE = 3.0
"""Seconds: longer than what clients of the servers try again by themselves."""

type Through = Callable[[Settings, str], Settings]


def postgres(settings: Settings, address: str) -> Settings:
    parts = urlsplit(warehouse_dsn(settings))
    login = parts.netloc.rpartition("@")[0]
    dsn = SecretStr(parts._replace(netloc=f"{login}@{address}").geturl())
    return settings.model_copy(update={"postgres": settings.postgres.model_copy(update={"dsn": dsn})})


def store_(settings: Settings, address: str) -> Settings:
    return settings.model_copy(update={"s3": settings.s3.model_copy(update={"url": f"http://{address}"})})


def temporal(settings: Settings, address: str) -> Settings:
    return settings.model_copy(update={"temporal": settings.temporal.model_copy(update={"address": address})})


def address_of(settings: Settings, through: Through) -> str:
    if through is temporal:
        return settings.temporal.address or ""
    return urlsplit(warehouse_dsn(settings) if through is postgres else settings.s3.url or "").netloc.rpartition("@")[2]


@pytest.mark.parametrize("through", [postgres, store_, temporal], ids=["postgres", "store", "temporal"])
async def test_a_server_that_is_away_for_a_moment_costs_a_command_no_file(
    settings: Settings, pool: Pool, store: ObjectStore, through: Through
) -> None:
    async with workbooks(settings, pool, store), Door(address_of(settings, through)) as door:
        shut = asyncio.Event()

        def sent(path: Path) -> RunToStart:
            async def start(starter: Starter, bar: Bar) -> RunHandle:
                if not shut.is_set():
                    shut.set()
                    await door.shut()
                landed = await bar.land(path, partial(land_workbook, starter))
                return await ingest_workbook(starter, landed, subject=path.name)

            return RunToStart(path.name, start)

        async def open_again() -> None:
            await shut.wait()
            await asyncio.sleep(OUTAGE)
            await door.open()

        opening = asyncio.create_task(open_again())
        followed = await follow(through(settings, door.address), [sent(path) for path in KH03[:3]], quiet=True)
        await opening
    assert [(each.error, each.run and each.run.result) for each in followed] == [("", LoadOutcome.LOADED)] * 3
    assert await pool.fetchval("SELECT count(*) FROM ingest.load") == 3


@pytest.mark.usefixtures("pool")
async def test_a_file_that_cannot_be_read_is_no_server_that_is_away(settings: Settings) -> None:
    async def start(starter: Starter, bar: Bar) -> RunHandle:
        landed = await bar.land(Path("/nowhere/at.xlsx"), partial(land_workbook, starter))
        return await ingest_workbook(starter, landed, subject="at.xlsx")

    async with asyncio.timeout(20):
        (followed,) = await follow(settings, [RunToStart("at.xlsx", start)], quiet=True)
    assert followed.error_type == "FileNotFoundError"


async def test_a_run_that_temporal_has_lost_is_started_again(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    handles: list[RunHandle] = []

    async def start(starter: Starter, bar: Bar) -> RunHandle:
        landed = await bar.land(KH03[0], partial(land_workbook, starter))
        handles.append(await ingest_workbook(starter, landed, subject="lost", reload=bool(handles)))
        if len(handles) == 1:  # the command never learns about this run
            await handles[0].result()
            return starter.client.get_workflow_handle(
                "lost", first_execution_run_id="00000000-0000-7000-8000-000000000000"
            )
        return handles[1]

    async with workbooks(settings, pool, store), asyncio.timeout(60):
        (followed,) = await follow(settings, [RunToStart("lost", start)], quiet=True)
    assert (len(handles), followed.error, followed.run and followed.run.result) == (2, "", LoadOutcome.LOADED)


@pytest.mark.usefixtures("pool", "store")
async def test_a_run_that_was_ended_from_outside_is_told_of(settings: Settings) -> None:
    async def start(starter: Starter, bar: Bar) -> RunHandle:
        landed = await bar.land(KH03[0], partial(land_workbook, starter))
        handle = await ingest_workbook(starter, landed, subject="ended")
        await handle.terminate()
        return handle

    async with asyncio.timeout(60):  # no worker: it cannot end by itself
        (followed,) = await follow(settings, [RunToStart("ended", start)], quiet=True)
    assert (followed.completed, followed.error_type) == (False, "Abandoned")


def away_for(*seconds: float) -> tuple[Callable[[], Awaitable[str]], list[float]]:
    """A step that fails once for each number, after so many seconds of a clock; and the clock."""
    left, now = list(seconds), [0.0]

    async def step() -> str:
        if not left:
            return "done"
        now[0] += left.pop(0)
        raise ConnectionResetError

    return step, now


@pytest.mark.parametrize(
    ("seconds", "long", "done"),
    [
        ([1.0] * 100, False, True),
        ([1.0] * 200, False, False),
        ([130.0, 130.0], False, False),
        ([3_600.0, 1.0, 3_600.0], True, True),
        ([3_600.0, *[1.0] * 200], True, False),
    ],
)
async def test_a_command_is_patient_for_two_minutes_of_each_outage(
    monkeypatch: pytest.MonkeyPatch, seconds: list[float], long: bool, done: bool
) -> None:
    step, now = away_for(*seconds)
    monkeypatch.setattr("service.cli.following._BETWEEN_TRIES", 0.0)
    monkeypatch.setattr("service.cli.following.time", SimpleNamespace(monotonic=lambda: now[0]))
    waiting = retry_while_away(step, lambda _: None, long=long)
    if done:
        assert await waiting == "done"
    else:
        with pytest.raises(ConnectionResetError):
            await waiting
