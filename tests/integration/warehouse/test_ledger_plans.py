"""What each load asks of the ledger is found by indexes, however many loads there were."""

import json
from datetime import UTC, datetime
from typing import Any

from library.contracts.loads import LoadIdentity, LoadRequest
from library.contracts.objects import ObjectRef
from library.warehouse import ledger
from library.warehouse.pool import Connection, Pool
from tests.integration.warehouse.test_plans import nodes, touched

LOADS = """
INSERT INTO ingest.load (id, identity, source, scope, object_key, object_sha256, object_size, reader_version, reload,
                         run_id, counts, report, started_at, committed_at)
SELECT md5('load' || n)::uuid, 'load' || n, 'fhir', 'here', 'key' || n / 2, 'sha' || n / 2, 1, 1 + n % 2, 0,
       'run' || n / 100, '{}', '{}', now(), now()
FROM generate_series(1, 100000) n;
INSERT INTO ingest.rejection (load_id, source, dataset, object_key, line, reasons)
SELECT md5('load' || n)::uuid, 'fhir', 'fhir.observation', 'key' || n / 2, 1, '{}' FROM generate_series(1, 20000) n;
ANALYZE ingest.load, ingest.rejection;
"""


class Explaining:
    """A connection that tells how Postgres carries a statement out, having done so."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.plan: dict[str, Any] = {}

    async def execute(self, statement: str, *arguments: object) -> None:
        text = await self._connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", *arguments)
        self.plan = json.loads(text)[0]["Plan"]


async def test_the_rejections_of_an_object_are_replaced_without_reading_the_ledger(pool: Pool) -> None:
    await pool.execute(LOADS)
    landed = ObjectRef(key="key2500", size=1, sha256="sha2500", content_type="application/fhir+ndjson")
    identity = LoadIdentity(source="fhir", scope="here", sha256=landed.sha256, reader_version=3)
    request = LoadRequest(identity=identity, landed=landed, staged=(), run_id="run")
    async with pool.acquire() as connection:
        explaining = Explaining(connection)
        await ledger.claim(connection, request, started_at=datetime.now(UTC))
        await ledger.replace_rejections(explaining, request)
    kept = await pool.fetchval("SELECT count(*) FROM ingest.rejection WHERE object_key = $1", landed.key)
    assert (kept, await pool.fetchval("SELECT count(*) FROM ingest.rejection")) == (0, 19_998)
    assert touched(explaining.plan) < 20
    assert not [node for node in nodes(explaining.plan) if node["Node Type"] == "Seq Scan"]
