"""Worker and API in the stack. They inherit the full environment, and find their servers in `stack.json`."""

import os
import shlex
import ssl
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx

from config.servers import CHECKOUT
from config.settings import Settings
from service.stack.part import Health, StackPart
from service.stack.ports import Ports
from service.stack.processes import WARDFLOW

_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""The health pages have no TLS. Without this, each check would first read all certificates of the system."""


type MakeOwn = Callable[[Settings, Path, Ports], Awaitable[StackPart]]
"""Makes a process that needs none of the servers, from the settings, the stack's folder and its ports."""
_CODE = ("config", "library", "activities", "workflows", "service")


async def make(name: str, settings: Settings, folder: Path, ports: Ports) -> StackPart:
    """Choose the port of `worker` or `api` (a command and a section of the settings), and return how to start it."""
    url = f"http://127.0.0.1:{ports.choose(name, getattr(settings.stack, f'{name}_port'))}"
    variables = {
        "STACK__FOLDER": str(folder),
        f"{name.upper()}__HOST": "127.0.0.1",
        f"{name.upper()}__PORT": url.rpartition(":")[2],
    }
    graceful = settings.worker.graceful_shutdown
    command = (*WARDFLOW, name)
    return StackPart(
        name=name,
        command=_restarted_on_changes(command, within=graceful + 3) if settings.stack.reload else command,
        environment=os.environ | {f"WARDFLOW_{name}": value for name, value in variables.items()},
        log=folder / "logs" / f"{name}.log",
        check=lambda: health(f"{url}/health/ready"),
        entries={name: {"url": url, "health_url": f"{url}/health/ready", "metrics_url": f"{url}/metrics"}},
        address=url,
        end_seconds=graceful + 5,
    )


def _restarted_on_changes(command: tuple[str, ...], *, within: float) -> tuple[str, ...]:
    """The command, run by watchfiles. If the code does not start, watchfiles waits for the next change."""
    watch = (sys.executable, "-P", "-m", "watchfiles", "--filter", "python", "--verbosity", "warning")
    patience = ("--sigint-timeout", f"{within:.0f}", "--target-type", "command")
    return (*watch, *patience, shlex.join(command), *(str(CHECKOUT / name) for name in _CODE))


async def health(health_url: str) -> Health:
    """Ask the process's health page."""
    try:
        async with httpx.AsyncClient(timeout=2, trust_env=False, verify=_NO_TLS) as client:
            answer = await client.get(health_url)
    except httpx.HTTPError as error:
        return Health(problem=f"It does not answer: {str(error) or type(error).__name__}")
    if answer.status_code != 200:
        return Health(problem=f"It is not ready (status {answer.status_code}).")
    return Health()
