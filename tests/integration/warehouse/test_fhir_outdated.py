"""A stored version is outdated if a version that is not older was refused, in whatever order they come."""

from itertools import permutations
from typing import Any

import pytest

from library.sources.fhir.datasets import OBSERVATION, PATIENT, REFUSED_VERSION
from library.sources.fhir.lookups import outdated
from library.sources.fhir.reading import ReaderSettings
from library.sources.fhir.staging import READER_VERSION
from library.warehouse.pool import Pool
from tests.support.fhir import FhirSource, observation, resource

NEGATED = [{"url": "http://x/negated", "valueBoolean": True}]
HARMLESS = ReaderSettings(harmless=frozenset(("http://x/negated",)), digest="harmless")

KINDS = {"Patient": PATIENT, "Observation": OBSERVATION}


@pytest.fixture
def fhir(pool: Pool, store: Any) -> FhirSource:
    return FhirSource(pool, store)


def version(number: int, *, kind: str = "Observation", refused: bool = False, **more: Any) -> dict[str, Any]:
    """A version of the same resource."""
    meta = {"versionId": str(number), "lastUpdated": f"2026-01-{number:02}T00:00:00Z"}
    return resource(kind, meta=meta, **({"modifierExtension": NEGATED} if refused else {}), **more)


async def marked(fhir: FhirSource, kind: str = "Observation") -> list[tuple[str, bool]]:
    """The versions that are stored, and whether each is outdated."""
    return await fhir.table(KINDS[kind], "version_id", "outdated")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ([(1, False), (2, True)], ("1", True)),
        ([(1, False), (2, True), (3, False)], ("3", False)),
        ([(1, False), (2, False), (3, True)], ("2", True)),
        ([(1, True), (2, False)], ("2", False)),
        ([(1, False), (2, True), (3, False), (4, True)], ("3", True)),
    ],
)
async def test_the_stored_version_is_outdated_if_a_newer_one_was_refused(
    fhir: FhirSource, kind: str, versions: list[tuple[int, bool]], expected: tuple[str, bool]
) -> None:
    for order in permutations(versions):
        await fhir.pool.execute("TRUNCATE fhir.patient, fhir.observation, fhir.refused_version, ingest.load")
        for number, refused in order:
            await fhir.load(version(number, kind=kind, refused=refused))
        assert await marked(fhir, kind) == [expected], order


async def test_so_it_is_within_one_file_and_of_equal_versions_the_later_line_counts(fhir: FhirSource) -> None:
    one, two, bad = version(1), version(2), version(2, refused=True)
    for lines, expected in (
        ((one, bad), ("1", True)),
        ((bad, one), ("1", True)),
        ((two, bad), ("2", True)),
        ((bad, two), ("2", False)),
    ):
        await fhir.pool.execute("TRUNCATE fhir.observation, fhir.refused_version, ingest.load")
        await fhir.load(*lines)
        assert await marked(fhir) == [expected], lines


async def test_what_an_older_reader_took_for_harmless_is_outdated_when_a_newer_one_refuses_the_same_version(
    fhir: FhirSource,
) -> None:
    landed = fhir.landed(version(1, refused=True), version(1, kind="Patient", refused=True))
    for reading, expected in ((HARMLESS, False), (ReaderSettings(), True), (HARMLESS, False)):
        request = fhir.staged(landed, reading=reading, reload=0 if reading.digest else READER_VERSION)
        if expected is False and await marked(fhir):
            request = fhir.staged(landed, reading=reading, reload=7)
        await fhir.load_request(request)
        assert await marked(fhir) == await marked(fhir, "Patient") == [("1", expected)]


async def test_the_same_version_again_stays_as_outdated_as_it_was(fhir: FhirSource) -> None:
    await fhir.load(version(1))
    await fhir.load(version(2, refused=True))
    again = await fhir.load(version(1), reload=1)
    assert (again.counts["fhir.observation"].unchanged, await marked(fhir)) == (1, [("1", True)])


@pytest.mark.parametrize(
    "bad",
    [
        b'{"resourceType":"Observation","id":"1","meta":{"versionId":"2"},"status":"a","status":"b"}',
        b'{"resourceType":"Observation","id":"1","meta":{"versionId":"2"},"valueQuantity":{"value":"5.4"}}',
        b'{"resourceType":"Observation","id":"1","meta":{"versionId":"2"},"effectiveDateTime":"now"}',
        b'{"resourceType":"Observation","id":"1","implicitRules":"http://x","meta":{"versionId":"2"}}',
    ],
)
async def test_any_refusal_outdates_the_version_before(fhir: FhirSource, bad: bytes) -> None:
    await fhir.load(observation(meta={"versionId": "1"}), observation(id="another"))
    await fhir.load_request(fhir.staged(fhir.landed_lines(bad)))
    assert await fhir.table(OBSERVATION, "id", "outdated") == [("1", True), ("another", False)]


@pytest.mark.parametrize(
    "bad",
    [
        b'{"resourceType":"Observation","id":"1","id":"2","status":"final"}',
        b'{"resourceType":"Observation","id":"1","status":"final"',
        b'{"resourceType":"Encounter","id":"1"}',
        b'{"resourceType":"Observation","id":"1","meta":{"lastUpdated":"now"}}',
        b'{"resourceType":"Observation","status":"final"}',
        b'{"resourceType":"Observation","id":"1\\u0000","status":1}',
    ],
)
async def test_a_line_that_does_not_say_which_version_it_is_outdates_nothing(fhir: FhirSource, bad: bytes) -> None:
    await fhir.load(observation())
    await fhir.load_request(fhir.staged(fhir.landed_lines(bad)))
    assert await fhir.table(OBSERVATION, "id", "outdated") == [("1", False)]
    assert await fhir.table(REFUSED_VERSION, "id") == []


async def test_a_refused_version_on_another_server_outdates_nothing_here(fhir: FhirSource) -> None:
    await fhir.load(version(1))
    await fhir.load(version(2, refused=True), server="there")
    await fhir.load(version(2, kind="Patient", refused=True))
    assert await marked(fhir) == [("1", False)]


async def test_those_that_a_load_outdates_are_counted(fhir: FhirSource) -> None:
    await fhir.load(version(1), version(1, kind="Patient"))
    bad = await fhir.load(version(2, refused=True), version(2, kind="Patient", refused=True))
    another = await fhir.load(version(2, refused=True) | {"id": "never stored"})
    assert await outdated(fhir.pool, [bad.load_id]) == 2
    assert await outdated(fhir.pool, [another.load_id]) == 0
    await fhir.load(version(3))
    assert await outdated(fhir.pool, [bad.load_id]) == 1
