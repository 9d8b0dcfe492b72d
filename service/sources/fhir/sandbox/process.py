"""The sandbox as a process, or as a thread beside a test."""

import asyncio
import signal
import socket
from collections.abc import Sequence
from pathlib import Path

import structlog
import uvicorn
from starlette.applications import Starlette

from service.listening import SignallessServer, listen
from service.sources.fhir.sandbox.app import Options, make_app
from service.sources.fhir.sandbox.faults import Faults
from service.sources.fhir.sandbox.files import SAMPLE

_log = structlog.get_logger(__name__)
_LONGEST_HEAD = 1024 * 1024
"""Bytes of a request's head: longer URLs than any server takes must be refused by the app, as such."""


def server(app: Starlette) -> SignallessServer:
    """What serves the app, to be run on sockets that are open already."""
    return SignallessServer(
        uvicorn.Config(
            app,
            http="h11",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=2,
            h11_max_incomplete_event_size=_LONGEST_HEAD,
        )
    )


def serve(paths: Sequence[Path], host: str, port: int, options: Options, faults: Faults) -> None:
    """Serve files until SIGTERM or SIGINT; without any, the sample that comes with Wardflow.

    Raises:
        ConfigurationError: a path is not there, or holds something else than resources.
    """
    if not paths and SAMPLE.is_dir():
        paths = (SAMPLE,)
    app, sandbox = make_app(paths, options, faults)
    listening = listen(host, port)
    url = f"http://{host}:{listening.getsockname()[1]}{options.base_path}"
    counts = {kind: sum(1 for _ in sandbox.resources.all(kind)) for kind in sandbox.resources.kinds()}
    _log.info("fhir sandbox started", url=url, **counts)
    print(url, flush=True)  # noqa: T201 - the one result of the command, for scripts
    asyncio.run(_until_told_to_end(server(app), listening))
    _log.info("fhir sandbox ended")


async def _until_told_to_end(serving: SignallessServer, listening: socket.socket) -> None:
    def end() -> None:
        serving.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end)
    await serving.serve([listening])
