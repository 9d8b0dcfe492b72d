"""What each load asks of the ledger is found by indexes, however many loads there were."""

from datetime import UTC, datetime

from library.contracts.loads import LoadIdentity, LoadRequest
from library.contracts.objects import ObjectRef
from library.warehouse import ledger
from library.warehouse.pool import Pool
from tests.support.plans import Explaining, nodes, touched

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
