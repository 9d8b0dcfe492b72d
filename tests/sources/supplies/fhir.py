"""An NDJSON file with a patient and two observations."""

import json
import tempfile
from pathlib import Path
from typing import Any

from tests.sources.environment import Sent, SourceEnvironment
from tests.sources.supply import Quarantined, Supply

ID, FAMILY, GIVEN, BORN = "sentinel-patient-5150", "Zwetschgenbaum", "Kunigunde", "1931-02-28"
STREET, PHONE, VALUE, UNREADABLE = "17 Sentinel Alley", "555-0173-9931", "31.415926", "sentinel-unreadable-5152"
DATED = {"versionId": "1", "lastUpdated": "2026-01-05T10:00:00Z"}
"""What is sent again is no newer than the first time."""
ABOUT: dict[str, Any] = {
    "resourceType": "Observation",
    "meta": DATED,
    "status": "final",
    "subject": {"reference": f"Patient/{ID}"},
}
PATIENT = {
    "resourceType": "Patient",
    "meta": DATED,
    "id": ID,
    "name": [{"family": FAMILY, "given": [GIVEN]}],
    "birthDate": BORN,
    "address": [{"line": [STREET], "postalCode": "02139"}],
    "telecom": [{"system": "phone", "value": PHONE}],
}
OBSERVATIONS = [
    ABOUT | {"id": "sentinel-observation-5151", "code": {"text": "of somebody"}, "valueQuantity": {"value": 31.415926}},
    ABOUT | {"id": "sentinel-observation-5153", "code": {"text": "blood pressure"}, "component": [
        {"code": {"text": "systolic"}, "valueQuantity": {"value": 120}},
    ]},
]  # fmt: skip
BAD = OBSERVATIONS[0] | {"id": UNREADABLE, "valueQuantity": {"value": PHONE}}
ROWS = {"fhir.patient": 1, "fhir.observation": 2, "fhir.observation_component": 1}


def _lines(*resources: object) -> bytes:
    return "".join(json.dumps(each) + "\n" for each in resources).encode()


async def _send(environment: SourceEnvironment, content: bytes) -> Sent:
    return await environment.upload("/fhir/bulk", "patients.ndjson", content)


async def _reload(environment: SourceEnvironment, content: bytes) -> Sent:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "patients.ndjson")
        path.write_bytes(content)
        said = await environment.commands.done("import", "fhir", str(path), "--reload", "--json")
    (outcome,) = json.loads(said)
    return await environment.ended(outcome["run"])


SUPPLY = Supply(
    send=_send,
    good=_lines(PATIENT, *OBSERVATIONS),
    rows=ROWS,
    bad=_lines(PATIENT, BAD, *OBSERVATIONS),
    bad_row=Quarantined(ROWS | {"fhir.refused_version": 1}),
    another_kind=f"<html><p>{GIVEN} {FAMILY}, {STREET}, {PHONE}, {BORN}: sign in</p></html>".encode(),
    another_kind_is="NotResources",
    sentinels=frozenset((ID, FAMILY, GIVEN, BORN, STREET, PHONE, VALUE, UNREADABLE, "sentinel-observation")),
    reload=_reload,
)
