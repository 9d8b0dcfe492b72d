"""The migrations make exactly what the models declare, also when several processes run them."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from pydantic import SecretStr
from sqlalchemy import Connection

from config.settings import Settings
from library.sources.fhir.names import search_name
from library.warehouse import schema
from library.warehouse.comments import enter_comments
from library.warehouse.server import PostgresTooOld
from service.bootstrap import SCHEMAS, check
from service.resources import warehouse_dsn
from tests.faults.harness import until_async
from tests.support.databases import drop_database, named


@pytest_asyncio.fixture
async def empty_database(servers: Settings) -> AsyncIterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    connection = await asyncpg.connect(warehouse_dsn(servers))
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    yield named(warehouse_dsn(servers), name)
    await drop_database(warehouse_dsn(servers), name)


async def test_processes_that_migrate_at_once_make_one_schema(empty_database: str) -> None:
    assert (await schema.revisions(empty_database))[0] is None
    reached = await asyncio.gather(*(schema.upgrade(empty_database, SCHEMAS) for _ in range(4)))
    present, needed = await schema.revisions(empty_database)
    assert {present, *reached} == {needed}
    assert await schema.upgrade(empty_database, SCHEMAS) == needed


async def test_a_server_that_is_too_old_is_refused_before_anything_is_made(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("library.warehouse.server.OLDEST", 1_000)  # no older server is here
    with pytest.raises(PostgresTooOld, match="is too old: Wardflow needs version 1000 or newer"):
        await schema.upgrade(empty_database, SCHEMAS)
    connection = await asyncpg.connect(empty_database)
    assert not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'ingest')")
    await connection.close()


async def test_stored_patients_are_found_by_their_zip_codes_and_names_after_the_migration(empty_database: str) -> None:
    await schema.upgrade(empty_database, SCHEMAS)
    await schema.connected(empty_database, lambda one: command.downgrade(schema.configuration(one, SCHEMAS), "0011"))
    connection = await asyncpg.connect(empty_database)
    for identity, country, codes in (
        ("a", None, ["57778", "57778-0001"]),
        ("b", "USA", [" 577780001 "]),
        ("c", "SA", ["57778-0001"]),
        ("d", "", ["K1A 0B1", " "]),
        ("e", None, []),
    ):
        await connection.execute(
            "INSERT INTO fhir.patient (load_id, reader_version, id, server, last_updated, version_number, version_id, "
            "given, search_names, address_lines, postal_codes, country, object_key) "
            "VALUES "
            "(gen_random_uuid(), 2, $1, 'hapi', now(), 1, '1', '{}', '{family_łuþæsz,given_øđ}', '{}', $2, $3, 'o')",
            identity,
            codes,
            country,
        )
    await schema.upgrade(empty_database, SCHEMAS)
    rows = await connection.fetch("SELECT id, compared_postal_codes AS codes FROM fhir.patient ORDER BY id")
    assert [tuple(row) for row in rows] == [
        ("a", ["57778"]), ("b", ["57778"]), ("c", ["57778-0001"]), ("d", ["K1A 0B1"]), ("e", []),
    ]  # fmt: skip
    names = await connection.fetchval("SELECT DISTINCT search_names FROM fhir.patient")
    assert names == [search_name("family", "Łuþæsz"), search_name("given", "Øđ")]
    await connection.close()


async def test_a_migration_that_waits_for_a_load_keeps_no_other_waiting(empty_database: str) -> None:
    await schema.upgrade(empty_database, SCHEMAS)
    await schema.connected(empty_database, lambda one: command.downgrade(schema.configuration(one, SCHEMAS), "0010"))
    load, another = [await asyncpg.connect(empty_database) for _ in range(2)]
    in_use = "LOCK TABLE fhir.observation IN ROW EXCLUSIVE MODE"
    begun = load.transaction()
    await begun.start()
    await load.execute(in_use)
    migration = asyncio.create_task(schema.upgrade(empty_database, SCHEMAS))

    async def waits() -> bool:
        return bool(await another.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation IS NOT NULL"))

    await until_async(waits)
    async with asyncio.timeout(20), another.transaction():
        await another.execute(in_use)
    assert not migration.done()
    await begun.commit()
    assert await migration == (await schema.revisions(empty_database))[1]
    for connection in (load, another):
        await connection.close()


@pytest.mark.parametrize("revision", ["0000", "99991231T235959"])
async def test_a_revision_that_this_program_does_not_have_is_newer_and_stays(
    empty_database: str, settings: Settings, revision: str
) -> None:
    await schema.upgrade(empty_database, SCHEMAS)
    connection = await asyncpg.connect(empty_database)
    await connection.execute("UPDATE ingest.alembic_version SET version_num = $1", revision)
    await connection.close()
    assert await schema.upgrade(empty_database, SCHEMAS) == revision
    assert await problems_of_the_schema(settings, empty_database) == []


async def test_a_revision_that_this_program_has_and_that_is_not_the_newest_needs_migrate(
    empty_database: str, settings: Settings
) -> None:
    await schema.upgrade(empty_database, SCHEMAS)
    await schema.connected(empty_database, lambda one: command.downgrade(schema.configuration(one, SCHEMAS), "0010"))
    (problem,) = await problems_of_the_schema(settings, empty_database)
    assert "at revision 0010" in problem
    assert "wardflow migrate" in problem


async def problems_of_the_schema(settings: Settings, dsn: str) -> list[str]:
    """What `wardflow doctor` says about the schema of this database."""
    postgres = settings.postgres.model_copy(update={"dsn": SecretStr(dsn)})
    return [each for each in await check(settings.model_copy(update={"postgres": postgres})) if "schema" in each]


async def test_migrations_and_models_agree(empty_database: str) -> None:
    await schema.upgrade(empty_database, SCHEMAS)

    def differences(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "include_name": SCHEMAS.compares,
                "autogenerate_plugins": schema.COMPARED,
            },
        )
        return list(compare_metadata(context, schema.METADATA))

    found = await schema.connected(empty_database, differences)
    assert [each for each in found if "made_up" not in str(each)] == []


WITHOUT_A_COMMENT = """
SELECT n.nspname || '.' || c.relname || coalesce('.' || a.attname, '') FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (SELECT attname, attnum FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped
                    UNION ALL SELECT NULL, 0) a
WHERE n.nspname = ANY ($1) AND c.relkind IN ('r', 'v') AND c.relname <> 'alembic_version'
AND CASE a.attnum WHEN 0 THEN obj_description(c.oid, 'pg_class') ELSE col_description(c.oid, a.attnum) END IS NULL
"""


async def test_each_table_view_and_column_has_the_description_of_its_model(empty_database: str) -> None:
    await schema.upgrade(empty_database, SCHEMAS)
    connection = await asyncpg.connect(empty_database)
    try:
        assert await connection.fetch(WITHOUT_A_COMMENT, list(SCHEMAS.every)) == []
        of_column = "SELECT col_description('beds.current_occupancy'::regclass, attnum) FROM pg_attribute "
        of_column += "WHERE attrelid = 'beds.current_occupancy'::regclass AND attname = 'available'"
        assert await connection.fetchval(of_column) == "Average number of beds open per day."
        # Another text, for example of an older program, is replaced. Equal ones are not written again.
        await connection.execute("COMMENT ON TABLE beds.occupancy IS 'old'")
        entered = await schema.connected(empty_database, lambda each: enter_comments(each, SCHEMAS.every))
        assert entered == 1
        assert "Beds of an organisation" in await connection.fetchval(
            "SELECT obj_description('beds.occupancy'::regclass)"
        )
    finally:
        await connection.close()


async def test_the_reader_reads_everything_and_writes_nothing(empty_database: str) -> None:
    await schema.upgrade(empty_database, SCHEMAS)
    role, password = f"reader_{secrets.token_hex(4)}", "a 'quoted' pass\\word"
    for _ in range(2):
        await schema.grant_reader(empty_database, SCHEMAS, role, password)
    owner = await asyncpg.connect(empty_database)
    await owner.execute("CREATE TABLE beds.made_later (id int)")
    connection = await asyncpg.connect(empty_database, user=role, password=password)
    for table in ("beds.made_later", "beds.current_occupancy", "ingest.run"):
        await connection.fetch(f"SELECT * FROM {table}")
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await connection.execute("DELETE FROM beds.edition")
    await connection.execute("SET default_transaction_read_only = off")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("DELETE FROM beds.edition")
    await connection.close()
    await owner.close()
