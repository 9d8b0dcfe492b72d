"""The worker's own small page: `/health/live`, `/health/ready`, `/metrics`. It has no token and stays on loopback."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from service.listening import SignallessServer, listen
from service.readiness import Probe, probed, readiness

_PATIENCE = 2.0
"""Seconds that the SDK's metrics may take."""


def health_app(
    parts: Mapping[str, Probe],
    running: Callable[[], bool],
    sdk_metrics_url: str,
    *,
    optional: Collection[str] = (),
) -> FastAPI:
    """Make the app of the page.

    Args:
        parts: probes of what the worker uses, by name, for `/health/ready`.
        running: whether the worker still polls. If not, it is not live.
        sdk_metrics_url: the metrics of Temporal's SDK; `/metrics` shows them too.
        optional: parts that the worker can work without.
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
        return readiness(response, found, optional=optional)

    @app.get("/metrics")
    async def metrics() -> Response:
        """Prometheus: ours, and the SDK's."""
        async with httpx.AsyncClient(timeout=_PATIENCE, trust_env=False) as client:
            sdk = await client.get(sdk_metrics_url)
        return Response(generate_latest() + sdk.content, media_type=CONTENT_TYPE_LATEST)

    return app


class HealthServer:
    """Serves the page in the event loop of the worker."""

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
