"""Beside tables and store the product keeps keys, counts and hashes of what was sent, and nothing of the data."""

import base64
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from prometheus_client import generate_latest

from config.logging import configure_logging
from config.sections import LogSettings
from tests.sources.environment import SourceEnvironment
from tests.sources.supply import Quarantined, Supply
from tests.support.histories import readable, size_of

LARGEST_HISTORY = 20_000
"""Bytes of one run's history."""


@pytest.fixture
def logs(capfd: pytest.CaptureFixture[str]) -> Iterator[pytest.CaptureFixture[str]]:
    """What the product logs at its most talkative."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    configure_logging(LogSettings(level="DEBUG", format="json"))
    yield capfd
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def payloads_of(node: Any) -> Iterator[str]:
    """Every payload of a history, decoded, headers and memos among them."""
    if isinstance(node, dict):
        if isinstance(node.get("data"), str):
            yield base64.b64decode(node["data"]).decode()
        for value in node.values():
            yield from payloads_of(value)
    elif isinstance(node, list):
        for value in node:
            yield from payloads_of(value)


async def test_nothing_of_what_was_sent_is_in_histories_logs_metrics_or_bookkeeping(
    unencrypted_environment: SourceEnvironment, supply: Supply, logs: pytest.CaptureFixture[str]
) -> None:
    environment = unencrypted_environment
    async with environment.working():
        sent = [await supply.send(environment, supply.good) for _ in range(2)]
        sent.append(await (supply.send_bad or supply.send)(environment, supply.bad))
        sent.append(await supply.send(environment, supply.another_kind))
        metrics = (await environment.http.get("/metrics")).text
        histories = await environment.histories()
        shown = await environment.workflow_list()
    contents = "\n".join(await environment.contents())
    assert any(each in contents for each in supply.sentinels), "none of the sentinels was loaded at all"
    assert bool(await environment.reasons()) is isinstance(supply.bad_row, Quarantined)

    told = [each.to_json() for each in histories] + [readable(each) for each in histories]
    told += [payload for each in histories for payload in payloads_of(json.loads(each.to_json()))]
    places = {
        "histories": "\n".join(told),
        "lists of workflows": shown,
        "runs, loads and audit": await environment.bookkeeping(),
        "logs": "".join(logs.readouterr()),
        "metrics": metrics + generate_latest().decode(),
    }
    assert all(places.values())
    assert "service.api.middleware" in places["logs"], "the API logs each request"
    for run in (each.run for each in sent if each.run is not None):
        assert str(run["object_key"]) in places["histories"], "what was looked into is not in clear"
    found = [(place, each) for place, text in places.items() for each in supply.sentinels if each in text]
    assert found == []
    ours = {each.run["workflow_id"] for each in sent if each.run is not None}
    assert all(size_of(each) < LARGEST_HISTORY for each in histories if each.workflow_id in ours)
