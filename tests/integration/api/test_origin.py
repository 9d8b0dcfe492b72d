"""From a row of any dataset to its load, its run, and the bytes that it was read from."""

import hashlib
import json
from http import HTTPStatus
from typing import Any
from uuid import UUID, uuid4

import httpx
import pyarrow as pa
import pytest

from config.settings import Settings
from library.access.patients import pseudonym, row_pseudonym
from library.contracts.scopes import Scope
from library.lake.bronze import SCHEMA, BronzeTable
from library.lake.storage import LakeStorage
from library.objects.store import ObjectStore
from library.sources.beds.names import READ_BEDS
from library.warehouse.pool import Pool
from service.resources import lake_storage
from service.sources import DATASETS
from tests.integration.api.conftest import TWO, Client
from tests.support import streams
from tests.support.fhir import FhirSource
from tests.support.fhir_rows import observation, patient
from tests.support.runs import Workbooks
from tests.support.streams import Drained, Rec, encoded, record_topics

EDITION = "SELECT e.id::text FROM beds.edition e JOIN ingest.load l ON l.id = e.load_id WHERE l.object_sha256 = $1"
PATIENT = UUID(int=4711)


async def origin(api: Client, headers: dict[str, str], dataset: str, *key: str, of: str = "/origin") -> httpx.Response:
    return await api.http.get(of, params={"dataset": dataset, "key": list(key)}, headers=headers)


async def content(api: Client, headers: dict[str, str], dataset: str, *key: str) -> httpx.Response:
    return await origin(api, headers, dataset, *key, of="/origin/bytes")


async def found(api: Client, headers: dict[str, str], dataset: str, *key: str) -> dict[str, Any]:
    answer = await origin(api, headers, dataset, *key)
    assert answer.status_code == HTTPStatus.OK, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def audit(pool: Pool) -> list[tuple[str, dict[str, Any]]]:
    rows = await pool.fetch("SELECT subject, detail FROM access.audit WHERE action = 'read_patients' ORDER BY id")
    return [(row["subject"], row["detail"]) for row in rows]


@pytest.fixture
def pages(pool: Pool, store: ObjectStore) -> FhirSource:
    """Lands and loads pages of a FHIR server, compressed in the store as real ones."""
    return FhirSource(pool, store)


class Records:
    """A topic of this test alone, in the warehouse; and in the lake as far as it is archived."""

    def __init__(self, pool: Pool, storage: LakeStorage) -> None:
        self.topic = f"patient-{uuid4().hex[:12]}"
        self.pool, self.storage = pool, storage
        topics = record_topics(patient=self.topic, admissions="admissions", lab_results="lab_results")
        self.drained = Drained(pool, self.topic, topics=topics)

    async def drain(self, *values: bytes) -> None:
        batch = await self.drained.batch(Rec(offset, value) for offset, value in enumerate(values))
        await self.drained.load(batch)

    def archive(self, topic_id: UUID, *values: bytes) -> None:
        table = BronzeTable.open(self.storage, self.topic)
        place = {"topic": self.topic, "incarnation": table.incarnation(topic_id), "partition": 0}
        records = [place | {"offset": offset, "value": value} for offset, value in enumerate(values)]
        rows = [pa.RecordBatch.from_pylist(records, SCHEMA)]
        table.append(topic_id, rows, {0: (0, len(values))})

    async def is_topic(self, topic_id: UUID, *, incarnation: int = 1, generation: int = 1) -> None:
        """The warehouse drains the topic with this id."""
        await self.pool.execute(
            "UPDATE ingest.stream_offset SET topic_id = $2, incarnation = $3, generation = $4 WHERE topic = $1",
            self.topic,
            str(topic_id),
            incarnation,
            generation,
        )


@pytest.fixture
def records(pool: Pool, settings: Settings) -> Records:
    return Records(pool, lake_storage(settings))


async def test_a_row_of_beds_leads_to_the_workbook_whose_bytes_have_the_sha256(
    api: Client, sent: Workbooks, pool: Pool
) -> None:
    path = TWO[0]
    run = await sent.ingest(path)
    workbook = path.read_bytes()
    digest = hashlib.sha256(workbook).hexdigest()
    key = (await pool.fetchval(EDITION, digest), "RJ1", "total")
    headers = await api.bearing(READ_BEDS)
    row = await pool.fetchrow("SELECT * FROM ingest.load WHERE object_sha256 = $1", digest)
    assert await found(api, headers, "beds.occupancy", *key) == {
        "dataset": "beds.occupancy",
        "key": {"edition_id": key[0], "organisation_code": "RJ1", "sector": "total"},
        "load": {
            "id": str(row["id"]),
            "source": "beds",
            "reader_version": row["reader_version"],
            "committed_at": row["committed_at"].isoformat().replace("+00:00", "Z"),
        },
        "run": {"id": run.id, "subject": path.name},
        "object": {
            "key": f"landed/beds/{digest}",
            "content_size": len(workbook),
            "content_sha256": digest,
            "stored_compression": None,
        },
        "record": None,
    }
    answer = await content(api, headers, "beds.occupancy", *key)
    assert (answer.status_code, answer.headers["content-type"]) == (HTTPStatus.OK, "application/octet-stream")
    assert answer.content == workbook
    assert await audit(pool) == []


async def test_each_dataset_of_beds_leads_there(api: Client, sent: Workbooks, pool: Pool) -> None:
    await sent.ingest(TWO[0])
    headers = await api.bearing(READ_BEDS)
    for name, (_, dataset) in DATASETS.items():
        row = await pool.fetchrow(f"SELECT {', '.join(dataset.key)} FROM {name} LIMIT 1")
        if row is not None:
            landed = (await found(api, headers, name, *map(str, row.values())))["object"]
            assert landed["content_sha256"] == hashlib.sha256(TWO[0].read_bytes()).hexdigest(), name


async def test_a_fhir_row_leads_to_its_page_which_contains_the_resource(api: Client, pages: FhirSource) -> None:
    await pages.load(patient("eve"), observation("height", "eve", 171.5, components=[("8480-6", 120)]))
    await pages.load(patient("adam"))
    headers = await api.bearing(Scope.READ_PATIENTS)
    for dataset, key in (
        ("fhir.patient", ("eve", "here")),
        ("fhir.observation", ("height", "here")),
        ("fhir.observation_component", ("height", "here", "1")),
    ):
        landed = (await found(api, headers, dataset, *key))["object"]
        assert landed["stored_compression"] == "gzip"
        page = (await content(api, headers, dataset, *key)).content
        assert (len(page), hashlib.sha256(page).hexdigest()) == (landed["content_size"], landed["content_sha256"])
        assert key[0] in [json.loads(line)["id"] for line in page.splitlines()]
        assert b"adam" not in page


async def test_a_row_that_names_its_object_leads_to_that_one_and_not_to_its_loads(
    api: Client, pages: FhirSource, pool: Pool
) -> None:
    other = pages.landed(patient("adam"))
    await pages.load_request(pages.staged(other))
    await pages.load(patient("eve"))
    await pool.execute("UPDATE fhir.patient SET object_key = $1 WHERE id = 'eve'", other.key)
    landed = (await found(api, await api.bearing(Scope.READ_PATIENTS), "fhir.patient", "eve", "here"))["object"]
    assert landed == {
        "key": other.key,
        "content_size": other.size,
        "content_sha256": other.sha256,
        "stored_compression": "gzip",
    }


async def test_a_row_of_a_topic_leads_to_its_record_in_the_lake(api: Client, records: Records) -> None:
    values = [encoded(streams.patient(number)) for number in (1, 2, 3)]
    await records.drain(*values)
    topic_id = uuid4()
    await records.is_topic(topic_id)
    headers = await api.bearing(Scope.READ_PATIENTS)
    key = str(UUID(int=2))
    place = {"topic": records.topic, "partition": 0, "offset": 1}
    table = records.storage.location(records.topic)

    before = await found(api, headers, "records.patient", key)
    assert before["object"] is None
    assert before["record"] == place | {"lake": {"table": table, "incarnation": None, "archived": False}}
    assert before["run"] == {"id": "run", "subject": None}
    early = await content(api, headers, "records.patient", key)
    assert (early.status_code, early.json()["type"]) == (HTTPStatus.NOT_FOUND, "RecordNotInLake")
    assert "within about a minute" in early.json()["advice"]

    records.archive(topic_id, *values)
    after = await found(api, headers, "records.patient", key)
    assert after["record"] == place | {"lake": {"table": table, "incarnation": 1, "archived": True}}
    assert (await content(api, headers, "records.patient", key)).content == values[1]


async def test_after_a_topic_was_made_anew_a_row_leads_to_the_record_of_its_own_incarnation(
    api: Client, records: Records
) -> None:
    old, new = uuid4(), uuid4()
    first, second = (encoded(streams.patient(1, language=language)) for language in ("English", "Icelandic"))
    records.archive(old, first)
    records.archive(new, second)
    headers = await api.bearing(Scope.READ_PATIENTS)
    key = ("records.patient", str(UUID(int=1)))

    await records.drain(first)  # in generation 1
    await records.is_topic(new, incarnation=2, generation=2)
    assert (await found(api, headers, *key))["record"]["lake"]["incarnation"] == 1
    assert (await content(api, headers, *key)).content == first

    await records.pool.execute("UPDATE records.patient SET generation = 2")
    assert (await found(api, headers, *key))["record"]["lake"]["incarnation"] == 2
    assert (await content(api, headers, *key)).content == second

    await records.is_topic(uuid4(), incarnation=3, generation=3)  # nothing of the newest topic is in the lake yet
    assert (await content(api, headers, *key)).content == second


async def test_if_a_rewind_hides_which_topic_had_the_record_none_is_shown(api: Client, records: Records) -> None:
    old, new = uuid4(), uuid4()
    records.archive(old, encoded(streams.patient(1)))
    records.archive(new, encoded(streams.patient(2)))
    await records.drain(encoded(streams.patient(1)))
    await records.pool.execute("UPDATE records.patient SET generation = 2")
    await records.is_topic(new, incarnation=2, generation=3)  # the topic was made anew in generation 2, or in 3
    headers = await api.bearing(Scope.READ_PATIENTS)
    lake = (await found(api, headers, "records.patient", str(UUID(int=1))))["record"]["lake"]
    assert (lake["incarnation"], lake["archived"]) == (None, True)
    unclear = await content(api, headers, "records.patient", str(UUID(int=1)))
    assert (unclear.status_code, unclear.json()["type"]) == (HTTPStatus.NOT_FOUND, "RecordNotInLake")
    assert "Delta table" in unclear.json()["advice"]


async def test_the_place_of_a_record_is_known_after_the_ledger_has_forgotten_its_load(
    api: Client, records: Records, pool: Pool
) -> None:
    await records.drain(encoded(streams.patient(1)))
    await pool.execute("DELETE FROM ingest.load")
    document = await found(api, await api.bearing(Scope.READ_PATIENTS), "records.patient", str(UUID(int=1)))
    assert (document["load"]["committed_at"], document["run"]) == (None, None)
    assert (document["load"]["source"], document["record"]["offset"]) == ("records", 0)


async def test_each_dataset_needs_the_scope_of_its_source(api: Client) -> None:
    beds, patients, none = [await api.bearing(*each) for each in ((READ_BEDS,), (Scope.READ_PATIENTS,), ())]
    everything_else = await api.bearing(Scope.OPERATE, READ_BEDS)
    for path in ("/origin", "/origin/bytes"):
        for headers, dataset, scope in (
            (patients, "beds.occupancy", READ_BEDS),
            (none, "beds.occupancy", READ_BEDS),
            (beds, "fhir.patient", Scope.READ_PATIENTS),
            (everything_else, "records.patient", Scope.READ_PATIENTS),
        ):
            refused = await origin(api, headers, dataset, "x", of=path)
            assert (refused.status_code, refused.json()["type"]) == (HTTPStatus.FORBIDDEN, "Forbidden")
            assert f"'{scope}'" in refused.json()["detail"]


async def test_a_dataset_that_no_source_has_is_refused_with_the_names_of_all(
    api: Client, operator: dict[str, str]
) -> None:
    for name in ("beds.wards", "occupancy", "ingest.load", "access.token"):
        refused = await origin(api, operator, name, "1")
        assert (refused.status_code, refused.json()["type"], refused.json()["field"]) == (
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "DatasetUnknown",
            "dataset",
        )
        assert all(dataset in refused.json()["advice"] for dataset in DATASETS)


NO_KEYS = {
    ("beds.occupancy", ("RJ1",)): "key: 1 given, and beds.occupancy needs 3.",
    ("beds.occupancy", ("RJ1", "RJ1", "total")): "key: the value of edition_id is no UUID.",
    ("records.admission", (str(PATIENT), "4711x")): "key: the value of admission_id is no INTEGER.",
    ("records.admission", (str(PATIENT), str(2**31))): "key: the value of admission_id is no INTEGER.",
    ("records.patient", (str(PATIENT), "4711")): "key: 2 given, and records.patient needs 1.",
    ("records.lab_result", (str(PATIENT), "1", "x", "4711")): (
        "key: the value of lab_date_time is no TIMESTAMP WITH TIME ZONE."
    ),
    ("fhir.patient", ("4711\x00", "here")): "key: the value of id is no TEXT.",
}


@pytest.mark.parametrize(("dataset", "key"), NO_KEYS)
async def test_a_key_that_is_none_is_refused_with_its_columns_and_types_and_without_its_values(
    api: Client, operator: dict[str, str], dataset: str, key: tuple[str, ...]
) -> None:
    refused = await origin(api, operator, dataset, *key)
    problem = refused.json()
    assert (refused.status_code, problem["type"], problem["field"]) == (422, "NotAKey", "key")
    assert problem["detail"] == NO_KEYS[dataset, key]
    assert all(f"{name} (" in problem["advice"] for name in DATASETS[dataset][1].key)
    assert "4711" not in refused.text


async def test_a_row_that_is_not_there_is_not_found(api: Client, operator: dict[str, str]) -> None:
    for dataset, key in (
        ("beds.occupancy", (str(PATIENT), "RJ1", "total")),
        ("records.admission", (str(PATIENT), "1")),
        ("records.lab_result", (str(PATIENT), "1", "CBC: RDW", "2024-03-01T08:30:00.123Z")),
    ):
        missing = await origin(api, operator, dataset, *key)
        assert (missing.status_code, missing.json()["type"]) == (HTTPStatus.NOT_FOUND, "NoSuchRow")
        assert str(PATIENT) not in missing.text


async def test_each_look_at_a_patients_row_is_in_the_audit_by_pseudonyms(
    api: Client, pages: FhirSource, pool: Pool, capfd: pytest.CaptureFixture[str]
) -> None:
    await pages.load(patient("sentinel-4711"), observation("sentinel-4712", "sentinel-4711", 171.5))
    headers = await api.bearing(Scope.READ_PATIENTS)
    of_patient = {"patient": pseudonym("sentinel-4711")}
    keys = {"fhir.patient": ("sentinel-4711", "here"), "fhir.observation": ("sentinel-4712", "here")}
    rows = {name: {"dataset": name, "row": row_pseudonym(name, key)} for name, key in keys.items()}
    for dataset, key in keys.items():
        await found(api, headers, dataset, *key)
    await content(api, headers, "fhir.patient", "sentinel-4711", "here")
    await origin(api, headers, "fhir.patient", "sentinel-4711", "elsewhere")
    kept = await audit(pool)
    assert kept == [
        ("/origin", of_patient | rows["fhir.patient"]),
        ("/origin", of_patient | rows["fhir.observation"]),
        ("/origin/bytes", of_patient | rows["fhir.patient"]),
        (
            "/origin",
            of_patient | rows["fhir.patient"] | {"row": row_pseudonym("fhir.patient", ("sentinel-4711", "elsewhere"))},
        ),
    ]
    logged = capfd.readouterr()
    assert "sentinel" not in json.dumps(kept) + logged.out + logged.err


async def test_nothing_is_answered_that_the_audit_could_not_hold(api: Client, pages: FhirSource, pool: Pool) -> None:
    await pages.load(patient("eve"))
    await pool.execute("ALTER TABLE access.audit ADD CHECK (action <> 'read_patients')")
    answer = await content(api, await api.bearing(Scope.READ_PATIENTS), "fhir.patient", "eve", "here")
    assert answer.status_code == HTTPStatus.INTERNAL_SERVER_ERROR
    assert "Everyperson" not in answer.text


async def test_an_object_that_was_removed_from_the_store_is_not_found(
    api: Client, pages: FhirSource, store: ObjectStore
) -> None:
    landed = pages.landed(patient("only-here"))
    await pages.load_request(pages.staged(landed))
    store.remove([landed.key])
    answer = await content(api, await api.bearing(Scope.READ_PATIENTS), "fhir.patient", "only-here", "here")
    assert (answer.status_code, answer.json()["type"]) == (HTTPStatus.NOT_FOUND, "ObjectMissing")
