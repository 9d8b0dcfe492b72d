"""Looking into the lake with programs that are none of ours: DuckDB, over the files that the Delta log names.

DuckDB's own extension for Delta is downloaded when it is first used, which not every machine can; the log is read here
as Delta's protocol describes it.
"""

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

import duckdb
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition
from minio import Minio

from config.settings import Settings
from library.lake.archive import AppendEvery
from library.lake.storage import BRONZE
from tests.support.kafka import Kafka

SOON = AppendEvery(seconds=0.2)

type Held = list[tuple[Any, ...]]


def in_lake(settings: Settings, topic: str, folder: Path, incarnation: int = 1) -> Held:
    """Every row of an incarnation, as `in_kafka` gives them; the table's files are fetched into the folder."""
    fetched = _fetch(settings, f"{BRONZE}{topic}/", folder)
    files = [str(fetched / path) for path in _current_files(fetched)]
    if not files:
        return []
    with duckdb.connect() as database:
        return database.execute(
            'SELECT partition, "offset", epoch_ms(timestamp), key, value,'
            " list_transform(headers, lambda header: (header.name, header.value))"
            f" FROM read_parquet({files!r}) WHERE incarnation = ? AND topic = ? ORDER BY 1, 2",
            [incarnation, topic],
        ).fetchall()


async def until_in_lake(settings: Settings, topic: str, expected: Held, *, seconds: float = 30) -> None:
    """Wait until an archive that is under way has brought in what is expected."""
    async with asyncio.timeout(seconds):
        while True:
            with tempfile.TemporaryDirectory() as folder:
                if in_lake(settings, topic, Path(folder)) == expected:
                    return
            await asyncio.sleep(0.3)


async def in_kafka(kafka: Kafka, topic: str) -> Held:
    """Every committed record of a topic, as aiokafka's own consumer gives them."""
    async with kafka.admin() as admin:
        (described,) = await admin.describe_topics([topic])
    partitions = [TopicPartition(topic, each["partition"]) for each in described["partitions"]]
    consumer = AIOKafkaConsumer(
        **kafka.connection.options(), isolation_level="read_committed", max_partition_fetch_bytes=20_000_000
    )
    await consumer.start()
    try:
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        found: Held = []
        while any([await consumer.position(each) < ends[each] for each in partitions]):
            for records in (await consumer.getmany(timeout_ms=1_000)).values():
                found += [
                    (each.partition, each.offset, each.timestamp, each.key, each.value, list(each.headers))
                    for each in records
                ]
    finally:
        await consumer.stop()
    return sorted(found, key=lambda row: row[:2])


def _fetch(settings: Settings, prefix: str, folder: Path) -> Path:
    s3 = settings.s3
    assert s3.url and s3.access_key and s3.secret_key
    client = Minio(
        s3.url.removeprefix("http://"),
        access_key=s3.access_key.get_secret_value(),
        secret_key=s3.secret_key.get_secret_value(),
        secure=False,
    )
    for found in client.list_objects(s3.bucket, prefix=prefix, recursive=True):
        assert found.object_name
        client.fget_object(s3.bucket, found.object_name, str(folder / found.object_name))
    return folder / prefix


def _current_files(table: Path) -> list[str]:
    """The data files of the newest version: the last checkpoint's, and what the commits after it added and removed."""
    log = table / "_delta_log"
    files: set[str] = set()
    version = -1
    if (pointer := log / "_last_checkpoint").exists():
        version = json.loads(pointer.read_text())["version"]
        checkpoints = [str(path) for path in log.glob(f"{version:020}.checkpoint*.parquet")]
        with duckdb.connect() as database:
            rows = database.execute(
                f"SELECT add.path FROM read_parquet({checkpoints!r}) WHERE add IS NOT NULL"
            ).fetchall()
        files = {path for (path,) in rows}
    for commit in sorted(log.glob("*.json")):
        if commit.stem.isdigit() and int(commit.stem) > version:
            for line in commit.read_text().splitlines():
                action = json.loads(line)
                if "remove" in action:
                    files.discard(action["remove"]["path"])
                if "add" in action:
                    files.add(action["add"]["path"])
    return sorted(files)
