"""Questions about patients find their rows by indexes, however many rows there are."""

from datetime import UTC, date, datetime
from typing import Any

import pytest_asyncio

from library.sources.fhir.questions import OBSERVATIONS, PATIENTS
from library.warehouse.pool import Pool
from library.warehouse.queries.pages import fetch_page
from tests.support.plans import Explaining, nodes, touched

DAY = datetime(2021, 1, 1, tzinfo=UTC)

_PATIENTS = """
INSERT INTO fhir.patient (load_id, reader_version, id, server, last_updated, version_number, version_id, family, given,
    search_names, gender, birth_date, birth_date_precision, birth_date_from, address_lines, postal_codes,
    compared_postal_codes, object_key)
SELECT gen_random_uuid(), 1, 'p' || n, CASE n % 2 WHEN 0 THEN 'hapi' ELSE 'file' END, now(), 1, '1', 'family' || n,
    '{}', ARRAY['family_family' || n, 'given_ann'], 'female', '1980', 'year', '1930-01-01'::date + n, '{}',
    ARRAY[]::text[], ARRAY[lpad((n % 2000)::text, 5, '0')], 'o'
FROM generate_series(1, 20000) n
"""
_OBSERVATIONS = """
INSERT INTO fhir.observation (load_id, reader_version, value_kind, value_number, code, id, server, last_updated,
    version_number, version_id, patient_id, patient_reference, categories, codes, effective_start, effective_text,
    object_key)
SELECT gen_random_uuid(), 1, 'quantity', n, 'c', 'o' || n, CASE n % 2 WHEN 0 THEN 'hapi' ELSE 'file' END, now(), 1, '1',
    'p' || n % 20000, CASE n % 4000 WHEN 1 THEN 'https://other.example/Patient/1' END,
    ARRAY['c' || n % 3], ARRAY['code' || n % 1000], '2020-01-01Z'::timestamptz + n * interval '1 min',
    CASE n % 4000 WHEN 2 THEN '2020/' ELSE '2020' END, 'o'
FROM generate_series(1, 200000) n
"""


@pytest_asyncio.fixture
async def many(pool: Pool) -> Pool:
    """20,000 patients with ten observations each are known."""
    await pool.execute(_PATIENTS)
    await pool.execute(_OBSERVATIONS)
    await pool.execute("VACUUM ANALYZE fhir.patient, fhir.observation")
    return pool


IN_APRIL: dict[str, Any] = {"from": DAY.replace(month=4), "to": DAY.replace(month=4, day=2)}
A_VALUE: dict[str, Any] = {"from": DAY.replace(day=30), "min_value": 0.5, "server": "hapi"}

QUESTIONS = {
    "a zip code": (PATIENTS.ask(zipcode="00017"), 50),
    "a family": (PATIENTS.ask(family="Family1999"), 50),
    "a day of birth": (PATIENTS.ask(birth_date_from=date(1950, 3, 1), birth_date_to=date(1950, 3, 5)), 1_500),
    "all patients": (PATIENTS.ask(), 250),
    "a patient": (OBSERVATIONS.ask(patient_id="p7", server="file"), 50),
    "a patient's code": (OBSERVATIONS.ask(patient_id="p7", server="file", code="code7"), 50),
    "a code": (OBSERVATIONS.ask(code="code7"), 900),
    "the newest": (OBSERVATIONS.ask(), 350),
    "a category": (OBSERVATIONS.ask(category="c1"), 700),
    "a day": (OBSERVATIONS.ask(**IN_APRIL), 350),
    "of a patient, a day": (OBSERVATIONS.ask(patient_id="p7", server="file", **IN_APRIL), 100),
    "patients elsewhere": (OBSERVATIONS.ask(patient_elsewhere=True), 350),
    "a value": (OBSERVATIONS.ask(**A_VALUE), 700),
}


async def test_each_question_reads_little_more_than_it_answers(many: Pool) -> None:
    for name, (query, most) in QUESTIONS.items():
        explaining = Explaining(many)
        for page, after in (("first", None), ("later", (await fetch_page(many, query, limit=3)).following)):
            await fetch_page(explaining, query, limit=100, after=after)
            whole = {node["Relation Name"] for node in nodes(explaining.plan) if node["Node Type"] == "Seq Scan"}
            assert not whole, (name, page)
            assert touched(explaining.plan) <= most, (name, page)
