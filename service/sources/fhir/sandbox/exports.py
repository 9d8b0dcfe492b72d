"""Bulk Data exports: start, status, manifest, and NDJSON files."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import batched

from service.sources.fhir.sandbox.bundle import ServerUrls
from service.sources.fhir.sandbox.resources import ResourceStore, Stored, instant, present, without_stamp
from service.sources.fhir.sandbox.search import BadSearch, Parameters, read_search

STATUS, FILES = "$export-poll-status", "_export"
_TYPES = ("application/fhir+ndjson", "application/ndjson", "ndjson")


@dataclass
class Job:
    """One export.

    Attributes:
        at: the transaction time. The export has all resources that were stored before it.
        files: the resources of each file, by its name.
        waits: how often its status is 202 before it is ready.
    """

    id: str
    request: str
    at: datetime
    files: dict[str, tuple[Stored, ...]]
    waits: int

    def manifest(self, where: ServerUrls) -> dict[str, object]:
        """The manifest, which is the answer of the status when the files are ready."""
        return {
            "transactionTime": instant(self.at),
            "request": self.request,
            "requiresAccessToken": False,
            "output": [
                {
                    "type": name.partition(".")[0],
                    "url": f"{where.base}/{FILES}/{self.id}/{name}",
                    "count": len(self.files[name]),
                }
                for name in self.files
            ],
            "error": [],
        }


class Exports:
    """All exports.

    Args:
        lines: resources in one file.
        waits: how often the status of an export is "not ready".
    """

    def __init__(self, resources: ResourceStore, lines: int, waits: int) -> None:
        self._resources = resources
        self._lines = lines
        self._waits = waits
        self._jobs: dict[str, Job] = {}

    def start(self, request: str, parameters: Parameters, *, patients_only: bool) -> Job:
        """Make an export of the current resources.

        Raises:
            BadSearch: a parameter is not supported.
        """
        kinds = self._resources.kinds()
        since: list[tuple[str, str]] = []
        for name, value in parameters:
            match name:
                case "_type":
                    kinds = [kind for kind in kinds if kind in value.split(",")]
                case "_since":
                    since = [("_lastUpdated", f"gt{value}")]
                case "_outputFormat" if value in _TYPES:
                    pass
                case _:
                    raise BadSearch(f'Cannot export with "{name}" as given.')
        files: dict[str, tuple[Stored, ...]] = {}
        for kind in kinds:
            found = read_search(kind, since).run(self._resources)
            if patients_only:
                found = tuple(each for each in found if kind == "Patient" or each.patient)
            files |= {f"{kind}.{n}.ndjson": part for n, part in enumerate(batched(found, self._lines))}
        job = Job(secrets.token_hex(8), request, present(), files, self._waits)
        self._jobs[job.id] = job
        return job

    def get(self, name: str) -> Job | None:
        """An export; `None` if it was deleted."""
        return self._jobs.get(name)

    def delete(self, name: str) -> bool:
        """Delete an export and its files."""
        return self._jobs.pop(name, None) is not None


def lines(resources: tuple[Stored, ...], *, stamped: bool = True) -> Iterator[bytes]:
    """The bytes of a file, in chunks."""
    for some in batched(resources, 500):
        yield b"".join((each.raw if stamped else without_stamp(each.raw)) + b"\n" for each in some)
