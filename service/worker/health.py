"""The worker's own small page: `/health/live`, `/health/ready`, `/metrics`. It has no token and stays on loopback."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from config.settings import Settings
from library.access.gathered import Gathered
from library.contracts.streams import KafkaUnavailable
from library.streams.cluster import Cluster
from service.listening import SignallessServer, listen
from service.resources import kafka_connection

type Probe = Callable[[], Awaitable[object]]
"""Raises what is wrong."""

_PATIENCE = 2.0
"""Seconds that a probe may take."""


def health_app(
    parts: Mapping[str, Probe],
    running: Callable[[], bool],
    sdk_metrics_url: str,
    *,
    beside: Collection[str] = (),
) -> FastAPI:
    """The page.

    Args:
        parts: what the worker uses, by name; each is probed for `/health/ready`.
        beside: those of them that it has work without.
        running: whether the worker still polls; once it does not, it is not live.
        sdk_metrics_url: where Temporal's SDK serves its own metrics; `/metrics` shows both.
    """
    app = FastAPI(title="Wardflow worker", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/health/live")
    async def live(response: Response) -> dict[str, str]:
        """Whether the process works."""
        response.status_code = 200 if running() else 503
        return {"state": "live" if running() else "ending"}

    @app.get("/health/ready")
    async def ready(response: Response) -> dict[str, Any]:
        """Whether the worker polls and reaches all that it needs; says which part is missing."""
        found = await probed(parts) | {"worker": "ok" if running() else "ending"}
        return readiness(response, found, beside=beside)

    @app.get("/metrics")
    async def metrics() -> Response:
        """Prometheus: ours, and the SDK's."""
        async with httpx.AsyncClient(timeout=_PATIENCE, trust_env=False) as client:
            sdk = await client.get(sdk_metrics_url)
        return Response(generate_latest() + sdk.content, media_type=CONTENT_TYPE_LATEST)

    return app


async def probed(parts: Mapping[str, Probe]) -> dict[str, str]:
    """How each part is, all of them asked side by side."""
    return dict(zip(parts, await asyncio.gather(*(_probed(part) for part in parts.values())), strict=True))


def readiness(response: Response, found: Mapping[str, str], *, beside: Collection[str] = ()) -> dict[str, Any]:
    """The page's answer: every part is named, and not ready is who can do nothing without one that is missing."""
    well = all(state == "ok" for name, state in found.items() if name not in beside)
    response.status_code = 200 if well else 503
    return {"state": "ready" if well else "not ready", "parts": found}


def kafka_probe(settings: Settings) -> Probe:
    """Whether a cluster answers, and has brokers; asked once at a time, however many ask: the API's page is public."""

    async def ask(_: Sequence[str]) -> Mapping[str, None]:
        async with asyncio.timeout(_PATIENCE), Cluster(kafka_connection(settings)) as cluster:
            if not cluster.brokers():
                raise KafkaUnavailable("Kafka knows of no broker at this moment.")
        return {}

    asked = Gathered(ask)
    return lambda: asked.get("kafka")


async def _probed(part: Probe) -> str:
    """`ok`, or what is wrong, in a few words."""
    try:
        async with asyncio.timeout(_PATIENCE):
            await part()
    except Exception as error:  # noqa: BLE001 - whatever is wrong with the part is what the page is to say
        return f"unavailable: {type(error).__name__}"
    return "ok"


class HealthServer:
    """Serves the page beside the worker, in the same event loop."""

    def __init__(self, app: FastAPI, host: str, port: int) -> None:
        self._server = SignallessServer(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off"))
        self._socket = listen(host, port)
        self.port: int = self._socket.getsockname()[1]

    async def serve(self) -> None:
        """Serve until it is asked to stop."""
        await self._server.serve([self._socket])

    def stop(self) -> None:
        """Ask it to end."""
        self._server.should_exit = True
