"""The FHIR server with sample data, as a part of the embedded stack."""

import os
from collections.abc import Mapping
from pathlib import Path

from config.settings import Settings
from service.stack.own import MakeOwn, health
from service.stack.part import StackPart
from service.stack.ports import Ports
from service.stack.processes import WARDFLOW

NAME = "fhir_sandbox"


def parts(settings: Settings) -> Mapping[str, MakeOwn]:
    """The parts that the settings request, by name."""
    return {NAME: make} if settings.stack.fhir_sandbox else {}


async def make(settings: Settings, folder: Path, ports: Ports) -> StackPart:
    """Choose the port of the FHIR server with sample data, and say how to start it."""
    address = f"http://127.0.0.1:{ports.choose(NAME, settings.stack.fhir_sandbox_port)}"
    url = f"{address}/fhir"
    return StackPart(
        name=NAME,
        command=(*WARDFLOW, "sandbox", "fhir", "--port", address.rpartition(":")[2]),
        environment=os.environ,
        log=folder / "logs" / f"{NAME}.log",
        check=lambda: health(f"{url}/metadata"),
        entries={NAME: {"url": url, "health_url": f"{url}/metadata"}},
        address=url,
    )
