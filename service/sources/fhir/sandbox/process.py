"""Runs the sandbox as a process. Tests run it in a thread."""

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
"""Largest head of a request in bytes. It is large, so that the app and not uvicorn refuses long URLs."""


def server(app: Starlette) -> SignallessServer:
    """The server of the app. Run it on open sockets."""
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
    """Serve files until SIGTERM or SIGINT. Without files, serve Wardflow's sample.

    Raises:
        ConfigurationError: a path is missing, or contains something other than resources.
    """
    if not paths and SAMPLE.is_dir():
        paths = (SAMPLE,)
    app, sandbox = make_app(paths, options, faults)
    listening = listen(host, port)
    url = f"http://{host}:{listening.getsockname()[1]}{options.base_path}"
    counts = {kind: sum(1 for _ in sandbox.resources.all(kind)) for kind in sandbox.resources.kinds()}
    _log.info("fhir sandbox started", url=url, **counts)
    print(url, flush=True)  # noqa: T201 - the command's result, for scripts
    asyncio.run(_serve_until_signal(server(app), listening))
    _log.info("fhir sandbox ended")


async def _serve_until_signal(serving: SignallessServer, listening: socket.socket) -> None:
    def end() -> None:
        serving.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end)
    await serving.serve([listening])
