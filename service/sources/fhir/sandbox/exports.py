"""Bulk Data: a kick-off, a status to be asked for, a manifest, files of NDJSON."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import batched

from service.sources.fhir.sandbox.bundle import Where
from service.sources.fhir.sandbox.resources import Resources, Stored, instant, present, without_stamp
from service.sources.fhir.sandbox.search import BadSearch, Parameters, read_search

STATUS, FILES = "$export-poll-status", "_export"
_TYPES = ("application/fhir+ndjson", "application/ndjson", "ndjson")


@dataclass
class Job:
    """One export.

    Attributes:
        at: the transaction time: all that was stored by then is in it.
        files: what each file holds, by its name.
        waits: how often its status is answered by 202 before it is ready.
    """

    id: str
    request: str
    at: datetime
    files: dict[str, tuple[Stored, ...]]
    waits: int

    def manifest(self, where: Where) -> dict[str, object]:
        """What the status answers when the files are there."""
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
    """The exports that were asked for.

    Args:
        lines: resources a file.
        waits: how often a status says that the export is not ready yet.
    """

    def __init__(self, resources: Resources, lines: int, waits: int) -> None:
        self._resources = resources
        self._lines = lines
        self._waits = waits
        self._jobs: dict[str, Job] = {}

    def start(self, request: str, parameters: Parameters, *, patients_only: bool) -> Job:
        """Take down what there is now.

        Raises:
            BadSearch: a parameter cannot be used.
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
        """An export, unless it was deleted."""
        return self._jobs.get(name)

    def delete(self, name: str) -> bool:
        """Forget an export and its files."""
        return self._jobs.pop(name, None) is not None


def lines(resources: tuple[Stored, ...], *, stamped: bool = True) -> Iterator[bytes]:
    """A file's bytes, in pieces."""
    for some in batched(resources, 500):
        yield b"".join((each.raw if stamped else without_stamp(each.raw)) + b"\n" for each in some)
