"""The API as a process of its own, as `wardflow api` runs it."""

import asyncio
import os
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psutil

from config.settings import Settings
from service.resources import warehouse_dsn
from service.stack.own import health

API = (sys.executable, "-m", "service.cli", "api")


@dataclass(frozen=True)
class ApiProcess:
    """Where it listens, and itself."""

    url: str
    process: psutil.Process


@asynccontextmanager
async def api_process(settings: Settings, **more: str) -> AsyncIterator[ApiProcess]:
    """The API on this test's database and queues, ready; further settings by name, without `WARDFLOW_`."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    told = {
        "ENVIRONMENT": settings.environment,
        "STACK__FOLDER": str(settings.stack.folder),
        "POSTGRES__DSN": warehouse_dsn(settings),
        "POSTGRES__READ_ONLY_DSN": warehouse_dsn(settings),
        "WORKER__QUEUE_PREFIX": settings.worker.queue_prefix,
        "ENCRYPTION__ENABLED": str(settings.encryption.enabled),
        "API__PORT": str(port),
        "KAFKA__ENABLED": str(settings.kafka.enabled),
        "LOG__LEVEL": "WARNING",
        **more,
    }
    environment = os.environ | {f"WARDFLOW_{name}": value for name, value in told.items()}
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(*API, env=environment, stdout=log, stderr=log)
        try:
            async with asyncio.timeout(60):
                while (await health(f"{url}/health/ready")).problem:
                    assert process.returncode is None, "the API ended"
                    await asyncio.sleep(0.1)
            yield ApiProcess(url, psutil.Process(process.pid))
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()
