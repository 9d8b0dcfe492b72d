"""FHIR rows in the warehouse: newer wins, components are a set, a repeat changes nothing, rows lead to their object."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.fhir.imports import FhirImportActivities
from activities.loads import LoadActivities
from activities.staging import Stager
from config.fhir import FhirSettings
from library.contracts.loads import DatasetCounts, LoadOutcome
from library.datasets.declaration import Catalogue
from library.objects.store import ObjectStore
from library.sources.fhir.contracts import LoadPages, StageFhir
from library.sources.fhir.datasets import DATASETS, OBSERVATION, OBSERVATION_COMPONENT, PATIENT
from library.sources.fhir.imports import FhirImports
from library.sources.fhir.loads import identity_as_of
from library.sources.fhir.names import search_name
from library.sources.fhir.staging import fhir_identity
from library.warehouse.loader import Loader
from library.warehouse.pool import Pool
from library.warehouse.runs import RunLog
from tests.support.fhir import HL7, LANDED, FhirSource, example, observation, resource
from tests.support.warehouse import LIMITS


@pytest.fixture
def fhir(pool: Pool, store: ObjectStore) -> FhirSource:
    return FhirSource(pool, store)


def version(number: object, text: str, hour: int | None = None, **elements: object) -> dict[str, Any]:
    meta: dict[str, object] = {} if number is None else {"versionId": str(number)}
    if hour is not None:
        meta["lastUpdated"] = f"2026-01-01T{hour:02}:00:00Z"
    return observation(meta=meta, valueString=text, **elements)


async def value(fhir: FhirSource) -> Any:
    ((found,),) = await fhir.table(OBSERVATION, "value_text")
    return found


async def test_hl7s_examples_are_stored_as_they_are(fhir: FhirSource) -> None:
    names = sorted(path.stem for path in HL7.glob("*.json"))
    result = await fhir.load(*(example(name) for name in names))
    patients = sum(name.startswith("Patient") for name in names)
    assert result.counts[PATIENT.name] == DatasetCounts(staged=patients, inserted=patients)
    assert result.counts[OBSERVATION.name].inserted == len(names) - patients
    assert result.counts[OBSERVATION_COMPONENT.name].rejected == 0
    stored = await fhir.pool.fetchrow("SELECT * FROM fhir.observation WHERE id = 'date-lastmp'")
    assert stored["effective_start"] == datetime(2016, 1, 24, tzinfo=UTC)
    assert stored["value_end"] == datetime(2016, 12, 30, 23, 59, 59, 999_999, tzinfo=UTC)
    f002 = await fhir.pool.fetchrow("SELECT * FROM fhir.observation WHERE id = 'f002'")
    assert f002["effective_start"] == f002["sort_time"] == datetime(2013, 4, 2, 9, 30, 10, tzinfo=UTC)
    assert (f002["value_number"], f002["reference_high"], f002["codes"]) == (12.6, 11.2, ["11555-0"])
    decimals = await fhir.pool.fetch(
        "SELECT value_number FROM fhir.observation_component WHERE observation_id = 'decimal' ORDER BY position"
    )
    assert [row[0] for row in decimals] == [1, 1, 1, 1e-22, 1e18, 1e-245, -1e245]


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_the_newest_version_counts_whatever_comes_last(fhir: FhirSource, order: tuple[int, ...]) -> None:
    versions = [version(9, "nine", 1), version(10, "ten", 1), version(2, "later", 2)]
    for index in order:
        await fhir.load(versions[index])
    assert await value(fhir) == "later"


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_version_ids_are_numbers_where_they_can_be_and_have_one_order(
    fhir: FhirSource, order: tuple[int, ...]
) -> None:
    versions = [version("9a", "nine a", 1), version("9", "nine", 1), version("10", "ten", 1)]
    for index in order:
        await fhir.load(versions[index])
    assert await value(fhir) == "ten"


async def test_a_corrected_export_without_versions_wins_by_its_time(fhir: FhirSource) -> None:
    later = LANDED + timedelta(days=1)
    await fhir.load(version(None, "wrong"))
    await fhir.load(version(None, "right"), stamped=later)
    assert await value(fhir) == "right"
    await fhir.load(version(None, "wrong again"), stamped=LANDED + timedelta(hours=1))
    assert await value(fhir) == "right"


async def test_components_are_replaced_as_a_set(fhir: FhirSource) -> None:
    parts = [{"code": {"text": name}, "valueString": name} for name in "abc"]
    await fhir.load(version(1, "old", 1, component=parts))
    result = await fhir.load(version(2, "new", 2, component=[parts[0], {"valueString": "B"}]))
    assert await fhir.table(OBSERVATION_COMPONENT, "position", "value_text") == [(1, "a"), (2, "B")]
    counts = result.counts[OBSERVATION_COMPONENT.name]
    assert (counts.unchanged, counts.updated, counts.deleted) == (1, 1, 1)
    await fhir.load(version(1, "old", 1, component=[*parts, *parts]))
    assert len(await fhir.table(OBSERVATION_COMPONENT, "position")) == 2


async def test_components_of_other_observations_and_servers_stay(fhir: FhirSource) -> None:
    part = {"valueString": "x"}
    await fhir.load(version(1, "here", 1, component=[part, part]))
    await fhir.load(version(1, "there", 1, component=[part, part]), server="there")
    await fhir.load({**version(1, "another", 1, component=[part]), "id": "2"})
    await fhir.load(version(2, "here", 2, component=[part]))
    stored = await fhir.table(OBSERVATION_COMPONENT, "observation_id", "server", "position")
    assert stored == [("1", "here", 1), ("1", "there", 1), ("1", "there", 2), ("2", "here", 1)]


async def test_the_same_bytes_again_are_already_loaded_and_of_another_server_they_are_not(fhir: FhirSource) -> None:
    landed = fhir.landed(version(1, "x", 1), resource("Patient"))
    first = await fhir.load_request(fhir.staged(landed))
    again = await fhir.load_request(fhir.staged(landed))
    assert again == first.model_copy(update={"outcome": LoadOutcome.ALREADY_LOADED})
    assert (await fhir.load_request(fhir.staged(landed, server="there"))).outcome is LoadOutcome.LOADED
    assert await fhir.table(PATIENT, "id", "server") == [("1", "here"), ("1", "there")]


async def test_what_did_not_change_is_not_written_even_from_another_object(fhir: FhirSource) -> None:
    part = {"valueString": "x"}
    known = [
        version(1, "x", 1, component=[part]),
        resource("Patient", meta={"versionId": "1", "lastUpdated": "2026-01-01T00:00:00Z"}),
    ]
    await fhir.load(*known)
    columns = dict.fromkeys((OBSERVATION, OBSERVATION_COMPONENT, PATIENT), ("xmin::text", "load_id"))
    before = [await fhir.table(dataset, *names) for dataset, names in columns.items()]
    result = await fhir.load(*known, {**version(1, "y", 1), "id": "2"})
    counts = result.counts[OBSERVATION.name]
    assert (counts.inserted, counts.updated, counts.unchanged) == (1, 0, 1)
    assert result.counts[PATIENT.name].unchanged == result.counts[OBSERVATION_COMPONENT.name].unchanged == 1
    after = [await fhir.table(dataset, *names) for dataset, names in columns.items()]
    assert [rows[:1] for rows in after] == before


async def test_each_row_names_the_object_that_it_was_last_written_from(fhir: FhirSource) -> None:
    old, same, new = (
        fhir.landed(version(1, "x", 1)),
        fhir.landed(version(1, "x", 1), resource("Organization")),
        fhir.landed(version(2, "x", 1)),
    )
    for landed, expected in ((old, old), (same, old), (new, new), (old, new)):
        await fhir.load_request(fhir.staged(landed, reload=1 if expected is new else 0))
        assert await fhir.table(OBSERVATION, "object_key") == [(expected.key,)]


async def test_an_unknown_patient_is_no_reason_to_lose_an_observation_and_is_counted(fhir: FhirSource) -> None:
    result = await fhir.load(
        observation(subject={"reference": "Patient/nobody"}),
        {**observation(), "id": "2"},
        {**observation(), "id": "a,b"},
    )
    assert await fhir.table(OBSERVATION, "id", "patient_id") == [("1", "nobody"), ("2", None), ("a,b", None)]
    assert result.counts[OBSERVATION.name].warned == {"patient_named": 2, "id_of_fhir": 1}


async def test_what_cannot_be_read_is_kept_with_its_bytes_and_the_others_are_loaded(fhir: FhirSource) -> None:
    bad = b'{"resourceType":"Observation","id":"2","issued":"yesterday"}'
    landed = fhir.landed_lines(b'{"resourceType":"Observation","id":"1"}\n' + bad + b"\nno json\xff\n")
    result = await fhir.load_request(fhir.staged(landed))
    assert result.counts[OBSERVATION.name] == DatasetCounts(
        staged=3, inserted=1, rejected=2, warned={"patient_named": 1}
    )
    rejected = await fhir.pool.fetch("SELECT line, reasons, raw, object_key FROM ingest.rejection ORDER BY line")
    assert [tuple(row) for row in rejected] == [
        (2, ["issued: not a date or time of FHIR (a time needs its zone)"], bad, landed.key),
        (3, ["not UTF-8"], b"no json\xff", landed.key),
    ]


async def test_what_indexes_can_just_hold_is_stored(fhir: FhirSource) -> None:
    widest = "".join(chr(0x1F300 + number % 300) for number in range(255))  # four bytes each, and no two runs equal
    names = [{"family": widest, "given": [f"{widest}{number}" for number in range(300)]}]
    result = await fhir.load(
        {**observation(subject={"reference": f"Patient/{widest}"}, code={"coding": [{"code": widest}]}), "id": widest},
        {**resource("Patient", name=names, address=[{"postalCode": widest}]), "id": widest},
    )
    assert result.counts[OBSERVATION.name].inserted == result.counts[PATIENT.name].inserted == 1


async def test_patients_are_found_by_the_beginning_of_a_name_and_by_any_postal_code(fhir: FhirSource) -> None:
    for number, family in enumerate(("O'Brien", "Obrist", "Brien")):
        address = [{"postalCode": "99999"}, {"postalCode": f"0213{number}"}]
        name = [{"family": family, "given": ["Ann", "Zoë"]}]
        await fhir.load({**resource("Patient", name=name, address=address), "id": str(number)})

    async def found(part: str, beginning: str) -> list[str]:
        rows = await fhir.pool.fetch(
            "SELECT id FROM fhir.patient WHERE array_to_tsvector(search_names) @@ (quote_literal($1) || ':*')::tsquery "
            "ORDER BY id",
            search_name(part, beginning),
        )
        return [row["id"] for row in rows]

    assert await found("family", "obri") == ["0", "1"]
    assert await found("family", "O'BRIE") == ["0"]
    assert await found("given", "zoe") == ["0", "1", "2"]
    assert await found("given", "obri") == []
    assert await found("family", "'; DROP") == []
    by_code = "SELECT id FROM fhir.patient WHERE compared_postal_codes @> ARRAY[$1]"
    assert [row["id"] for row in await fhir.pool.fetch(by_code, "02131")] == ["1"]


async def test_without_a_time_an_observation_is_the_first_of_all(fhir: FhirSource) -> None:
    await fhir.load(
        observation(effectiveDateTime="2012"),
        {**observation(issued="2011-01-01T00:00:00Z"), "id": "2"},
        {**observation(), "id": "3"},
    )
    rows = await fhir.pool.fetch("SELECT id FROM fhir.observation ORDER BY sort_time, id")
    assert [row["id"] for row in rows] == ["3", "2", "1"]


async def test_pages_that_were_staged_by_their_call_are_loaded_still(fhir: FhirSource) -> None:
    # As by a run that began before staging moved into the load.
    with ThreadPoolExecutor(1) as threads:
        runs = RunLog(fhir.pool)
        loads = LoadActivities(fhir.pool, fhir.store, Loader(fhir.pool, fhir.store, Catalogue(DATASETS), LIMITS), runs)
        stager = Stager(fhir.pool, fhir.store, runs, threads)
        imports = FhirImportActivities(FhirImports(fhir.pool, 1), stager, loads, FhirSettings())
        request = fhir.staged(fhir.landed(observation(id="staged by its call")))
        landed = StageFhir(run_id="run", server="here", landed=fhir.landed(observation(id="staged by its load")))
        asked = LoadPages(run_id="run", server="here", requests=(request,), landed=(landed,))
        await ActivityEnvironment().run(imports.load_pages, asked)
    assert await fhir.table(OBSERVATION, "id") == [("staged by its call",), ("staged by its load",)]


async def test_bytes_that_lost_to_newer_ones_are_a_load_again_once_they_are_the_newest(fhir: FhirSource) -> None:
    first, second, third = (LANDED + timedelta(hours=number) for number in range(3))
    page = fhir.landed(observation(valueString="A"))
    await fhir.load(observation(valueString="B"), stamped=second)
    await fhir.load_request(fhir.staged(page, stamped=first))
    assert await fhir.table(OBSERVATION, "value_text") == [("B",)]
    known = fhir_identity(page, "here")
    assert await identity_as_of(fhir.pool, known, first) == known
    assert (await identity_as_of(fhir.pool, known, third)).as_of == third.isoformat()


async def test_exports_count_by_their_own_time_in_whatever_order_they_come(fhir: FhirSource) -> None:
    a, b = fhir.landed(observation(valueString="A")), fhir.landed(observation(valueString="B"))
    for content, hour in ((a, 0), (a, 2), (b, 1), (b, 4), (a, 3), (a, 3)):
        at = LANDED + timedelta(hours=hour)
        identity = await identity_as_of(fhir.pool, fhir_identity(content, "here"), at, in_any_order=True)
        staged = fhir.staged(content, stamped=at)
        await fhir.load_request(staged.model_copy(update={"identity": identity}))
        expected = {0: "A", 2: "A", 1: "A", 4: "B", 3: "B"}[hour]
        assert await fhir.table(OBSERVATION, "value_text") == [(expected,)], (hour, expected)
    last = await fhir.table(OBSERVATION, "last_updated")
    assert last == [(LANDED + timedelta(hours=4),)]
