"""The bootstrap: makes everything that must exist. It can run twice, and in two processes at once."""

import asyncio
import os
from contextlib import closing
from datetime import timedelta
from urllib.parse import unquote, urlsplit

import asyncpg
from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, RegisterNamespaceRequest, UpdateNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from config.settings import Settings
from library.access.audit import LOCAL, Audit
from library.access.encryption import KeyRing
from library.access.tokens import Tokens
from library.access.users import enter_apis
from library.contracts.errors import ConfigurationError, WardflowError
from library.contracts.scopes import Scope
from library.contracts.streams import TopicMissing
from library.streams.cluster import Cluster, NewTopicSpec
from library.warehouse import schema
from library.warehouse.failures import DISCONNECTED
from library.warehouse.revisions import is_known
from service.addresses import kafka_server, postgres_server, store_server, temporal_server
from service.posts import posting_apis
from service.resources import (
    WarehouseUnavailable,
    kafka_connection,
    object_store,
    source_feeds,
    warehouse,
    warehouse_dsn,
)
from service.sources import SOURCES
from service.temporal import connect, request_error
from service.waiting import resolved, waiting_for
from service.worker.wiring import SCHEDULES
from workflows.runs import SEARCH_ATTRIBUTES

SCHEMAS = schema.Schemas(tuple(source.schema for source in SOURCES))
"""The schemas of the warehouse."""
_BY_THE_BROKER = {"message.timestamp.type": "LogAppendTime"}
"""The broker's clock orders records, because the clocks of producers may be wrong."""


async def migrate(settings: Settings) -> None:
    """Create or update what must exist in every server; see the help of `wardflow migrate`."""
    if settings.encryption.enabled:
        if settings.environment == "production" and settings.encryption.key_ring is None:
            raise ConfigurationError(
                "In production the key ring has to be named.",
                advice="Set WARDFLOW_ENCRYPTION__KEY_RING to a file that all processes share and that is backed up.",
            )
        KeyRing.read_or_make(settings.key_ring_file)
    await asyncio.gather(
        _migrate_warehouse(settings),
        _migrate_store(settings),
        _migrate_temporal(settings),
        _migrate_kafka(settings),
    )


async def migrate_embedded(settings: Settings) -> None:
    """`migrate`, and the token of this machine's administrator in the stack's folder, for scripts."""
    await migrate(settings)
    file = settings.stack.folder / "token"
    async with warehouse(settings, size=1) as pool:
        tokens = Tokens(pool)
        if file.exists() and await tokens.verify(file.read_text().strip()):
            return
        token_id, token = await tokens.create("administrator of this machine", [Scope.ADMIN])
        await Audit(pool).record(LOCAL, "create_token", str(token_id), scopes=[Scope.ADMIN])
    new = file.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(token + "\n")
    new.replace(file)


async def check(settings: Settings) -> list[str]:
    """What `migrate` would create or change; empty if nothing."""
    problems = []
    try:
        present, needed = await schema.revisions(warehouse_dsn(settings))
        # An older program works with a newer schema, whose revision it does not have.
        if present is None or (present != needed and is_known(present)):
            problems.append(
                f"The warehouse's schema is at revision {present}, and {needed} is needed: run `wardflow migrate`."
            )
    except (WardflowError, asyncpg.PostgresError, *DISCONNECTED) as error:
        problems.append(f"The warehouse's schema cannot be looked at: {error}")
    try:
        with closing(object_store(settings)) as store:
            if not await asyncio.to_thread(store.bucket_exists):
                problems.append(f"The bucket {settings.s3.bucket} does not exist: run `wardflow migrate`.")
    except WardflowError as error:
        problems.append(error.message)
    return problems + await _check_kafka(settings) + await _check_schedules(settings)


async def _migrate_warehouse(settings: Settings) -> None:
    dsn, server = warehouse_dsn(settings), postgres_server(settings)
    await resolved(server)
    try:
        with waiting_for(server, "the schema is brought up to date"):
            await schema.upgrade(dsn, SCHEMAS)
            if settings.postgres.read_only_dsn is not None:
                reader = urlsplit(settings.postgres.read_only_dsn.get_secret_value())
                await schema.grant_reader(dsn, SCHEMAS, unquote(reader.username or ""), unquote(reader.password or ""))
            async with warehouse(settings, size=1) as pool:
                await enter_apis(pool, {api.name: api.path for api in posting_apis()})
    except (asyncpg.PostgresError, OSError) as error:
        raise WarehouseUnavailable(f"Postgres does not answer, or refuses ({type(error).__name__}).") from error


async def _migrate_store(settings: Settings) -> None:
    store = object_store(settings)
    await resolved(store_server(settings))
    with waiting_for(store_server(settings), "the bucket is looked for"):
        await asyncio.to_thread(store.make_bucket)
    store.close()


async def _migrate_kafka(settings: Settings) -> None:
    kafka = settings.kafka
    if kafka.enabled:
        # Without min.insync.replicas, acks=all can mean a single replica.
        options = _BY_THE_BROKER | {"min.insync.replicas": str(kafka.replication // 2 + 1)}
        topics = [NewTopicSpec(name, kafka.partitions, kafka.replication, options) for name in _topics(settings)]
        connection, server = kafka_connection(settings), kafka_server(settings)
        await resolved(server)
        with waiting_for(server, "the topics are looked for"):
            async with Cluster(connection) as cluster:
                await cluster.make_topics(topics)


def _topics(settings: Settings) -> list[str]:
    return [feed.topic for feed in source_feeds(settings)]


async def _check_kafka(settings: Settings) -> list[str]:
    if not settings.kafka.enabled:
        return []
    problems = []
    try:
        async with Cluster(kafka_connection(settings)) as cluster:
            for name in _topics(settings):
                try:
                    await cluster.leaders(name)
                except TopicMissing:
                    problems.append(f"The topic {name} does not exist: run `wardflow migrate`.")
    except WardflowError as error:
        problems.append(error.message)
    return problems


async def _check_schedules(settings: Settings) -> list[str]:
    problems = []
    try:
        client = await connect(settings)
        for schedule in (each for each in SCHEDULES if each.wanted(settings)):
            try:
                await client.get_schedule_handle(schedule.id(settings)).describe()
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise request_error(error) from error
                problems.append(f"The schedule '{schedule.name}' is missing: run `wardflow migrate`.")
    except WardflowError as error:
        problems.append(error.message)
    return problems


async def _migrate_temporal(settings: Settings) -> None:
    client = await connect(settings)
    with waiting_for(temporal_server(settings), "the namespace and the schedules are looked for"):
        await _make_temporal(client, settings)


async def _make_temporal(client: Client, settings: Settings) -> None:
    await _make_namespace(client, settings)
    await _register_search_attributes(client)
    for schedule in SCHEDULES:
        if schedule.wanted(settings):
            await schedule.make(client, settings)


async def _make_namespace(client: Client, settings: Settings) -> None:
    retention = Duration()
    retention.FromTimedelta(timedelta(days=settings.temporal.retention_days))
    try:
        found = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=client.namespace))
        if found.config.workflow_execution_retention_ttl != retention:
            config = NamespaceConfig(workflow_execution_retention_ttl=retention)
            await client.workflow_service.update_namespace(
                UpdateNamespaceRequest(namespace=client.namespace, config=config)
            )
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        try:
            await client.workflow_service.register_namespace(
                RegisterNamespaceRequest(namespace=client.namespace, workflow_execution_retention_period=retention)
            )
        except RPCError as race:
            if race.status is not RPCStatusCode.ALREADY_EXISTS:
                raise


async def _register_search_attributes(client: Client) -> None:
    found = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    missing = {
        key.name: IndexedValueType.ValueType(key.indexed_value_type)
        for key in SEARCH_ATTRIBUTES
        if key.name not in found.custom_attributes
    }
    if missing:
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=client.namespace, search_attributes=missing)
        )
