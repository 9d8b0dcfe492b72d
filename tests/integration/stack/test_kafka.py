"""The broker as a part of the stack: what it keeps, what it says when it cannot start, when it is not started."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from config.settings import Settings
from library.contracts.streams import KafkaUnavailable
from library.streams.cluster import Cluster, NewTopicSpec
from library.streams.producer import Outgoing, Producer
from library.streams.reader import Reader
from service.resources import kafka_connection
from service.stack import jars, kafka
from service.stack.processes import leftovers
from service.stack.runner import embedded_stack
from service.stack.state import read_state
from tests.integration.stack.harness import NOWHERE, running, settings_in


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """A Maven repository."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing."""


async def read(settings: Settings, count: int) -> list[bytes]:
    """The first values of the topic."""
    found: list[bytes] = []
    async with Reader(kafka_connection(settings), "kept", {0: 0}) as reader:
        while len(found) < count and (batches := await reader.read(max_records=count, max_bytes=10**8, wait=10)):
            found += [record.value for batch in batches for record in batch.records]
    return found


@pytest.mark.timeout(300)
async def test_acknowledged_records_the_port_and_the_cluster_outlive_a_kill_and_a_move_to_another_port(
    tmp_path: Path,
) -> None:
    sent: list[bytes] = []

    async def send_until_it_dies(settings: Settings) -> None:
        async with Producer(kafka_connection(settings), deliver_within=2, stop_within=0.5) as producer:
            while True:
                values = [b"%d" % (len(sent) + number) for number in range(100)]
                await producer.send("kept", [Outgoing(value) for value in values])
                sent.extend(values)

    async with embedded_stack(settings_in(tmp_path), parts=("kafka",)) as settings:
        async with Cluster(kafka_connection(settings)) as cluster:
            await cluster.make_topics([NewTopicSpec("kept", 1)])
        before = read_state(tmp_path)["kafka"]
        identity = (tmp_path / "kafka" / "data" / "meta.properties").read_text()
        sending = asyncio.create_task(send_until_it_dies(settings))
        async with asyncio.timeout(120):
            while len(sent) < 5_000:  # noqa: ASYNC110 - no event tells of it
                await asyncio.sleep(0.01)
            psutil.Process(before["pid"]).kill()
            while read_state(tmp_path)["kafka"].get("pid") in (None, before["pid"]):  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.01)
            while (await kafka.health(kafka_connection(settings))).problem:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.05)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        assert read_state(tmp_path)["kafka"]["bootstrap_servers"] == before["bootstrap_servers"]
        assert set(sent) <= set(await read(settings, len(sent)))
    (tmp_path / "ports.json").unlink()
    async with embedded_stack(settings_in(tmp_path), parts=("kafka",)) as moved:
        assert moved.kafka.bootstrap_servers != before["bootstrap_servers"]
        assert set(sent) <= set(await read(moved, len(sent)))
    assert (tmp_path / "kafka" / "data" / "meta.properties").read_text() == identity


async def test_a_producer_that_is_left_while_kafka_hangs_leaves_nothing_behind(tmp_path: Path) -> None:
    async with embedded_stack(settings_in(tmp_path), parts=("kafka",)) as settings:
        async with Cluster(kafka_connection(settings)) as cluster:
            await cluster.make_topics([NewTopicSpec("heard", 1)])
        broker = psutil.Process(read_state(tmp_path)["kafka"]["pid"])
        try:
            async with Producer(kafka_connection(settings), deliver_within=1, stop_within=0.5) as producer:
                await producer.send("heard", [Outgoing(b"acknowledged")])
                broker.suspend()
                with pytest.raises(KafkaUnavailable):
                    await producer.send("heard", [Outgoing(b"not")])
        finally:
            broker.resume()
        left = [task for task in asyncio.all_tasks() if "aiokafka" in str(task) or "Accumulator" in str(task)]
        assert left == []


@pytest.mark.parametrize("enabled", ["true", "false"])
async def test_a_kafka_named_by_its_setting_or_switched_off_is_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, enabled: str
) -> None:
    address = NOWHERE["kafka"]["WARDFLOW_KAFKA__BOOTSTRAP_SERVERS"]
    monkeypatch.setenv("WARDFLOW_KAFKA__ENABLED", enabled)
    monkeypatch.setenv("WARDFLOW_KAFKA__BOOTSTRAP_SERVERS", address)
    async with embedded_stack(settings_in(tmp_path), parts=("kafka",)):
        assert running(tmp_path).get("kafka") == ({"bootstrap_servers": address} if enabled == "true" else None)
        assert leftovers(tmp_path) == []
    assert not (tmp_path / "kafka").exists()


def test_a_machine_without_a_way_to_the_jars_is_told_what_to_do(tmp_path: Path) -> None:
    elsewhere = NOWHERE["postgres"] | NOWHERE["s3"] | NOWHERE["temporal"]
    refused = subprocess.run(
        [sys.executable, "-m", "service.cli", "up"],
        env={"PATH": "/usr/bin:/bin", "WARDFLOW_STACK__FOLDER": str(tmp_path / "stack"), **elsewhere}
        | {"WARDFLOW_STACK__JARS": str(tmp_path / "jars"), "WARDFLOW_STACK__MAVEN_REPOSITORY": "http://127.0.0.1:1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    said = " ".join((refused.stdout + refused.stderr).split())
    assert refused.returncode == 1
    assert "kafka: fetching 46 jars" in said
    assert "could not be downloaded (ConnectionError)" in said
    assert "WARDFLOW_KAFKA__ENABLED=false" in said
    assert "Traceback" not in said


def test_a_jar_with_other_bytes_than_the_lock_names_is_neither_used_nor_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (jar, *_) = jars.locked()
    group, artifact, version = jar.coordinate.split(":")
    place = tmp_path / "served" / Path(*group.split(".")) / artifact / version
    place.mkdir(parents=True)
    (place / jar.file).write_bytes(b"something else")
    monkeypatch.setattr(jars, "locked", lambda: (jar,))
    kept = tmp_path / "kept"
    with serving(tmp_path / "served") as url, pytest.raises(jars.JarsUnavailable, match="has another SHA-256"):
        jars.fetch(kept, url)
    assert list(kept.glob("*.jar")) == []
    (kept / jar.file).write_bytes(b"damaged on the disk")
    assert jars.missing(kept, (jar,)) == [jar]
