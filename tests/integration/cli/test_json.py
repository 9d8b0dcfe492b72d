"""`--json` of commands that make or change something: the created object, or the new positions."""

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from uuid import UUID

import pytest_asyncio
from temporalio.service import RPCError

from config.settings import Settings
from library.access.tokens import Tokens
from library.access.users import Users
from library.contracts.lake import Archived
from library.contracts.scopes import Scope
from library.sources.beds.names import READ_BEDS
from library.warehouse.archives import Archives
from library.warehouse.pool import Pool
from service.temporal import connect
from tests.support.access import all_tokens
from tests.support.commands import Commands
from tests.support.kafka import Kafka


async def test_a_token_that_was_made_can_be_used_by_its_maker(commands: Commands, pool: Pool) -> None:
    made = await commands.answer("access", "token", "create", "[dashboard]", "--scope", "read:beds", "--days", "1")
    found = await Tokens(pool).verify(made["token"])
    assert found is not None
    assert (found.token_id, found.may(READ_BEDS), found.may(Scope.OPERATE)) == (UUID(made["id"]), True, False)
    (listed,) = await all_tokens(pool)
    assert set(made) == {"id", "token"}
    assert listed["expires_at"] is not None


async def test_a_user_and_a_token_of_theirs_too(commands: Commands, pool: Pool) -> None:
    user = await commands.answer("access", "user", "add", "clinic")
    assert user == {"id": str(await Users(pool).id_of("clinic")), "name": "clinic"}
    made = await commands.answer("access", "user", "token", "clinic")
    found = await Tokens(pool).verify(made["token"])
    assert found is not None
    assert (str(found.token_id), str(found.id)) == (made["id"], user["id"])


@pytest_asyncio.fixture
async def topic(settings: Settings, kafka: Kafka) -> AsyncIterator[str]:
    made = await kafka.make_topic("patient", partitions=2)
    yield made
    client = await connect(settings)
    for partition in range(2):
        with suppress(RPCError):  # not started
            await client.get_workflow_handle(f"{settings.worker.queue_prefix}drain-{made}-{partition}").terminate()


async def test_whoever_steers_a_stream_is_told_where_it_goes_on(
    commands_with: Callable[..., Commands], kafka: Kafka, topic: str
) -> None:
    await kafka.send(topic, b"{}", b"{}", partition=1)
    commands = commands_with(
        KAFKA__BOOTSTRAP_SERVERS=kafka.settings.bootstrap_servers or "", KAFKA__PATIENT_TOPIC=topic
    )
    paused = await commands.answer("streams", "pause", topic)
    assert [(each["topic"], each["partition"], each["paused"]) for each in paused] == [
        (topic, 0, True),
        (topic, 1, True),
    ]
    (rewound,) = await commands.answer("streams", "rewind", topic, "--to", "latest", "--partition", "1")
    assert (rewound["partition"], rewound["next_offset"], rewound["generation"]) == (1, 2, paused[1]["generation"] + 1)
    resumed = await commands.answer("streams", "resume", topic)
    assert [each["paused"] for each in resumed] == [False, False]


async def test_archives_and_refused_records_are_listed_by_their_places(
    commands_with: Callable[..., Commands], kafka: Kafka, topic: str, pool: Pool
) -> None:
    await kafka.send(topic, b"{}", b"{}", b"{}", partition=1)
    commands = commands_with(
        KAFKA__BOOTSTRAP_SERVERS=kafka.settings.bootstrap_servers or "", KAFKA__PATIENT_TOPIC=topic
    )
    await Archives(pool).enter(
        Archived(
            topic=topic,
            incarnation=1,
            records=1,
            size=2,
            appends=1,
            positions={0: 0, 1: 2},
            gaps=(),
            stopped={1: "lost"},
        )
    )
    archives = await commands.answer("streams", "archives")
    assert [
        (each["partition"], each["next_offset"], each["lag"], each["state"], each["reason"]) for each in archives
    ] == [
        (0, 0, 0, "archiving", None),
        (1, 2, 1, "stopped", "lost"),
    ]
    await pool.execute(
        'INSERT INTO ingest.rejection (load_id, source, dataset, topic, incarnation, partition, "offset", '
        "reasons) SELECT gen_random_uuid(), 'records', 'records.patient', $1, 1, 1, number, '{bad}' "
        "FROM generate_series(0, 2) number",
        topic,
    )
    (found,) = await commands.answer("quarantine", "list", "--topic", topic, "--partition", "1", "--offset", "2")
    assert (found["topic"], found["partition"], found["offset"]) == (topic, 1, 2)
    assert await commands.answer("quarantine", "list", "--topic", topic, "--partition", "0") == []
