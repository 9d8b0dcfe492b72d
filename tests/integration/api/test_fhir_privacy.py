"""Who reads of patients is written down, and nothing of what identifies one is."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
import structlog

from config.logging import configure_logging
from config.sections import LogSettings
from library.access.patients import pseudonym
from library.contracts.scopes import Scope
from library.objects.store import ObjectStore
from library.warehouse.pool import Pool
from tests.integration.api.conftest import Client
from tests.support.fhir_rows import FhirRows, observation, patient

ID, FAMILY, GIVEN, CODE = "sentinel-id-4711", "Sentinelfamily", "Sentinelgiven", "sentinel-code"
SENTINELS = (ID, FAMILY.lower(), GIVEN.lower(), CODE, "1931-04-07", "1931-04-08", "31.4159")

READS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    (
        f"/patients?family={FAMILY}&given={GIVEN}&gender=male&birth_date_from=1931-04-07&birth_date_to=1931-04-08"
        "&zipcode=02139&server=hapi",
        "/patients",
        {
            "filters": ["birth_date_from", "birth_date_to", "family", "gender", "given"],
            "server": "hapi",
            "zipcode": "02139",
        },
    ),
    (f"/patients/{ID}", "/patients/{patient_id}", {"patient": pseudonym(ID)}),
    (
        f"/patients/{ID}/observations?code={CODE}",
        "/patients/{patient_id}/observations",
        {"filters": ["code"], "patient": pseudonym(ID)},
    ),
    (
        f"/observations?patient_id={ID}&category={CODE}&min_value=31.4159&from=1931-04-07&to=1931-04-08",
        "/observations",
        {"filters": ["category", "from", "min_value", "to"], "patient": pseudonym(ID)},
    ),
    ("/zipcodes/02139", "/zipcodes/{zipcode}", {"zipcode": "02139"}),
)


@pytest.fixture(autouse=True, scope="module")
def logging_as_it_is_outside_of_tests() -> Iterator[None]:
    """Of all there is."""
    handlers, level = logging.getLogger().handlers, logging.getLogger().level
    configure_logging(LogSettings(level="DEBUG"))
    yield
    structlog.reset_defaults()
    logging.getLogger().handlers = handlers
    logging.getLogger().setLevel(level)


@pytest_asyncio.fixture(autouse=True)
async def known(pool: Pool, store: ObjectStore) -> None:
    """One patient with one observation is known."""
    await FhirRows(pool, store).load(
        patient(ID, FAMILY, GIVEN, born="1931-04-07"), observation("o", ID, 31.4159, "1931-04-08", code=CODE)
    )


@pytest_asyncio.fixture
async def reader(api: Client) -> dict[str, str]:
    """Headers of somebody who may read of patients, and nothing else."""
    return await api.bearing(Scope.READ_PATIENTS)


async def audit(pool: Pool) -> list[dict[str, Any]]:
    return [dict(row) for row in await pool.fetch("SELECT * FROM access.audit ORDER BY id")]


@pytest.mark.parametrize(("path", "route", "detail"), READS)
async def test_each_read_is_one_row_of_the_audit_that_says_who_asked_what_kind_of_question(
    api: Client, reader: dict[str, str], pool: Pool, path: str, route: str, detail: dict[str, Any]
) -> None:
    assert (await api.http.get(path, headers=reader)).status_code == 200
    (row,) = await audit(pool)
    assert (row["action"], row["subject"], row["detail"]) == ("read_patients", route, detail)
    assert row["actor"] == str(await pool.fetchval("SELECT id FROM access.token"))
    csv = await api.http.get(path, headers=reader | {"Accept": "text/csv"})
    assert csv.status_code == 200
    assert (await audit(pool))[1]["detail"] == detail | {"as": "csv"}


async def test_nothing_is_answered_that_the_audit_could_not_hold(
    api: Client, reader: dict[str, str], pool: Pool
) -> None:
    await pool.execute("ALTER TABLE access.audit ADD CHECK (action <> 'read_patients')")
    for path, accept in ((f"/patients/{ID}", "application/json"), (f"/patients?family={FAMILY}", "text/csv")):
        answer = await api.http.get(path, headers=reader | {"Accept": accept})
        assert answer.status_code == 500
        assert FAMILY not in answer.text


async def test_who_asked_for_somebody_unknown_is_written_down_too(
    api: Client, reader: dict[str, str], pool: Pool
) -> None:
    assert (await api.http.get("/patients/nobody", headers=reader)).status_code == 404
    assert [row["detail"] for row in await audit(pool)] == [{"patient": pseudonym("nobody")}]


async def test_no_query_and_no_value_of_a_patient_is_logged_audited_or_counted(
    api: Client, reader: dict[str, str], pool: Pool, operator: dict[str, str], capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    wrong = (
        f"/patients?family={FAMILY}&gender={CODE}",
        f"/patients?birth_date_from=1931-04-07T&given={GIVEN}",
        f"/observations?patient_id={ID}&after={ID}",
        f"/observations?patient_id={ID}&from={CODE}",
        f"/patients/{ID}?server=none",
        f"/none/{ID}?family={FAMILY}",
    )
    for path in [read[0] for read in READS] + list(wrong):
        answer: httpx.Response = await api.http.get(path, headers=reader)
        assert answer.status_code in (200, 404, 422), path
    logged = capfd.readouterr()
    metrics = (await api.http.get("/metrics", headers=operator)).text
    ours = "\n".join(
        record.getMessage() for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))
    )
    kept = json.dumps([row["detail"] | {"subject": row["subject"]} for row in await audit(pool)])
    assert "/patients/{patient_id}" in logged.out + logged.err + ours, "requests are logged at all"
    for where in (logged.out, logged.err, ours, metrics, kept):
        for sentinel in SENTINELS:
            assert sentinel not in where.lower()
