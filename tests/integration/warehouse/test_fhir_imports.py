"""How far a patient's observations are known: by which reader, and through when."""

from datetime import UTC, datetime, timedelta

from library.sources.fhir.contracts import CompleteSearch
from library.sources.fhir.imports import FhirImports
from library.warehouse.pool import Pool

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
EARLIER, LATER = NOON - timedelta(hours=1), NOON + timedelta(hours=1)


async def planned(
    pool: Pool, reader_version: int, run_id: str, *patients: str, settings: str = ""
) -> list[tuple[set[str], object]]:
    """Whom the searches of a run ask for, and from when on."""
    imports = FhirImports(pool, reader_version, {"here": settings})
    await imports.enter_patients(run_id, "here", patients)
    plan = await imports.plan(run_id, "here", "02139", batch=10)
    asked = [await imports.search(run_id, number) for number in range(plan.searches)]
    return [(set(each.patients), each.since) for each in asked]


async def imported(
    pool: Pool, reader_version: int, began: datetime, *patients: str, settings: str = ""
) -> list[tuple[set[str], object]]:
    """Import patients completely; returns the patients of the searches, and their start times."""
    run_id = f"run {reader_version} {settings} {began} {patients}"
    searches = await planned(pool, reader_version, run_id, *patients, settings=settings)
    done = [CompleteSearch(search=number, began=began) for number in range(len(searches))]
    await FhirImports(pool, reader_version, {"here": settings}).complete(run_id, done)
    return searches


async def test_what_is_known_is_known_to_the_reader_that_read_it(pool: Pool) -> None:
    assert await imported(pool, 1, NOON, "a", "b") == [({"a", "b"}, None)]
    assert await planned(pool, 1, "again", "a", "b") == [({"a", "b"}, NOON)]
    assert await planned(pool, 2, "by a newer reader", "a", "b") == [({"a", "b"}, None)]


async def test_those_whom_an_older_reader_has_read_have_searches_of_their_own(pool: Pool) -> None:
    await imported(pool, 1, NOON, "a", "b")
    await imported(pool, 2, NOON, "b")
    assert await planned(pool, 2, "run", "a", "b", "c") == [({"a", "c"}, None), ({"b"}, NOON)]


async def test_a_plan_of_an_older_reader_is_asked_whole_by_a_newer_one(pool: Pool) -> None:
    await imported(pool, 1, NOON, "a")
    await planned(pool, 1, "run", "a")
    assert (await FhirImports(pool, 2).search("run", 0)).since is None


async def test_a_newer_readers_time_counts_though_it_is_earlier(pool: Pool) -> None:
    await imported(pool, 1, NOON, "a")
    await imported(pool, 2, EARLIER, "a")
    assert await planned(pool, 2, "run", "a") == [({"a"}, EARLIER)]


async def test_after_a_change_of_the_readers_settings_everything_is_asked_for_again(pool: Pool) -> None:
    await imported(pool, 2, NOON, "a")
    assert await planned(pool, 2, "changed", "a", settings="more bases") == [({"a"}, None)]
    assert await planned(pool, 2, "as before", "a") == [({"a"}, NOON)]
    await imported(pool, 2, EARLIER, "a", settings="more bases")
    assert await planned(pool, 2, "changed again", "a", settings="more bases") == [({"a"}, EARLIER)]
    assert await planned(pool, 2, "changed back", "a") == [({"a"}, None)]


async def test_of_one_reader_the_later_time_counts(pool: Pool) -> None:
    for began in (NOON, EARLIER):
        await imported(pool, 1, began, "a")
    assert await planned(pool, 1, "run", "a") == [({"a"}, NOON)]


async def test_an_older_reader_that_ends_late_changes_nothing_of_what_a_newer_one_knows(pool: Pool) -> None:
    await imported(pool, 2, NOON, "a")
    await imported(pool, 1, LATER, "a")
    assert await planned(pool, 2, "run", "a") == [({"a"}, NOON)]
