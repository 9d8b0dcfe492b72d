r"""100,000 observations from NDJSON to queryable, against psql's \copy of the same rows into equal tables."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from config.settings import Settings
from library.contracts.loads import LoadRequest
from library.contracts.objects import ObjectRef
from library.datasets.declaration import Catalogue, Dataset
from library.objects.staged import upload
from library.objects.store import ObjectStore
from library.sources.fhir.datasets import DATASETS, OBSERVATION, OBSERVATION_COMPONENT
from library.sources.fhir.staging import fhir_identity, stage_ndjson
from library.staging.files import staged_columns
from library.warehouse.loader import Loader
from library.warehouse.pool import Pool
from library.warehouse.sessions import Attempt
from service.resources import warehouse_dsn
from tests.benchmarks.fhir_pages import observations
from tests.benchmarks.measure import Report, Stopwatch, in_turns, seconds
from tests.benchmarks.psql import seconds_of
from tests.benchmarks.staged_readings import limits

pytestmark = pytest.mark.benchmark

ROUNDS = 3
OBSERVATIONS = 100_000
FLOOR = "_floor"
BOTH = (OBSERVATION, OBSERVATION_COMPONENT)
FEW, TIMES = 500, 3
STAMPED = datetime(2026, 3, 1, tzinfo=UTC)


async def test_observations_from_ndjson_to_queryable(
    settings: Settings, pool: Pool, store: ObjectStore, tmp_path: Path, report: Report
) -> None:
    source = tmp_path / "landed"
    source.write_bytes(b"\n".join(observations(OBSERVATIONS)))
    landed = store.land("fhir", source, content_type="application/fhir+ndjson", compress=True)
    loader = Loader(pool, store, Catalogue(DATASETS), limits(settings))
    for dataset in BOTH:
        await pool.execute(f"CREATE TABLE {dataset.name}{FLOOR} (LIKE {dataset.name} INCLUDING ALL)")
        for column in ("_line", "_parent"):
            await pool.execute(f"ALTER TABLE {dataset.name}{FLOOR} ADD COLUMN {column} bigint")
        for column in ("load_id", "reader_version"):
            await pool.execute(f"ALTER TABLE {dataset.name}{FLOOR} ALTER COLUMN {column} DROP NOT NULL")
    parts: dict[str, list[float]] = {"staged": [], "loaded": []}
    turn = iter(range(100))

    def staged(ref: ObjectRef, path: Path) -> LoadRequest:
        made = stage_ndjson(path, tmp_path, server="bench", object_key=ref.key, stamped=STAMPED)
        identity = fhir_identity(ref, "bench", reload=next(turn))
        return upload(store, tmp_path, made.rows, identity=identity, landed=ref, run_id="benchmark", report=made.report)

    async def ours() -> float:
        await emptied(pool, "")
        took = Stopwatch()
        store.download(landed, tmp_path / "downloaded")
        request = staged(landed, tmp_path / "downloaded")
        parts["staged"].append(took())
        await loader.load(request, attempt=Attempt("benchmrk"))
        parts["loaded"].append(took() - parts["staged"][-1])
        return took()

    async def floor() -> float:
        await emptied(pool, FLOOR)
        return await seconds_of(
            warehouse_dsn(settings), "BEGIN;", *(copied(each, tmp_path) for each in BOTH), "COMMIT;"
        )

    staged(landed, source)  # the files that the floor copies
    taken = await in_turns(ROUNDS, ours, floor)
    best = [min(each) for each in taken]
    components = await pool.fetchval("SELECT count(*) FROM fhir.observation_component")
    report.enter(
        f"100,000 observations ({components:,} components), NDJSON to queryable",
        f"{best[0] / best[1]:.2f} x",
        parts=f"{seconds(best[0])} : {seconds(best[1])} (psql \\copy into equal tables); download and staging "
        f"{seconds(min(parts['staged']))}, load {seconds(min(parts['loaded']))}",
    )
    assert await pool.fetchval("SELECT count(*) FROM fhir.observation") == OBSERVATIONS

    request = staged(landed, source)
    took = Stopwatch()
    again = await loader.load(request, attempt=Attempt("benchmrk"))
    report.enter("load of the same 100,000 again", seconds(took()), parts="they are staged already")
    assert again.counts[OBSERVATION.name].updated == 0

    # A page's load must not grow with what is stored.
    few = []
    for number in range(TIMES):
        path = tmp_path / "few"
        path.write_bytes(b"\n".join(line.replace(b'"id":"', b'"id":"%d-' % number, 1) for line in observations(FEW)))
        ref = store.land("fhir", path, content_type="application/fhir+ndjson", compress=True)
        request = staged(ref, path)
        took = Stopwatch()
        await loader.load(request, attempt=Attempt("benchmrk"))
        few.append(took())
    report.enter(f"load of {FEW} more observations", seconds(min(few)), parts="100,000 are stored")


def copied(dataset: Dataset, folder: Path) -> str:
    columns = ", ".join(staged_columns(dataset))
    file = folder / f"{dataset.name}.csv"
    return rf"\copy {dataset.name}{FLOOR} ({columns}) FROM '{file}' WITH (FORMAT csv, HEADER match)"


async def emptied(pool: Pool, suffix: str) -> None:
    for dataset in BOTH:
        await pool.execute(f"TRUNCATE {dataset.name}{suffix}")
        await pool.execute(f"VACUUM (ANALYZE) {dataset.name}{suffix}")
    # A checkpoint without the right to order one: Postgres makes one whenever a database is dropped.
    await pool.execute("CREATE DATABASE checkpoint")
    await pool.execute("DROP DATABASE checkpoint")
