"""Whatever the OpenAPI document lets one send, and what it does not, is answered as the document says."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as bounded
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from config.settings import Settings
from library.access.tokens import Tokens
from library.contracts.scopes import Scope
from library.objects.store import ObjectStore
from library.warehouse.pool import Pool
from tests.integration.api.conftest import TWO
from tests.support.fhir_rows import FhirRows, observation, patient
from tests.support.kafka import Kafka
from tests.support.processes import api_process
from tests.support.runs import workbooks

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = 10
"""Of each operation and mode; the same ones in every run."""


@pytest_asyncio.fixture
async def schema(settings: Settings, pool: Pool, store: ObjectStore, kafka: Kafka) -> AsyncIterator[Any]:
    """The document, as the running API serves it over a warehouse that holds two editions and a patient."""
    rows = FhirRows(pool, store)
    await rows.load(patient("p"), observation("o", "p", components=[("8480-6", 120)]), b"unreadable")
    async with workbooks(settings, pool, store) as sent:
        for path in TWO:
            await sent.ingest(path)
    broker = {"KAFKA__ENABLED": "true", "KAFKA__BOOTSTRAP_SERVERS": kafka.settings.bootstrap_servers or ""}
    async with api_process(settings, **broker) as api:
        async with httpx.AsyncClient(base_url=api.url, trust_env=False) as http:
            document = (await http.get("/openapi.json")).json()
        loaded = schemathesis.openapi.from_dict(document)
        loaded.config.update(base_url=api.url)
        yield loaded


@pytest_asyncio.fixture
async def headers(pool: Pool) -> dict[str, str]:
    _, token = await Tokens(pool).create("schemathesis", [Scope.ADMIN])
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.timeout(300)
def test_no_call_breaks_the_document(schema: Any, headers: dict[str, str]) -> None:
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 20
    _read_everything(schema, headers)
    wrong: list[str] = []
    for operation in operations:
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            try:
                _try(operation, mode, headers)
            except Unsatisfiable:
                assert mode is GenerationMode.NEGATIVE  # it has no parameter that could be wrong
            except (AssertionError, BaseExceptionGroup) as error:
                wrong.append(f"{operation.label} ({mode.name.lower()}): {error!r}")  # all of it is shown at once
    assert not wrong, "\n\n".join(wrong)


def _read_everything(schema: Any, headers: dict[str, str]) -> None:
    """Every route that reads answers with real rows, as the document says."""
    with httpx.Client(base_url=schema.config.base_url, headers=headers, trust_env=False) as http:
        (run, *_), (edition, *_), (refused, *_) = (
            http.get(path).json()["items"] for path in ("/runs", "/nhs-data/editions", "/quarantine")
        )
    known = {"run_id": run["id"], "edition_id": edition["id"], "code": "RJ1", "text": "moorfields"}
    known |= {"zipcode": "02139", "patient_id": "p", "rejection_id": refused["id"]}
    known |= {"dataset": "beds.edition", "key": [edition["id"]]}
    read = 0
    for operation in (found.ok() for found in schema.get_all_operations()):
        if operation.method.upper() == "GET":
            wanted = {parameter.name: known[parameter.name] for parameter in operation.path_parameters}
            query = {each.name: known[each.name] for each in operation.query if each.is_required}
            case = operation.Case(path_parameters=wanted, query=query)
            response = case.call(headers=headers, timeout=20)
            assert response.status_code == 200, operation.label
            case.validate_response(response, checks=CHECKS, headers=headers)
            read += 1
    assert read > 15


def _try(operation: Any, mode: GenerationMode, headers: dict[str, str]) -> None:
    @bounded(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def each(case: Any) -> None:
        response = case.call(headers=headers, timeout=20)
        case.validate_response(response, checks=CHECKS, headers=headers)

    each()
