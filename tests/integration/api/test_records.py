"""Records by API: what is accepted is on Kafka before the caller hears so; what is refused leaves no trace there."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from config.settings import Settings
from library.contracts.scopes import Scope
from library.sources.records.apis import Api
from library.streams.reader import KafkaRecord
from library.warehouse.pool import Pool
from tests.support.kafka import Kafka
from tests.support.records import MAKERS, Clinic, admission, clinic, lab_result, patient

PARTITIONS = 3


@pytest_asyncio.fixture
async def topics(kafka: Kafka) -> dict[Api, str]:
    return {api: await kafka.make_topic(str(api), PARTITIONS) for api in Api}


@pytest.fixture
def streaming(settings: Settings, kafka: Kafka) -> Settings:
    return settings.model_copy(update={"kafka": kafka.settings})


@pytest_asyncio.fixture
async def api(streaming: Settings, pool: Pool, topics: dict[Api, str]) -> AsyncIterator[Clinic]:
    assert topics
    async with clinic(streaming, pool) as made:
        yield made


@pytest_asyncio.fixture
async def headers(api: Clinic) -> dict[str, str]:
    return await api.user("clinic", *Api)


async def stored(kafka: Kafka, topic: str) -> list[KafkaRecord]:
    return await kafka.read_all(topic, dict.fromkeys(range(PARTITIONS), 0))


@pytest.mark.parametrize("which", list(Api))
async def test_a_record_is_on_kafka_where_the_answer_says(
    which: Api, api: Clinic, headers: dict[str, str], kafka: Kafka, topics: dict[Api, str]
) -> None:
    record = MAKERS[which]()
    answer = await api.post(which, record, headers)
    assert answer.status_code == 202, answer.text
    (place,) = answer.json()["items"]
    (found,) = await stored(kafka, topics[which])
    assert place == {"topic": topics[which], "partition": found.partition, "offset": found.offset}
    assert json.loads(found.value or b"") == record
    assert found.key == record["patient_id"].encode()


async def test_a_list_is_answered_in_its_order_and_keeps_each_patients_own(
    api: Clinic, headers: dict[str, str], kafka: Kafka, topics: dict[Api, str]
) -> None:
    someone = uuid4()
    records = [lab_result(someone if number % 2 else None, lab_value=number) for number in range(1_000)]
    answer = await api.post(Api.LAB_RESULTS, records, headers)
    assert answer.status_code == 202
    found = {
        (each.partition, each.offset): json.loads(each.value or b"")
        for each in await stored(kafka, topics[Api.LAB_RESULTS])
    }
    places = [(each["partition"], each["offset"]) for each in answer.json()["items"]]
    assert [found.pop(place) for place in places] == records
    assert not found
    of_someone = places[1::2]
    assert of_someone == sorted(of_someone)


async def test_the_seeds_spelling_is_taken_too(api: Clinic, headers: dict[str, str]) -> None:
    record = {
        "PatientID": str(uuid4()),
        "AdmissionID": 1,
        "AdmissionStartDate": "3/21/2004",
        "AdmissionEndDate": "3/25/2004",
        "PrimaryDiagnosisCode": "J45.909",
        "PrimaryDiagnosisDescription": "Asthma",
    }
    assert (await api.post(Api.ADMISSIONS, record, headers)).status_code == 202


async def test_one_bad_record_refuses_the_request_and_every_bad_field_is_named(
    api: Clinic, headers: dict[str, str], kafka: Kafka, topics: dict[Api, str]
) -> None:
    bad = admission(admission_id="one", admission_start_date="2/30/2004", surplus=1)
    del bad["primary_diagnosis_code"]
    answer = await api.post(Api.ADMISSIONS, [admission(), bad, admission(), 17], headers)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert {(each["record"], each["field"]) for each in problem["errors"]} == {
        (2, "admission_id"),
        (2, "admission_start_date"),
        (2, "primary_diagnosis_code"),
        (2, "surplus"),
        (4, None),
    }
    assert all(each["detail"] for each in problem["errors"])
    assert "one" not in json.dumps([each["detail"] for each in problem["errors"]])
    assert await stored(kafka, topics[Api.ADMISSIONS]) == []


BODIES: dict[str, tuple[bytes, int]] = {
    "nothing": (b"", 422),
    "blanks": (b" \n ", 422),
    "no JSON": (b"patient", 422),
    "an empty list": (b"[]", 422),
    "a list cut off": (b'[{"a": 1}, ', 422),
    "a text": (b'"{}"', 422),
    "null": (b"null", 422),
    "NUL": (b'{"patient_id": "\\u0000"}', 422),
    "no UTF-8": (b'{"patient_id": "\xff"}', 422),
    "nested deeply": (b"[" * 100_000 + b"]" * 100_000, 422),
    "nested deeply in a record": (b'{"gender":' + b"[" * 100_000 + b"]" * 100_000 + b"}", 422),
    "a name twice": (json.dumps(patient())[:-1].encode() + b', "gender": "x"}', 422),
    "a number beyond double": (json.dumps(patient())[:-5].encode() + b"1e999}", 422),
    "too large for a record": (json.dumps(patient(race="x" * 70_000)).encode(), 422),
    "too many records": (json.dumps([patient()] * 1_001).encode(), 422),
    "ten megabytes": (b"[" + b" " * 10_000_000 + b"]", 413),
}


async def test_a_body_that_holds_no_good_record_is_refused_and_the_next_one_is_taken(
    api: Clinic, headers: dict[str, str], kafka: Kafka, topics: dict[Api, str]
) -> None:
    for accepted, (named, (body, status)) in enumerate(BODIES.items(), start=1):
        answer = await api.http.post("/api_patient", content=body, headers=headers)
        assert answer.status_code == status, (named, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        assert (await api.post(Api.PATIENT, patient(), headers)).status_code == 202
        assert len(await stored(kafka, topics[Api.PATIENT])) == accepted, named


async def test_a_repeat_with_its_key_is_answered_the_same_and_sent_once(
    api: Clinic, headers: dict[str, str], kafka: Kafka, topics: dict[Api, str]
) -> None:
    record, keyed = patient(), headers | {"Idempotency-Key": "one"}
    first, again = [await api.post(Api.PATIENT, record, keyed) for _ in range(2)]
    assert (first.status_code, again.status_code, again.json()) == (202, 202, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    assert len(await stored(kafka, topics[Api.PATIENT])) == 1
    assert (await api.post(Api.PATIENT, patient(), keyed)).status_code == 422
    assert (await api.post(Api.PATIENT, patient(), {"Idempotency-Key": "one"})).status_code == 401


async def test_a_refused_request_leaves_its_key_free(api: Clinic, headers: dict[str, str]) -> None:
    keyed = headers | {"Idempotency-Key": "one"}
    assert (await api.post(Api.PATIENT, patient(gender=1), keyed)).status_code == 422
    assert (await api.post(Api.PATIENT, patient(), keyed)).status_code == 202


async def test_over_the_rate_a_user_has_to_wait_and_others_do_not(
    streaming: Settings, pool: Pool, kafka: Kafka, topics: dict[Api, str]
) -> None:
    async with clinic(streaming, pool, per_second=100, burst=1_000) as api:
        fast, other = await api.user("fast", *Api), await api.user("other", *Api)
        assert (await api.post(Api.PATIENT, [patient()] * 900, fast)).status_code == 202
        answer = await api.post(Api.PATIENT, [patient()] * 900, fast)
        assert answer.status_code == 429
        assert 1 <= int(answer.headers["retry-after"]) <= 8
        assert answer.json()["type"] == "TooFast"
        assert len(await stored(kafka, topics[Api.PATIENT])) == 900
        assert (await api.post(Api.PATIENT, [patient()] * 900, other)).status_code == 202
        assert [each[1:] for each in await api.refusals()] == [("POST /api_patient", 429)]


async def test_while_kafka_is_away_nothing_is_accepted(settings: Settings, pool: Pool, kafka: Kafka) -> None:
    away = kafka.settings.model_copy(update={"bootstrap_servers": "127.0.0.1:1"})
    async with clinic(settings.model_copy(update={"kafka": away}), pool, deliver_within=2) as api:
        answer = await api.post(Api.PATIENT, patient(), await api.user("clinic", *Api))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert answer.json()["type"] == "OutcomeUnknown"


async def test_more_records_than_a_process_keeps_are_turned_away_unsent(
    settings: Settings, pool: Pool, kafka: Kafka
) -> None:
    away = kafka.settings.model_copy(update={"bootstrap_servers": "127.0.0.1:1"})
    async with clinic(settings.model_copy(update={"kafka": away}), pool, deliver_within=2, under_way=1_000) as api:
        headers = await api.user("clinic", *Api)
        posts = (api.post(Api.PATIENT, [patient()] * 600, headers) for _ in range(3))
        kinds = sorted([answer.json()["type"] for answer in await asyncio.gather(*posts)])
        assert kinds == ["OutcomeUnknown", "TooManyUnderWay", "TooManyUnderWay"]


async def test_the_document_says_what_a_record_is_and_who_may_post_it(api: Clinic) -> None:
    document: dict[str, Any] = (await api.http.get("/openapi.json")).json()
    for which in Api:
        operation = document["paths"][f"/api_{which}"]["post"]
        assert operation["x-scope"] == f"post:{which}"
        assert operation["security"] == [{"HTTPBearer": []}, {"HTTPBasic": []}]
        one, some = operation["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
        assert set(one["required"]) == set(MAKERS[which]())
        assert some["maxItems"] == 1_000
        assert {"202", "401", "403", "409", "413", "422", "429", "503"} <= set(operation["responses"])


async def test_who_may_do_everything_may_post(api: Clinic) -> None:
    assert (await api.post(Api.PATIENT, patient(), await api.bearing(Scope.ADMIN))).status_code == 202
