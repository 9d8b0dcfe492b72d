"""Archives killed at random moments, and frozen ones that wake up behind another: each record is in the lake once."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from config.settings import Settings
from library.lake.archive import Archive
from library.streams.producer import Outgoing
from service.resources import lake_storage
from tests.support.kafka import Kafka
from tests.support.lake import SOON, in_kafka, in_lake

pytestmark = pytest.mark.faults


def begun(kafka: Kafka, servers: Settings, topic: str) -> subprocess.Popen[str]:
    """A process that archives the topic, and has begun to."""
    s3 = servers.s3
    assert s3.url and s3.access_key and s3.secret_key
    process = subprocess.Popen(  # noqa: S603 - the command is ours
        [sys.executable, "-m", "tests.faults.archive_process", topic],
        env=os.environ
        | {
            "WARDFLOW_KAFKA__BOOTSTRAP_SERVERS": kafka.connection.bootstrap_servers,
            "WARDFLOW_S3__URL": s3.url,
            "WARDFLOW_S3__ACCESS_KEY": s3.access_key.get_secret_value(),
            "WARDFLOW_S3__SECRET_KEY": s3.secret_key.get_secret_value(),
        },
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def ended(process: subprocess.Popen[str]) -> None:
    """Killed."""
    process.kill()
    process.communicate()


async def send_for_ever(kafka: Kafka, topic: str) -> None:
    """Records in both partitions, as fast as they are acknowledged."""
    number = 0
    while True:
        await kafka.send(topic, *(Outgoing(b"%d" % (number + each), key=b"%d" % each) for each in range(100)))
        number += 100


async def caught_up(kafka: Kafka, servers: Settings, topic: str, records: int, folder: Path) -> None:
    """Archive until the table has so many records, or more than it should."""
    async with asyncio.timeout(60):
        while len(in_lake(servers, topic, folder)) < records:
            await Archive(kafka.connection, lake_storage(servers), topic, SOON).run(1)


@pytest.mark.timeout(400)
async def test_an_archive_killed_at_random_moments_leaves_each_record_once(
    kafka: Kafka, servers: Settings, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    drawn = random.Random(pytestconfig.getoption("--seed", default=1))  # noqa: S311 - no secret
    topic = await kafka.make_topic(partitions=2)
    sending = asyncio.create_task(send_for_ever(kafka, topic))
    for _ in range(2 * pytestconfig.getoption("--rounds", default=2)):
        process = await asyncio.to_thread(begun, kafka, servers, topic)
        await asyncio.sleep(drawn.uniform(0, 1))
        ended(process)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    done = await Archive(kafka.connection, lake_storage(servers), topic, SOON).run(2)
    expected = await in_kafka(kafka, topic)
    assert len(expected) > done.records, "nothing was archived before the last kill"
    await caught_up(kafka, servers, topic, len(expected), tmp_path)
    assert in_lake(servers, topic, tmp_path) == expected


@pytest.mark.timeout(400)
async def test_an_archive_that_was_frozen_wakes_up_behind_another_and_writes_nothing_twice(
    kafka: Kafka, servers: Settings, tmp_path: Path
) -> None:
    topic = await kafka.make_topic(partitions=2)
    sending = asyncio.create_task(send_for_ever(kafka, topic))
    storage = lake_storage(servers)
    process = await asyncio.to_thread(begun, kafka, servers, topic)
    for _ in range(4):
        process.send_signal(signal.SIGSTOP)
        async with asyncio.timeout(20):
            while not (await Archive(kafka.connection, storage, topic, SOON).run(0.5)).records:
                pass  # a busy broker has not answered within that time
        process.send_signal(signal.SIGCONT)
        await asyncio.sleep(0.3)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    ended(process)
    expected = await in_kafka(kafka, topic)
    await caught_up(kafka, servers, topic, len(expected), tmp_path)
    assert in_lake(servers, topic, tmp_path) == expected
