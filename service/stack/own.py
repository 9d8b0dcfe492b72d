"""Wardflow's own processes in the stack: worker, API and FHIR sandbox. They inherit the full environment.

Worker and API find their servers in `stack.json`.
"""

import os
import ssl
from pathlib import Path

import httpx

from config.settings import Settings
from service.stack.part import Health, StackPart
from service.stack.ports import Ports
from service.stack.processes import WARDFLOW

_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""The health pages have no TLS. Without this, each check would first read all certificates of the system."""


async def make(name: str, settings: Settings, folder: Path, ports: Ports) -> StackPart:
    """Choose the port of `worker` or `api` (a command and a section of the settings), and return how to start it."""
    url = f"http://127.0.0.1:{ports.choose(name, getattr(settings.stack, f'{name}_port'))}"
    variables = {
        "STACK__FOLDER": str(folder),
        f"{name.upper()}__HOST": "127.0.0.1",
        f"{name.upper()}__PORT": url.rpartition(":")[2],
    }
    return StackPart(
        name=name,
        command=(*WARDFLOW, name),
        environment=os.environ | {f"WARDFLOW_{name}": value for name, value in variables.items()},
        log=folder / "logs" / f"{name}.log",
        check=lambda: health(f"{url}/health/ready"),
        entries={name: {"url": url, "health_url": f"{url}/health/ready", "metrics_url": f"{url}/metrics"}},
        address=url,
        end_seconds=settings.worker.graceful_shutdown + 5,
    )


async def make_fhir_sandbox(settings: Settings, folder: Path, ports: Ports) -> StackPart:
    """Choose the port of the FHIR server with sample data, and return how to start it."""
    name = "fhir_sandbox"
    address = f"http://127.0.0.1:{ports.choose(name, settings.stack.fhir_sandbox_port)}"
    url = f"{address}/fhir"
    return StackPart(
        name=name,
        command=(*WARDFLOW, "sandbox", "fhir", "--port", address.rpartition(":")[2]),
        environment=os.environ,
        log=folder / "logs" / f"{name}.log",
        check=lambda: health(f"{url}/metadata"),
        entries={name: {"url": url, "health_url": f"{url}/metadata"}},
        address=url,
    )


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
