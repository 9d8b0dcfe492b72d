"""`wardflow simulate records`: clinics are played against the real API, drain and archive, and looked up."""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID, uuid4

import httpx
import pytest
import pytest_asyncio
from temporalio.service import RPCError

from config.settings import Settings
from library.objects.store import ObjectStore
from library.reading.records import RecordRefused
from library.sources.records.apis import KINDS, Api
from library.warehouse.pool import Pool
from service.resources import lake_storage
from service.sources.records.simulator.made_up import MAKERS, broken
from service.sources.records.simulator.records import (
    Clinics,
    PostKind,
    PostOutcome,
    SimulationPlan,
    SimulationResult,
    play,
)
from service.sources.records.simulator.verifying import in_lake, in_warehouse, verify
from service.temporal import connect
from tests.support.access import all_users
from tests.support.kafka import Kafka
from tests.support.records import clinic
from tests.workflows.test_drains import Drains

PARTITIONS = 2


@pytest_asyncio.fixture
async def drains(settings: Settings, pool: Pool, store: ObjectStore, kafka: Kafka) -> AsyncIterator[Drains]:
    for name in ("patient", "admissions", "lab_results"):
        await kafka.make_topic(name, partitions=PARTITIONS)
    settings = settings.model_copy(
        update={
            "kafka": kafka.settings,
            "streams": settings.streams.model_copy(update={"seconds": 1.0, "wait": 0.2}),
            "lake": settings.lake.model_copy(update={"append_seconds": 2.0}),
        }
    )
    made = Drains(settings, pool, store, kafka, await connect(settings))
    yield made
    prefix = settings.worker.queue_prefix
    for topic in kafka.settings.topics:
        names = [f"drain-{topic}-{partition}" for partition in range(PARTITIONS)]
        for name in (*names, f"archive-{topic}"):
            with suppress(RPCError):  # never started, or ended
                await made.client.get_workflow_handle(prefix + name).terminate()


async def test_what_was_accepted_is_found_and_nothing_that_was_refused(drains: Drains) -> None:
    began = datetime.now(UTC) - timedelta(minutes=5)
    topics = dict(zip(Api, drains.kafka.settings.topics, strict=True))
    clinics = Clinics(drains.pool)
    async with clinic(drains.settings, drains.pool) as api, drains.working():
        await drains.keep()
        await clinics.open(3)
        played = await play(SimulationPlan(rate=20, users=3, bad=0.5, duration=5), api.http, clinics)
        await clinics.close()
        warehouse = await verify("warehouse", played, in_warehouse(drains.pool), within=60, once=True)
        storage = lake_storage(drains.settings)
        lake = await verify("lake", played, in_lake(storage, topics, began), within=60, once=False)
    assert played.surprises == []
    assert {kind for kind, *_ in played.counts} == set(PostKind)
    accepted = sum(count for (_, outcome, _), count in played.counts.items() if outcome is PostOutcome.ACCEPTED)
    assert accepted > 20
    for verdict in (warehouse, lake):
        assert verdict.holds, verdict
        assert verdict.found == accepted
    assert all(user["disabled_at"] for user in await all_users(drains.pool))


async def test_lost_connections_and_servers_faults_are_unknown(pool: Pool) -> None:
    statuses = iter([202, 503, 500, None, 422, 429] * 10)

    def answer(_: httpx.Request) -> httpx.Response:
        status = next(statuses)
        if status is None:
            raise httpx.ReadTimeout("too late")
        return httpx.Response(status)

    clinics = Clinics(pool)
    await clinics.open(1)
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://api") as http:
        played = await play(SimulationPlan(rate=1_000, users=1, bad=0, duration=0.06), http, clinics)
    heard = {status: outcome for _, outcome, status in played.counts}
    assert heard == {
        202: PostOutcome.ACCEPTED,
        503: PostOutcome.UNKNOWN,
        500: PostOutcome.UNKNOWN,
        0: PostOutcome.UNKNOWN,
        422: PostOutcome.REFUSED,
        429: PostOutcome.REFUSED,
    }
    assert set(played.surprises) == {"valid: 422"}, "a valid record may be late, and may not be refused as broken"


@pytest.mark.parametrize(
    ("heard", "there", "fault"),
    [
        (PostOutcome.ACCEPTED, 1, ""),
        (PostOutcome.ACCEPTED, 0, "missing"),
        (PostOutcome.ACCEPTED, 2, "doubled"),
        (PostOutcome.REFUSED, 0, ""),
        (PostOutcome.REFUSED, 1, "wrong"),
        (PostOutcome.UNKNOWN, 0, ""),
        (PostOutcome.UNKNOWN, 1, ""),
        (PostOutcome.UNKNOWN, 2, "doubled"),
    ],
)
async def test_a_record_that_is_there_otherwise_than_was_said_is_told(
    heard: PostOutcome, there: int, fault: str
) -> None:
    patient = uuid4()

    async def find(api: Api, patients: Collection[UUID]) -> Mapping[UUID, int]:
        assert (patients == {patient}) is (api is Api.PATIENT)
        return {patient: there} if there and patients else {}

    verdict = await verify("here", SimulationResult({(Api.PATIENT, patient): heard}), find, within=0, once=True)
    faults = {name for name in ("missing", "wrong", "doubled") if getattr(verdict, name)}
    assert (faults, verdict.holds) == ({fault} - {""}, not fault)


@pytest.mark.parametrize("api", list(Api))
def test_what_is_made_up_is_valid_and_what_is_broken_is_not(api: Api) -> None:
    chance = Random(1)  # noqa: S311 - not for secrets
    for _ in range(200):
        record = MAKERS[api](uuid4(), chance)
        KINDS[api].read(httpx.Request("POST", "http://x", json=record).content)
        spoilt = httpx.Request("POST", "http://x", json=broken(record, chance)).content
        with pytest.raises(RecordRefused):
            KINDS[api].read(spoilt)
