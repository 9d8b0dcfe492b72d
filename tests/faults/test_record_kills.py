"""kill -9 of servers at random moments while clinics post: what they were told is accepted is there, and nothing else.

`make faults ROUNDS=20` kills twenty times within one simulation; `make test` has a small one.
"""

import asyncio
import os
import random
import sys
from functools import partial

import pytest

from config.settings import Settings
from library.streams.cluster import Cluster
from service.resources import kafka_connection, warehouse
from tests.faults.harness import until, until_async
from tests.faults.killing import Killed, drawn_parts

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1_800)]

PARTS = ("worker", "postgres", "s3", "temporal", "kafka", "api")
RATE = 30


async def something_was_posted(stack: Settings) -> bool:
    async with Cluster(kafka_connection(stack)) as cluster:
        return any(each.end for each in (await cluster.topic(stack.kafka.patient_topic)).partitions)


async def test_what_clinics_were_told_is_accepted_is_there_whoever_was_killed(
    stack: Settings, pytestconfig: pytest.Config
) -> None:
    rounds = pytestconfig.getoption("rounds", 2)
    drawn = random.Random(pytestconfig.getoption("seed", 1))  # noqa: S311 - it is to be repeatable
    parts = drawn_parts(PARTS, rounds, drawn)
    moments = [drawn.uniform(1.0, 8.0) for _ in parts]
    plan = {"rate": RATE, "duration": sum(moments) + 4 * rounds, "bad": 0.2, "within": 300, "seed": 1}
    simulation = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service.cli", "simulate", "records", "--verify"),
        *(word for name, value in plan.items() for word in (f"--{name}", str(value))),
        env=os.environ | {"WARDFLOW_STACK__FOLDER": str(stack.stack.folder)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    await until_async(partial(something_was_posted, stack))
    for part, moment in zip(parts, moments, strict=True):
        await asyncio.sleep(moment)
        killed = Killed(stack, part)
        await until(killed.is_back)
    posting = simulation.returncode is None
    said, _ = await simulation.communicate()
    print(f"killed {parts}\n{said.decode()}")  # noqa: T201 - for who runs `make faults`
    assert posting, "everything was posted before the last kill"
    assert simulation.returncode == 0, said.decode()
    async with warehouse(stack, size=1) as pool:
        rows = await pool.fetchval("SELECT count(*) FROM records.patient")
    assert rows > rounds * RATE / len(PARTS), said.decode()
