"""The API's process."""

import structlog
import uvicorn

from config.settings import Settings
from service.api.app import create_app
from service.listening import listen
from service.resources import download_guard, object_store, warehouse_dsn

_log = structlog.get_logger(__name__)
_DRAIN = 10
"""Seconds for running requests to end after SIGTERM or SIGINT."""


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: something that the API needs is not set.
    """
    warehouse_dsn(settings)
    download_guard(settings, max_bytes=1)  # raises now if the settings are not valid
    object_store(settings).close()
    listening = listen(settings.api.host, settings.api.port)
    _log.info("api started", host=settings.api.host, port=listening.getsockname()[1])
    config = uvicorn.Config(
        create_app(settings),
        http="h11",  # httptools accepts headers of any length (decision 60)
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_DRAIN,
        limit_concurrency=2_000,
    )
    uvicorn.Server(config).run(sockets=[listening])
    _log.info("api ended")
