"""Posted patients, and what others have put on their topic."""

import asyncio
import json
from uuid import UUID

from library.streams.producer import Outgoing, Producer
from service.resources import kafka_connection
from tests.sources.environment import LOOK_EVERY, PATIENCE, Sent, SourceEnvironment, refused
from tests.sources.supply import Quarantined, Supply
from tests.support.records import patient

IDS = [UUID(int=0xDEADBEEF_5150 + number) for number in range(2)]
LANGUAGE, RACE, BORN = "Zwetschgisch", "of Sentinelville", "1931-02-28"
PATIENTS = [patient(each, language=LANGUAGE, race=RACE, date_of_birth=f"{BORN} 01:02:03.004") for each in IDS]
BAD = patient(UUID(int=0xDEADBEEF_5160), language=LANGUAGE, date_of_birth=f"{BORN}, about noon")


async def _post(environment: SourceEnvironment, content: bytes) -> Sent:
    answer = await environment.http.post("/api_patient", content=content)
    if answer.status_code != 202:
        return refused(answer)
    places = answer.json()["items"]
    return await _drained(environment, max(each["offset"] for each in places) + 1)


async def _put_on_the_topic(environment: SourceEnvironment, content: bytes) -> Sent:
    """One record a line, past the API: other producers check nothing."""
    records = [Outgoing(line) for line in content.splitlines()]
    async with Producer(kafka_connection(environment.settings)) as producer:
        delivered = await producer.send(environment.settings.kafka.patient_topic, records)
    return await _drained(environment, max(each.offset for each in delivered) + 1)


async def _rewind(environment: SourceEnvironment, _: bytes) -> Sent:
    topic = environment.settings.kafka.patient_topic
    (before,) = await _partitions(environment)
    answer = await environment.http.post(f"/streams/{topic}/rewind", json={"to": "earliest"})
    assert answer.json()["items"][0]["generation"] == before["generation"] + 1, answer.text
    return await _drained(environment, before["next_offset"])


async def _drained(environment: SourceEnvironment, until: int) -> Sent:
    async with asyncio.timeout(PATIENCE):
        while not [each for each in await _partitions(environment) if each["next_offset"] >= until]:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_EVERY)
    return Sent("loaded")


async def _partitions(environment: SourceEnvironment) -> list[dict[str, int]]:
    items = (await environment.http.get("/streams")).json()["items"]
    return [each for each in items if each["topic"] == environment.settings.kafka.patient_topic]


SUPPLY = Supply(
    send=_post,
    good=json.dumps(PATIENTS).encode(),
    rows={"records.patient": 2},
    bad="\n".join(json.dumps(each) for each in (PATIENTS[0], BAD, PATIENTS[1])).encode(),
    bad_row=Quarantined({"records.patient": 2}),
    another_kind=f"patient_id,language\n{IDS[0]},{LANGUAGE}\n".encode(),
    another_kind_is="RecordsRefused",
    sentinels=frozenset((*map(str, IDS), BAD["patient_id"], LANGUAGE, RACE, BORN)),
    reload=_rewind,
    streamed=True,
    send_bad=_put_on_the_topic,
)
