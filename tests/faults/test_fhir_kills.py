"""kill -9 of the worker at random moments of an import, from a server with faults: patients and observations are right.

`make faults ROUNDS=20` kills it twenty times, in an import of 500 patients; `make test` has a small one.
"""

import asyncio
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from library.contracts.runs import RunState
from library.objects.store import ObjectStore
from library.sources.fhir.links import LINKS
from library.warehouse.pool import Pool
from library.warehouse.runs import RunLog
from service.starts import Starter
from service.temporal import connect
from tests.faults.harness import Workers, keys
from tests.support.imports import Imports, with_sandbox
from tests.support.sandbox import SAMPLE, RunningSandbox, sandbox_process

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3_600)]

ZIPCODE = "02139"
FAULTS = {
    "latency": 0.02,
    "too_many_requests": 0.05,
    "unavailable": 0.05,
    "retry_after": 0.3,
    "cut_off": 0.05,
    "cut_json": 0.03,
    "slow": 0.05,
    "slow_seconds": 0.5,
    "expired_page": 0.01,
}


@pytest.fixture
def rounds(pytestconfig: pytest.Config) -> int:
    asked: int = pytestconfig.getoption("rounds", 2)
    return asked


@pytest.fixture
def sandbox(tmp_path: Path, rounds: int) -> Iterator[RunningSandbox]:
    """Patients made of the samples, each with the first observations of one of them under new ids."""
    patients = [json.loads(line) for line in (SAMPLE / "Patient.ndjson").read_bytes().splitlines()]
    observations = [json.loads(line) for line in (SAMPLE / "Observation.ndjson").read_bytes().splitlines()]
    lines = []
    for number in range(500 if rounds > 2 else 40):
        name = f"made-{number}"
        lines.append(patients[number % len(patients)] | {"id": name, "address": [{"postalCode": ZIPCODE}]})
        for place, observation in enumerate(observations[number : number + 30]):
            subject = {"subject": {"reference": f"Patient/{name}"}}
            lines.append(observation | {"id": f"{name}-{place}"} | subject)
    file = tmp_path / "made.ndjson"
    file.write_text("\n".join(map(json.dumps, lines)))
    with sandbox_process([file]) as made:
        yield made


async def test_a_worker_that_is_killed_again_and_again_brings_each_patient_and_observation_once(
    settings: Settings,
    pool: Pool,
    store: ObjectStore,
    workers: Workers,
    sandbox: RunningSandbox,
    rounds: int,
    pytestconfig: pytest.Config,
) -> None:
    chance = random.Random(pytestconfig.getoption("seed", 1))  # noqa: S311 - it is to be repeatable
    sandbox.set_faults(seed=chance.randrange(1_000), **FAULTS)
    settings = with_sandbox(settings, sandbox, page_size=40, batch=4)
    told: dict[str, Any] = {
        "fhir__servers": json.dumps({"sandbox": {"base_url": sandbox.url}}),
        "fhir__page_size": "40",
        "fhir__batch": "4",
        "fhir__overlap": "0",
    }
    client = await connect(settings)
    importing = Imports(Starter(settings, client, store, pool), RunLog(pool), client, pool, sandbox)
    handle = await importing.start(ZIPCODE)
    killed = 0
    for _ in range(rounds):
        worker = await workers.start(**told)
        await asyncio.sleep(chance.uniform(0.5, 6.0))
        if (await handle.describe()).status != 1:
            break
        os.kill(worker.pid, 9)
        await worker.ended()
        killed += 1
    await workers.start(**told)

    run = await importing.closed(handle, 3_000)

    assert (run.state, run.result, run.error) == (RunState.COMPLETED, "loaded", None)
    played = sandbox.played()
    sandbox.set_faults()
    await importing.assert_equal(ZIPCODE)
    await importing.assert_nothing_left()
    assert list(keys(store, f"{LINKS}{run.id}/")) == []
    entries = await pool.fetch("SELECT object_sha256, count(*) FROM ingest.load GROUP BY 1 HAVING count(*) > 1")
    assert entries == []
    print(f"killed {killed} times; {run.report}; played {played}")  # noqa: T201 - for who runs `make faults`
