"""Refused rows are found by an index where their place in Kafka is asked for, however many there are."""

import pytest_asyncio

from library.warehouse.pool import Pool
from library.warehouse.queries.pages import fetch_page
from library.warehouse.queries.quarantine import REJECTIONS
from tests.support.plans import Explaining, nodes, touched

ROWS = """
INSERT INTO ingest.rejection (load_id, source, dataset, object_key, line, reasons)
SELECT gen_random_uuid(), 'fhir', 'fhir.patient', 'landed/fhir/' || n % 500, n, '{x}' FROM generate_series(1, 50000) n;
INSERT INTO ingest.rejection (load_id, source, dataset, topic, incarnation, partition, "offset", reasons)
SELECT gen_random_uuid(), 'records', 'records.patient', topic, 1, n % 4, n / 4, '{x}'
FROM generate_series(1, 20000) n, unnest(ARRAY['patient', 'lab_results']) topic ORDER BY n;
"""
QUESTIONS = {
    "a record": (REJECTIONS.ask(topic="patient", partition=3, offset=17), 10),
    "an offset of any partition": (REJECTIONS.ask(topic="patient", offset=17), 20),
    "an offset of any topic": (REJECTIONS.ask(offset=17), 30),
    "a record and why": (REJECTIONS.ask(source="records", topic="patient", partition=3, offset=17, reason="x"), 10),
    "a topic": (REJECTIONS.ask(topic="patient"), 600),
    "a topic that has none": (REJECTIONS.ask(topic="none"), 10),
    "a partition": (REJECTIONS.ask(topic="patient", partition=1), 2_000),
}
"""Each with the rows that its pages may touch at most, of 90,000."""


@pytest_asyncio.fixture
async def many(pool: Pool) -> Pool:
    await pool.execute(ROWS)
    await pool.execute("VACUUM ANALYZE ingest.rejection")
    return pool


async def test_each_question_reads_little_more_than_it_answers(many: Pool) -> None:
    for name, (query, most) in QUESTIONS.items():
        explaining = Explaining(many)
        for page, after in (("first", None), ("later", (await fetch_page(many, query, limit=1)).following)):
            await fetch_page(explaining, query, limit=100, after=after)
            whole = {node["Relation Name"] for node in nodes(explaining.plan) if node["Node Type"] == "Seq Scan"}
            assert "rejection" not in whole, (name, page)
            assert touched(explaining.plan) <= most, (name, page, touched(explaining.plan))
