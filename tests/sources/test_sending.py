"""What every source keeps to, whatever its data are: nothing doubled, nothing lost, nothing half."""

import asyncio
from typing import Any

import pytest

from service.sources.source import Source
from tests.faults.harness import Workers
from tests.sources.environment import SourceEnvironment
from tests.sources.supply import NoReload, Quarantined, Supply


async def test_what_is_sent_becomes_its_rows_and_sent_again_changes_nothing(
    environment: SourceEnvironment, supply: Supply
) -> None:
    async with environment.working():
        first = await supply.send(environment, supply.good)
        assert (first.result, first.error) == ("loaded", "")
        assert await environment.rows() == supply.rows
        said, written = await environment.contents(), await environment.versions()

        again = await supply.send(environment, supply.good)

        assert (again.result, again.error) == ("loaded" if supply.streamed else "already_loaded", "")
        assert await environment.contents() == said
        assert await environment.reasons() == []
        if not supply.streamed:
            assert await environment.versions() == written
            assert await environment.pool.fetchval("SELECT count(*) FROM ingest.load") == 1
        if first.run is not None and again.run is not None:
            assert again.run["id"] != first.run["id"]
            told = ("counts", "report", "load_ids", "warnings")
            assert {name: again.run[name] for name in told} == {name: first.run[name] for name in told}
        histories = "\n".join([each.to_json() for each in await environment.histories()])
    assert histories
    assert "landed/" not in histories
    assert "json/plain" not in histories, "a payload is not encrypted"


async def test_a_reload_loads_once_more_and_leaves_every_equal_row_alone(
    environment: SourceEnvironment, supply: Supply
) -> None:
    if isinstance(supply.reload, NoReload):
        pytest.skip(supply.reload.reason)
    async with environment.working():
        first = await supply.send(environment, supply.good)
        said, written = await environment.contents(), await environment.versions()
        reloaded = await supply.reload(environment, supply.good)
    assert (reloaded.result, reloaded.error) == ("loaded", "")
    assert await environment.contents() == said
    if not supply.streamed:
        assert await environment.versions() == written
        assert await environment.pool.fetchval("SELECT max(reload) FROM ingest.load") == 1
    if first.run is not None and reloaded.run is not None:
        assert reloaded.run["load_ids"] != first.run["load_ids"]


async def test_one_bad_row_among_good_ones_is_refused_with_its_reason(
    environment: SourceEnvironment, supply: Supply
) -> None:
    async with environment.working():
        sent = await (supply.send_bad or supply.send)(environment, supply.bad)
    if isinstance(supply.bad_row, Quarantined):
        assert (sent.result, sent.error) == ("loaded", "")
        assert await environment.rows() == supply.bad_row.rows
        reasons = await environment.reasons()
        assert len(reasons) == supply.bad_row.refused
        assert all(reasons)
    else:
        assert (sent.result, sent.error) == ("", supply.bad_row.error)
        assert sent.advice
        assert await environment.rows() == {}


async def test_another_kind_of_file_is_refused_with_advice_and_leaves_no_row(
    environment: SourceEnvironment, supply: Supply
) -> None:
    async with environment.working():
        sent = await supply.send(environment, supply.another_kind)
        histories = "\n".join([each.to_json() for each in await environment.histories()])
    assert (sent.result, sent.error) == ("", supply.another_kind_is)
    assert sent.advice
    assert await environment.rows() == {}
    assert await environment.pool.fetchval("SELECT count(*) FROM ingest.load") == 0
    if sent.run is not None:
        assert sent.run["error"]["message"] not in histories
        assert sent.run["object_key"]  # the bytes stay, so that somebody can look into them


async def test_a_worker_that_is_killed_in_the_middle_of_a_load_costs_no_row_and_doubles_none(
    environment: SourceEnvironment, supply: Supply, source: Source, workers: Workers
) -> None:
    dies = await workers.start(stops=("merged", "die"), **kafka_of(environment))
    await environment.drain()
    sending = asyncio.create_task(supply.send(environment, supply.good))
    assert await dies.ended() == -9
    assert await environment.rows() == {}
    await workers.start(**kafka_of(environment))
    sent = await sending
    await environment.terminate_running_workflows()
    assert (sent.result, sent.error) == ("loaded", "")
    assert await environment.rows() == supply.rows
    counts = await environment.pool.fetch("SELECT counts FROM ingest.load WHERE source = $1", source.name)
    inserted = sum(each["inserted"] for row in counts for each in row["counts"].values())
    assert inserted == sum(supply.rows.values())


def kafka_of(environment: SourceEnvironment) -> dict[str, Any]:
    """Settings of a worker process, beside those that every one has."""
    kafka, streams = environment.settings.kafka, environment.settings.streams
    if not kafka.enabled:
        return {"kafka__enabled": "false"}
    topics = {f"kafka__{name}": str(value) for name, value in kafka if name.endswith("_topic")}
    told = {"kafka__bootstrap_servers": kafka.bootstrap_servers or ""}
    return topics | told | {"streams__seconds": str(streams.seconds), "streams__wait": str(streams.wait)}
