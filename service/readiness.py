"""Which parts a process reaches of all that it needs: the API's page tells it, and the worker's."""

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
"""Raises what is wrong."""

_PATIENCE = 2.0
"""Seconds that a probe may take."""


def parts(settings: Settings, pool: Pool, store: ObjectStore, client: Client, *, kafka: bool) -> dict[str, Probe]:
    """What a process works with, by name.

    Args:
        settings: how to reach Kafka.
        pool: connections to Postgres.
        store: the object store.
        client: of Temporal.
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
    """Whether a cluster answers, and has brokers."""

    async def probe() -> None:
        async with asyncio.timeout(_PATIENCE), Cluster(kafka_connection(settings)) as cluster:
            if not cluster.brokers():
                raise KafkaUnavailable("Kafka knows of no broker at this moment.")

    return probe


def shared(probe: Probe) -> Probe:
    """A probe that is under way once at a time, however many ask, since the API's page is public.

    Who gives up leaves it to go on by itself: what a frozen server keeps hanging, a cancellation may not end either.
    """

    async def what_is_wrong() -> Exception | None:
        try:
            await probe()
        except Exception as error:  # noqa: BLE001 - returned, since asyncio logs what is raised once nobody waits for it
            return error
        return None

    under_way: asyncio.Task[Exception | None] | None = None

    async def asked() -> None:
        nonlocal under_way
        if under_way is None or under_way.done():
            under_way = asyncio.create_task(what_is_wrong())
        if wrong := await asyncio.shield(under_way):
            raise wrong

    return asked


async def probed(parts: Mapping[str, Probe]) -> dict[str, str]:
    """How each part is, all of them asked side by side."""
    return dict(zip(parts, await asyncio.gather(*(_probed(part) for part in parts.values())), strict=True))


def readiness(response: Response, found: Mapping[str, str], *, optional: Collection[str] = ()) -> dict[str, Any]:
    """The page's answer, which names every part.

    Args:
        response: gets the status: not ready is who can do nothing, since a part is missing.
        found: how each part is.
        optional: parts without which there is something to do all the same.
    """
    well = all(state == "ok" for name, state in found.items() if name not in optional)
    response.status_code = 200 if well else 503
    return {"state": "ready" if well else "not ready", "parts": found}


async def _probed(part: Probe) -> str:
    """`ok`, or what is wrong, in a few words."""
    try:
        async with asyncio.timeout(_PATIENCE):
            await part()
    except Exception as error:  # noqa: BLE001 - whatever is wrong with the part is what the page is to say
        return f"unavailable: {type(error).__name__}"
    return "ok"
