"""An import against what its window allows: a server that takes just so long for each call, searches of one length."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest

from config.fhir import FhirServerSettings, FhirSettings
from config.settings import Settings
from library.contracts.runs import RunState
from library.objects.store import ObjectStore
from library.warehouse.pool import Pool
from library.warehouse.runs import RunLog
from service.sources.fhir.starts import import_zipcode
from service.starts import Starter, run_id
from service.temporal import connect
from tests.benchmarks.measure import Report, milliseconds, seconds
from tests.benchmarks.test_workbooks import where_the_time_goes
from tests.support.processes import worker_process
from tests.support.sandbox import SAMPLE, RunningSandbox, sandbox_process

pytestmark = pytest.mark.benchmark

WINDOW = 5
SEARCHES = 4 * WINDOW
PAGES, PAGE = 6, 100
"""Of a search, and observations of a page."""
ZIPCODE = "02139"


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[RunningSandbox]:
    """A server with as many patients as there are searches, each with equally many observations."""
    patient = json.loads((SAMPLE / "Patient.ndjson").read_bytes().splitlines()[0])
    observation = json.loads((SAMPLE / "Observation.ndjson").read_bytes().splitlines()[0])
    patients = [patient | {"id": f"p{n}", "address": [{"postalCode": ZIPCODE}]} for n in range(SEARCHES)]
    observations = [
        observation | {"id": f"{each['id']}-{n}", "subject": {"reference": f"Patient/{each['id']}"}}
        for each in patients
        for n in range(PAGES * PAGE)
    ]
    file = tmp_path / "made.ndjson"
    file.write_text("\n".join(json.dumps(each) for each in (*patients, *observations)))
    with sandbox_process([file]) as made:
        yield made


@pytest.mark.parametrize("latency", [0.5, 0.05], ids=["500ms", "50ms"])
async def test_an_import_keeps_its_window_full(
    settings: Settings, pool: Pool, store: ObjectStore, sandbox: RunningSandbox, report: Report, latency: float
) -> None:
    servers = {"made": FhirServerSettings(base_url=sandbox.url)}
    fhir = FhirSettings(servers=servers, page_size=PAGE, batch=1, window=WINDOW, rate=1_000.0)
    settings = settings.model_copy(update={"fhir": fhir})
    sandbox.set_faults(latency=latency)
    client = await connect(settings)
    starter = Starter(settings, client, store, pool)
    told = {"FHIR__SERVERS": json.dumps({"made": {"base_url": sandbox.url}})}
    told |= {"FHIR__PAGE_SIZE": str(PAGE), "FHIR__BATCH": "1", "FHIR__RATE": "1000"}
    async with worker_process(settings, **told), asyncio.timeout(300):
        handle = await import_zipcode(starter, ZIPCODE)
        await handle.result()
    run = await RunLog(pool).get(run_id(handle))
    assert run is not None
    assert (run.state, run.report["observations"]) == (RunState.COMPLETED, SEARCHES * PAGES * PAGE)

    calls = [*sandbox.call_log("search Observation"), *sandbox.call_log("page Observation")]
    took = max(call["began"] + call["seconds"] for call in calls) - min(call["began"] for call in calls)
    share = (len(calls) / took) / (WINDOW / latency)
    kept = share >= 0.8 or latency < 0.5
    parts = f"{len(calls)} calls in {seconds(took)}; {run.report['observations']} observations"
    bound = "≥ 80 %" if latency >= 0.5 else ""
    name = f"import at {latency * 1000:.0f} ms a call, of what its window allows"
    figure = report.enter(name, f"{share:.0%}", bound, kept=kept, parts=parts)
    loaded = await pool.fetchval("SELECT max(committed_at) - min(started_at) FROM ingest.load")
    report.enter("… from the first load to the last", seconds(loaded.total_seconds()))
    gaps = between_pages(calls)
    report.enter("… between two calls of a search", seconds(sum(gaps) / len(gaps)))
    for step, values in where_the_time_goes([await handle.fetch_history()]).items():
        if "page" in step:
            report.enter(f"… {step}", milliseconds(values))
    assert figure.kept


def between_pages(calls: list[dict[str, float | str]]) -> list[float]:
    """Seconds from the end of a page's call to the begin of the next page's, by search."""
    gaps = []
    by_search: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for call in calls:
        parameters = dict(cast(Any, call["parameters"]))
        by_search[str(parameters.get("_getpages", call["what"]))].append((float(call["began"]), float(call["seconds"])))
    for each in by_search.values():
        gaps += [after - (before + took) for (before, took), (after, _) in pairwise(sorted(each))]
    return gaps or [0.0]
