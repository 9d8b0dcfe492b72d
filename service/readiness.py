"""Checks which of the needed servers a process can reach, for `/health/ready` of the API and the worker."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from fastapi import Response
from temporalio.client import Client

from config.settings import Settings
from library.contracts.streams import KafkaUnavailable
from library.objects.store import ObjectStore
from library.streams.cluster import Cluster
from library.warehouse.pool import Pool
from service.resources import kafka_connection

type Probe = Callable[[], Awaitable[object]]
"""Raises an error if the server cannot be used."""

_PROBE_TIMEOUT = 2.0
"""Time limit of a probe, in seconds."""


def parts(settings: Settings, pool: Pool, store: ObjectStore, client: Client, *, kafka: bool) -> dict[str, Probe]:
    """The probes of the servers that a process uses, by name.

    Args:
        settings: the settings, for Kafka.
        pool: connections to Postgres.
        store: the object store.
        client: Temporal's client.
        kafka: whether the process uses Kafka.
    """
    used: dict[str, Probe] = {
        "postgres": lambda: pool.fetchval("SELECT 1"),
        "s3": lambda: asyncio.to_thread(store.bucket_exists),
        "temporal": lambda: client.service_client.check_health(),
    }
    if kafka:
        used["kafka"] = kafka_probe(settings)
    return {name: shared(probe) for name, probe in used.items()}


def kafka_probe(settings: Settings) -> Probe:
    """A probe that checks whether the cluster answers and has brokers."""

    async def probe() -> None:
        async with asyncio.timeout(_PROBE_TIMEOUT), Cluster(kafka_connection(settings)) as cluster:
            if not cluster.brokers():
                raise KafkaUnavailable("Kafka has no broker now.")

    return probe


def shared(probe: Probe) -> Probe:
    """A probe that runs only once at a time, however many callers there are, since the API's page is public.

    A caller that is cancelled does not cancel the probe, since a probe of a frozen server may ignore it.
    """

    async def result() -> Exception | None:
        try:
            await probe()
        except Exception as error:  # noqa: BLE001 - returned, since asyncio logs an error that no caller retrieves
            return error
        return None

    running: asyncio.Task[Exception | None] | None = None

    async def run_shared() -> None:
        nonlocal running
        if running is None or running.done():
            running = asyncio.create_task(result())
        if error := await asyncio.shield(running):
            raise error

    return run_shared


async def probed(parts: Mapping[str, Probe]) -> dict[str, str]:
    """Run all probes at once, and return the state of each part."""
    return dict(zip(parts, await asyncio.gather(*(_probed(part) for part in parts.values())), strict=True))


def readiness(response: Response, found: Mapping[str, str], *, optional: Collection[str] = ()) -> dict[str, Any]:
    """The page's answer, with every part.

    Args:
        response: gets the status: 503 if a part that is not optional cannot be used.
        found: the state of each part.
        optional: parts that the process can do without.
    """
    ready = all(state == "ok" for name, state in found.items() if name not in optional)
    response.status_code = 200 if ready else 503
    return {"state": "ready" if ready else "not ready", "parts": found}


async def _probed(part: Probe) -> str:
    """`ok`, or the type of the error."""
    try:
        async with asyncio.timeout(_PROBE_TIMEOUT):
            await part()
    except Exception as error:  # noqa: BLE001 - the page shows every error
        return f"unavailable: {type(error).__name__}"
    return "ok"
