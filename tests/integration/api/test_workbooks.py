"""The original file of an edition: under its real name and type, or a problem that says why it cannot be had."""

import hashlib
from http import HTTPStatus

import pytest

from config.settings import Settings
from library.objects.store import ObjectStore
from library.sources.beds.names import READ_BEDS
from library.warehouse.pool import Pool
from tests.integration.api.conftest import Client
from tests.support.api import api_here
from tests.support.runs import NHS, Workbooks

FILES = {
    "NHS-organisations-in-England-Quarter-1-2010-11--HowsMyNHS-tempfile.xls": "application/vnd.ms-excel",
    "1920-Q3-Beds-Open-Overnight-Web_File-Final-DE5WC.xlsx": (
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    ),
}
EDITIONS = "SELECT e.id FROM beds.edition e JOIN ingest.load l ON l.id = e.load_id WHERE l.object_sha256 = $1"


async def path_of(sent: Workbooks, pool: Pool, name: str) -> str:
    """Where the API has the workbook that it is sent."""
    content = (NHS / "kh03" / name).read_bytes()
    await sent.ingest(NHS / "kh03" / name)
    edition = await pool.fetchval(EDITIONS, hashlib.sha256(content).hexdigest())
    return f"/nhs-data/editions/{edition}/workbook"


@pytest.mark.parametrize("name", FILES)
async def test_it_is_named_and_typed_as_what_it_is(
    api: Client, operator: dict[str, str], sent: Workbooks, pool: Pool, name: str
) -> None:
    path = await path_of(sent, pool, name)
    answer = await api.http.get(path, headers=operator)
    assert answer.content == (NHS / "kh03" / name).read_bytes()
    assert answer.headers["content-type"] == FILES[name]
    assert int(answer.headers["content-length"]) == len(answer.content)
    suffix = name.rpartition(".")[2]
    assert answer.headers["content-disposition"] == f'attachment; filename="{path.split("/")[3]}.{suffix}"'


async def test_one_that_was_removed_from_the_store_is_not_found(
    api: Client, operator: dict[str, str], sent: Workbooks, pool: Pool, store: ObjectStore
) -> None:
    name = next(iter(FILES))
    path = await path_of(sent, pool, name)
    store.remove([f"landed/beds/{hashlib.sha256((NHS / 'kh03' / name).read_bytes()).hexdigest()}"])
    answer = await api.http.get(path, headers=operator)
    assert (answer.status_code, answer.json()["type"]) == (HTTPStatus.NOT_FOUND, "ObjectMissing")


async def test_while_the_store_is_away_it_can_be_asked_for_again_later(
    api: Client, sent: Workbooks, settings: Settings, pool: Pool
) -> None:
    path = await path_of(sent, pool, next(iter(FILES)))
    s3 = settings.s3.model_copy(update={"url": "http://127.0.0.1:1"})
    async with api_here(settings.model_copy(update={"s3": s3})) as http:
        answer = await http.get(path, headers=await api.bearing(READ_BEDS))
    assert (answer.status_code, answer.json()["type"]) == (HTTPStatus.SERVICE_UNAVAILABLE, "StoreUnavailable")
    assert answer.headers["retry-after"]
