"""`wardflow origin` leads from a row to the bytes that it was read from."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from config.settings import Settings
from library.access.patients import pseudonym, row_pseudonym
from library.access.tokens import Tokens
from library.contracts.scopes import Scope
from library.objects.store import ObjectStore
from library.warehouse.pool import Pool
from tests.support.api import api_here
from tests.support.commands import Commands
from tests.support.fhir import FhirSource
from tests.support.fhir_rows import patient

EVE = ("origin", "fhir.patient", "eve", "here")


@pytest.fixture
def wardflow(commands_with: Callable[..., Commands], settings: Settings) -> Commands:
    """Commands that know the object store."""
    s3 = settings.s3
    assert s3.url and s3.access_key and s3.secret_key
    return commands_with(
        S3__URL=s3.url,
        S3__ACCESS_KEY=s3.access_key.get_secret_value(),
        S3__SECRET_KEY=s3.secret_key.get_secret_value(),
        S3__BUCKET=s3.bucket,
    )


@pytest.fixture
async def page(pool: Pool, store: ObjectStore) -> bytes:
    """A page with one patient is loaded; its bytes."""
    pages = FhirSource(pool, store)
    landed = pages.landed(patient("eve"))
    await pages.load_request(pages.staged(landed))
    return await store.fetch(landed)


async def test_it_prints_each_place_from_the_row_to_the_bytes(wardflow: Commands, page: bytes) -> None:
    printed = dict(line.split(maxsplit=1) for line in (await wardflow.done(*EVE)).splitlines())
    digest = hashlib.sha256(page).hexdigest()
    assert list(printed) == ["row", "load", "reader", "run", "object", "content", "sha256"]
    assert printed["row"] == "fhir.patient, id eve, server here"
    assert printed["reader"].startswith("fhir, version ")
    assert printed["run"] == "run 1"
    assert printed["object"] == f"landed/fhir/{digest}.gz"
    assert printed["content"] == f"{len(page):,} bytes; the store keeps them with gzip"
    assert printed["sha256"] == f"{digest} of these bytes"


async def test_for_scripts_it_is_the_document_of_the_api(
    wardflow: Commands, page: bytes, settings: Settings, pool: Pool
) -> None:
    assert page
    _, token = await Tokens(pool).create("test", [Scope.READ_PATIENTS])
    async with api_here(settings, token=token) as http:
        answer: httpx.Response = await http.get("/origin", params={"dataset": EVE[1], "key": EVE[2:]})
    assert await wardflow.answer(*EVE) == answer.json()


async def test_it_saves_the_bytes_in_a_file_or_prints_them(wardflow: Commands, page: bytes, tmp_path: Path) -> None:
    file = tmp_path / "page.ndjson"
    assert "sha256" in await wardflow.done(*EVE, "--bytes", str(file))
    assert file.read_bytes() == page
    result = await wardflow.call(*EVE, "--bytes", "-")
    assert (result.exit_code, result.stdout_bytes) == (0, page)


async def test_a_row_that_is_not_there_is_an_error_and_leaves_no_file(
    wardflow: Commands, page: bytes, tmp_path: Path
) -> None:
    assert page
    result = await wardflow.call("origin", "fhir.patient", "adam", "here", "--bytes", str(tmp_path / "none"))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("fhir.patient has no row with this key.")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("words", [("beds.wards", "1"), ("beds.occupancy", "RJ1"), ("beds.edition", "RJ1")])
async def test_an_unknown_dataset_and_a_key_that_is_none_are_wrong_usage(
    wardflow: Commands, words: tuple[str, ...]
) -> None:
    assert (await wardflow.call("origin", *words)).exit_code == 2


async def test_a_look_at_a_patients_row_is_in_the_audit(wardflow: Commands, page: bytes, pool: Pool) -> None:
    assert page
    await wardflow.done(*EVE)
    row = await pool.fetchrow("SELECT actor, action, subject, detail FROM access.audit")
    detail = {"patient": pseudonym("eve"), "dataset": EVE[1], "row": row_pseudonym(EVE[1], EVE[2:])}
    assert tuple(row) == ("local", "read_patients", "/origin", detail)
    assert "eve" not in json.dumps(detail)
