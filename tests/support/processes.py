"""The API and workers as processes of their own, as `wardflow api` and `wardflow worker` run them."""

import asyncio
import os
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Literal

import psutil

from config.settings import Settings
from service.resources import warehouse_dsn
from service.stack.own import health


@dataclass(frozen=True)
class OwnProcess:
    """Where it listens, and itself."""

    url: str
    process: psutil.Process


def api_process(settings: Settings, **more: str) -> AbstractAsyncContextManager[OwnProcess]:
    """The API on this test's database and queues, ready; further settings by name, without `WARDFLOW_`."""
    return _process("api", settings, more)


def worker_process(settings: Settings, **more: str) -> AbstractAsyncContextManager[OwnProcess]:
    """A worker on this test's database and queues, ready; further settings by name, without `WARDFLOW_`."""
    return _process("worker", settings, more)


@asynccontextmanager
async def _process(
    name: Literal["api", "worker"], settings: Settings, more: dict[str, str]
) -> AsyncIterator[OwnProcess]:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    told = {
        "ENVIRONMENT": settings.environment,
        "STACK__FOLDER": str(settings.stack.folder),
        "POSTGRES__DSN": warehouse_dsn(settings),
        "POSTGRES__READ_ONLY_DSN": warehouse_dsn(settings),
        "WORKER__QUEUE_PREFIX": settings.worker.queue_prefix,
        "ENCRYPTION__ENABLED": str(settings.encryption.enabled),
        "KAFKA__ENABLED": str(settings.kafka.enabled),
        "LOG__LEVEL": "WARNING",
        f"{name.upper()}__PORT": str(port),
        **more,
    }
    environment = os.environ | {f"WARDFLOW_{setting}": value for setting, value in told.items()}
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "service.cli", name, env=environment, stdout=log, stderr=log
        )
        try:
            async with asyncio.timeout(60):
                while (await health(f"{url}/health/ready")).problem:
                    assert process.returncode is None, f"{name} ended"
                    await asyncio.sleep(0.1)
            yield OwnProcess(url, psutil.Process(process.pid))
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()
