"""What Temporal, the runs, the logs and the metrics keep of an import: nothing of a patient, in clear text either."""

import base64
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from prometheus_client import generate_latest

from config.logging import configure_logging
from config.sections import EncryptionSettings, LogSettings
from config.settings import Settings
from library.contracts.runs import RunState
from library.objects.store import ObjectStore
from library.warehouse.pool import Pool
from tests.support.histories import readable
from tests.support.imports import imports

ZIPCODE = "02139"
SENTINELS = {
    "id": "sentinel-patient-5150",
    "observation": "sentinel-observation-5151",
    "family": "Zwetschgenbaum",
    "given": "Kunigunde",
    "birth date": "1931-02-28",
    "line": "17 Sentinel Alley",
    "city": "Sentinelville",
    "phone": "555-0173-9931",
    "bad id": "sentinel-unreadable-5152",
}
PATIENT = {
    "resourceType": "Patient",
    "id": SENTINELS["id"],
    "name": [{"family": SENTINELS["family"], "given": [SENTINELS["given"]]}],
    "birthDate": SENTINELS["birth date"],
    "address": [{"line": [SENTINELS["line"]], "city": SENTINELS["city"], "postalCode": ZIPCODE}],
    "telecom": [{"system": "phone", "value": SENTINELS["phone"]}],
}
OBSERVATION = {
    "resourceType": "Observation",
    "id": SENTINELS["observation"],
    "status": "final",
    "code": {"text": "of somebody"},
    "subject": {"reference": f"Patient/{SENTINELS['id']}"},
}
UNREADABLE = OBSERVATION | {"id": SENTINELS["bad id"], "valueQuantity": {"value": SENTINELS["phone"]}}


@pytest.fixture
def logs(capsys: pytest.CaptureFixture[str]) -> Iterator[pytest.CaptureFixture[str]]:
    """What the product logs at its most talkative."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    configure_logging(LogSettings(level="DEBUG", format="json"))
    yield capsys  # all that is logged goes to standard error, by whichever handler
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def payloads_of(node: Any) -> Iterator[str]:
    """Every payload of a history, decoded, headers and memos among them."""
    if isinstance(node, dict):
        if isinstance(node.get("data"), str):
            yield base64.b64decode(node["data"]).decode()
        for value in node.values():
            yield from payloads_of(value)
    elif isinstance(node, list):
        for value in node:
            yield from payloads_of(value)


@pytest.mark.parametrize(
    ("faults", "ends"),
    [
        ({}, RunState.COMPLETED),
        (
            {"several_patients_refused": 1.0, "short_page": 1.0, "unavailable": 0.2, "retry_after": 0.1},
            RunState.COMPLETED,
        ),
        ({"looping_next": 1.0, "calls": ("search Observation", "page Observation")}, RunState.FAILED),
        ({"expired_page": 1.0, "calls": ("page Observation",)}, RunState.FAILED),
    ],
    ids=["plain", "one patient a search", "loop", "expired"],
)
async def test_nothing_of_a_patient_is_kept_outside_of_warehouse_and_store(
    settings: Settings,
    pool: Pool,
    store: ObjectStore,
    logs: pytest.CaptureFixture[str],
    faults: dict[str, Any],
    ends: RunState,
) -> None:
    in_clear = settings.model_copy(update={"encryption": EncryptionSettings(enabled=False)})
    async with imports(in_clear, pool, store, faults=faults, page_size=2, batch=3) as importing:
        others = [OBSERVATION | {"id": f"{SENTINELS['observation']}-{number}"} for number in range(5)]
        neighbour = PATIENT | {"id": f"{SENTINELS['id']}-2"}
        importing.sandbox.put(PATIENT, neighbour, OBSERVATION, UNREADABLE, *others)
        first = await importing.zipcode(ZIPCODE)
        importing.sandbox.put(PATIENT | {"address": [{"postalCode": "99999"}]})  # is read by its id
        second = await importing.zipcode(ZIPCODE)
        histories = [history for run in (first, second) for history in await importing.histories(run)]
        searched = [
            repr(each.search_attributes) + repr(each.typed_search_attributes) + repr(await each.memo())
            async for each in importing.client.list_workflows(f"WorkflowId STARTS_WITH '{first.workflow_id}'")
        ]
    assert first.state is ends
    assert await pool.fetchval("SELECT count(*) FROM fhir.patient WHERE family = $1", SENTINELS["family"])
    if ends is RunState.COMPLETED:
        assert await pool.fetchval("SELECT count(*) FROM ingest.rejection") == 1

    told = [history.to_json() for history in histories] + [readable(history) for history in histories]
    told += [payload for history in histories for payload in payloads_of(json.loads(history.to_json()))]
    assert any("fetch_observation_page" in each for each in told), "what was looked into is not in clear"
    assert any("landed/fhir" in each for each in told), "what was looked into is not in clear"
    rows = await pool.fetch("SELECT run::text FROM ingest.run")
    rows += await pool.fetch("SELECT identity, scope, object_key, report::text, counts::text FROM ingest.load")
    places = {
        "histories": "\n".join(told),
        "search attributes": "\n".join(searched),
        "runs and ledger": "\n".join(str(tuple(row)) for row in rows),
        "logs": logs.readouterr().err,
        "metrics": generate_latest().decode(),
    }
    assert all(places.values())
    assert "load ended" in places["logs"]
    found = [(place, name) for place, text in places.items() for name, value in SENTINELS.items() if value in text]
    assert found == []
