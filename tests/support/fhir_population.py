"""As many patients and observations as a test wants, made from the sample: the same ones for the same numbers."""

import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from tests.support.sandbox import SAMPLE

_NAMESPACE = uuid.UUID("6f1c1f0a-3f0e-4c52-9d0e-1f1df0f6a5b1")
_ID, _PATIENT = b'"id":"@id@"', b"Patient/@patient@"


@dataclass(frozen=True)
class Population:
    """Made-up people: patient n lives in zip code n, and in the first one again when all have been used.

    Attributes:
        name: another name makes other ids of the same contents.
    """

    patients: int
    observations: int
    zipcodes: Sequence[str] = ("02139",)
    name: str = "population"

    def patient_ids(self, zipcode: str | None = None) -> list[str]:
        """The patients' ids, of one zip code or of all."""
        wanted = (n for n in range(self.patients) if zipcode in (None, self.zipcodes[n % len(self.zipcodes)]))
        return [self._id("patient", n) for n in wanted]

    def patient_lines(self) -> Iterator[bytes]:
        """The patients, one a line of JSON."""
        samples = _samples("Patient")
        for n, sample in zip(range(self.patients), cycle(samples), strict=False):
            made = sample | {"id": self._id("patient", n)}
            made["identifier"] = [{"system": "urn:wardflow:made-up", "value": f"{self.name}-{n}"}]
            made["name"] = [{"use": "official", "family": f"Madeup{n}", "given": [f"Person{n}"]}]
            made["address"] = [sample["address"][0] | {"postalCode": self.zipcodes[n % len(self.zipcodes)]}]
            yield _compact(made)

    def observation_lines(self) -> Iterator[bytes]:
        """The observations, one a line of JSON: so many of each patient."""
        templates = _observation_templates()
        for n, patient in enumerate(self.patient_ids()):
            about = b"Patient/" + patient.encode()
            start = n * 7 % len(templates)  # so that not everybody has the same
            for m, template in enumerate(islice(cycle(templates), start, start + self.observations)):
                identity = b'"id":"' + self._id("observation", n, m).encode() + b'"'
                yield template.replace(_ID, identity, 1).replace(_PATIENT, about, 1)

    def write(self, folder: Path) -> Path:
        """Write `Patient.ndjson` and `Observation.ndjson`; return the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        for kind, lines in (("Patient", self.patient_lines()), ("Observation", self.observation_lines())):
            with (folder / f"{kind}.ndjson").open("wb") as file:
                file.writelines(line + b"\n" for line in lines)
        return folder

    def _id(self, kind: str, *numbers: int) -> str:
        return str(uuid.uuid5(_NAMESPACE, f"{self.name} {kind} {numbers}"))


def _samples(kind: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (SAMPLE / f"{kind}.ndjson").read_bytes().splitlines()]


def _observation_templates() -> list[bytes]:
    templates = []
    for sample in _samples("Observation"):
        made = sample | {"id": "@id@", "subject": {"reference": _PATIENT.decode()}}
        template = _compact(made)
        assert template.count(_ID) == template.count(_PATIENT) == 1
        templates.append(template)
    return templates


def _compact(resource: dict[str, Any]) -> bytes:
    return json.dumps(resource, ensure_ascii=False, separators=(",", ":")).encode()
