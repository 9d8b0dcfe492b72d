"""kill -9 of a server at a random moment of a backfill: after its restart every row is there once, and no run is stuck.

The stack is the one of `wardflow up`, with its supervisor and its worker; the client is one call of `wardflow ingest`.
Only the time-outs after which a lost attempt is repeated are shorter.

Rounds begin with empty tables and an empty store. With `--reload` instead, from the second round on every row would be
there already: a round that lost some could not be told from one that lost none.
"""

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import pytest_asyncio
from temporalio.client import Client as TemporalClient

from config.settings import Settings
from library.objects.staged import STAGED
from service.resources import object_store, warehouse, warehouse_dsn
from service.stack import postgres
from service.temporal import TemporalUnavailable, connect
from tests.faults.harness import KH03, TABLES, Figures, Ward, keys, until, until_async
from tests.faults.killing import Killed, drawn_parts
from tests.support.runs import NHS

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

PARTS = ("worker", "postgres", "s3", "temporal")
PATIENCE = 240.0
"""Seconds in which all is to be right again. The upkeep needs up to two minutes to close a run that Temporal lost."""


@dataclass(frozen=True)
class Round:
    """One backfill, and who is killed when.

    Attributes:
        moment: as a share of an undisturbed backfill.
    """

    number: int
    part: str
    moment: float


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "round_" in metafunc.fixturenames:
        count, seed = metafunc.config.getoption("rounds", 2), metafunc.config.getoption("seed", 1)
        drawn = random.Random(seed)  # noqa: S311 - it is to be repeatable
        parts = drawn_parts(PARTS, count, drawn)
        rounds = [Round(number, part, drawn.random()) for number, part in enumerate(parts, start=1)]
        names = [f"{each.number}-{each.part}-{each.moment:.2f}" for each in rounds]
        metafunc.parametrize("round_", rounds, ids=names)


@dataclass(frozen=True)
class Backfill:
    """An undisturbed backfill: how long it took from its first run on, and what it left."""

    seconds: float
    figures: Figures


@dataclass(frozen=True)
class Client:
    """`wardflow ingest workbook FOLDER`, begun."""

    process: asyncio.subprocess.Process

    async def ended(self) -> tuple[int, str]:
        """Wait for its end; its exit code, and the last line that it said."""
        async with asyncio.timeout(PATIENCE):
            out, err = await self.process.communicate()
        said = (err or out).decode().strip().splitlines()
        return self.process.returncode or 0, said[-1] if said else ""


async def connected(stack: Settings) -> TemporalClient:
    """A connection to Temporal, which may have been killed just before the backfill ended."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await connect(stack)
            except TemporalUnavailable:
                await asyncio.sleep(0.1)


@asynccontextmanager
async def looked_at(stack: Settings) -> AsyncIterator[Ward]:
    """A look from outside; opened anew each time, since servers die in between, and Postgres has to read its WAL."""

    async def answers() -> bool:
        return not (await postgres.health(warehouse_dsn(stack))).problem

    await until_async(answers)
    store = object_store(stack)
    async with warehouse(stack, size=2) as pool:
        yield Ward(stack, await connected(stack), store, pool)
    store.close()


async def begin(stack: Settings) -> Client:
    """Send all workbooks; returns when the first of them has a run."""
    command = (sys.executable, "-m", "service.cli", "ingest", "workbook", str(NHS / "kh03"), "--json")
    process = await asyncio.create_subprocess_exec(
        *command,
        env=os.environ | {"WARDFLOW_STACK__FOLDER": str(stack.stack.folder)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    return Client(process)


async def first_run(ward: Ward) -> bool:
    return bool(await ward.pool.fetchval("SELECT EXISTS (SELECT FROM ingest.run)"))


@pytest_asyncio.fixture(scope="module")
async def undisturbed(stack: Settings) -> Backfill:
    async with looked_at(stack) as ward:
        client = await begin(stack)
        await until_async(lambda: first_run(ward))
        began = time.monotonic()
        code, said = await client.ended()
        assert code == 0, said
        took = time.monotonic() - began
        figures = await ward.all_figures()
    assert figures["beds.edition"][0] == len(KH03)
    return Backfill(took, figures)


async def empty(stack: Settings) -> None:
    async with looked_at(stack) as ward:
        await ward.assert_nothing_left()
        await ward.pool.execute(f"TRUNCATE {', '.join(TABLES)}, ingest.load, ingest.run, ingest.rejection CASCADE")
        await asyncio.to_thread(lambda: ward.store.remove(list(keys(ward.store, ""))))


async def assert_all_is_right(stack: Settings, undisturbed: Backfill, killed: str) -> None:
    async with looked_at(stack) as ward:
        await until_async(lambda: nothing_is_left(ward), PATIENCE)
        assert await ward.all_figures() == undisturbed.figures
        loads = await ward.pool.fetch("SELECT id, object_sha256 FROM ingest.load")
        assert len(loads) == len({load["object_sha256"] for load in loads}) == len(KH03)
        await ward.assert_specialties_named_by_the_newest()
        # A load does not wait for a store that is away once it is committed: then the upkeep takes what is left.
        committed = {str(load["id"]) for load in loads} if killed == "s3" else set()
        assert {name.removeprefix(STAGED).split("/")[0] for name in keys(ward.store, STAGED)} <= committed
        assert len(list(keys(ward.store, "landed/"))) == len(KH03)


async def nothing_is_left(ward: Ward) -> bool:
    """No run is open, no session of a load lives on."""
    open_runs = await ward.pool.fetchval("SELECT count(*) FROM ingest.run WHERE state = 'running'")
    return not open_runs and not await ward.sessions()


async def test_a_backfill_is_right_after_a_server_was_killed_in_the_middle_of_it(
    stack: Settings, undisturbed: Backfill, round_: Round
) -> None:
    await empty(stack)
    async with looked_at(stack) as ward:
        client = await begin(stack)
        await until_async(lambda: first_run(ward))
    began = time.monotonic()
    await asyncio.sleep(round_.moment * undisturbed.seconds)
    killed = Killed(stack, round_.part)
    code, said = await client.ended()
    assert code == 0, said
    await until(killed.is_back)
    await assert_all_is_right(stack, undisturbed, round_.part)

    print(  # noqa: T201 - for who runs `make faults`
        f"round {round_.number}: {round_.part} killed at {round_.moment:.0%} of {undisturbed.seconds:.1f} s; all right "
        f"{time.monotonic() - began:.1f} s after the first run"
    )


def test_no_log_of_the_stack_holds_a_secret_after_all_that(stack: Settings, undisturbed: Backfill) -> None:
    assert undisturbed.seconds
    folder = stack.stack.folder
    secrets = json.loads((folder / "credentials.json").read_text())
    del secrets["s3_access_key"]  # a name, not a secret
    logs = {log.name: log.read_text(errors="replace") for log in (folder / "logs").iterdir()}
    found = [(name, log, text.count(secret)) for name, secret in secrets.items() for log, text in logs.items()]
    assert [entry for entry in found if entry[-1]] == []
