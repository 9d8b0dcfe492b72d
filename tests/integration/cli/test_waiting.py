"""A command says after two seconds what it waits for, and a wrong name ends it."""

import asyncio
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from config.fhir import FhirServerSettings, FhirSettings
from config.settings import DownloadSettings, Settings
from library.objects.store import ObjectStore
from library.warehouse.pool import Pool
from tests.faults.harness import environment_of
from tests.support.commands import Commands
from tests.support.runs import workbooks
from tests.workflows.test_ingest_workbook import Q3_2019

PASSWORD = "hunter2"  # noqa: S105 - of a server that is none
SETTING = {
    "Postgres": "POSTGRES__DSN",
    "Temporal": "TEMPORAL__ADDRESS",
    "the object store": "S3__URL",
    "Kafka": "KAFKA__BOOTSTRAP_SERVERS",
    "the API": "API__URL",
}
COMMANDS = {
    "Postgres": ("runs", "list", "--json"),
    "Temporal": ("ingest", "workbook", "--json", str(Q3_2019)),
    "the object store": ("ingest", "workbook", "--json", str(Q3_2019)),
    "Kafka": ("streams", "pause", "patient", "--json"),
    "the API": ("simulate", "records", "--json"),
}


def at(role: str, place: str) -> dict[str, str]:
    """The setting that names the server of a role."""
    url = {"Postgres": f"postgresql://w:{PASSWORD}@{place}/w", "the object store": f"http://{place}"}
    url["the API"] = f"http://{place}"
    return {f"WARDFLOW_{SETTING[role]}": url.get(role, place)}


@pytest.fixture
def environment(settings: Settings, tmp_path: Path) -> dict[str, str]:
    told = {"STACK__FOLDER": str(tmp_path / "no-stack"), "KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    return environment_of(settings) | {f"WARDFLOW_{name}": value for name, value in told.items()}


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that is there and never answers, as one whose process is frozen."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@asynccontextmanager
async def command(environment: dict[str, str], *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A command in a process of its own without a terminal; killed at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "service.cli",
        *words,
        env=os.environ | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def line_of(process: asyncio.subprocess.Process) -> str:
    """The next line on standard error."""
    assert process.stderr is not None
    async with asyncio.timeout(30):
        return (await process.stderr.readline()).decode()


@pytest.mark.parametrize("role", list(SETTING))
async def test_a_command_says_which_server_it_waits_for(role: str, environment: dict[str, str], silent: str) -> None:
    async with command(environment | at(role, silent), *COMMANDS[role]) as process:
        said = await line_of(process)
        assert process.returncode is None
    assert said.startswith(f"Waiting for {role} at {silent}: ")
    assert PASSWORD not in said


async def test_a_name_that_does_not_resolve_ends_a_command_within_half_a_minute(environment: dict[str, str]) -> None:
    began = time.monotonic()
    async with command(environment | at("Postgres", "db.invalid"), "runs", "list", "--json") as process:
        out, err = await process.communicate()
    assert time.monotonic() - began < 30
    assert (process.returncode, out) == (4, b"")
    waiting, *ended = err.decode().splitlines()
    assert waiting.startswith("Waiting for the name db.invalid (Postgres) to resolve. Trying for up to ")
    assert ended == [
        "The name db.invalid (Postgres) does not resolve; it was tried for 15 seconds.",
        "Check the setting WARDFLOW_POSTGRES__DSN and the DNS of this machine, then try again.",
    ]


@pytest.mark.parametrize("role", list(SETTING))
async def test_the_name_and_its_setting_are_named_whichever_server_it_is(
    role: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.waiting.NAME_MAY_TAKE", 3.0)
    ended = await Commands(environment | at(role, "gone.invalid:99")).call(*COMMANDS[role])
    assert (ended.exit_code, ended.stdout) == (4, "")
    lines = ended.stderr.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(f"Waiting for the name gone.invalid ({role}) to resolve")
    assert f"gone.invalid ({role}) does not resolve" in lines[1]
    assert f"WARDFLOW_{SETTING[role]}" in lines[2]


async def test_a_run_whose_url_has_an_unknown_host_ends_and_its_command_says_meanwhile_why_it_waits(
    settings: Settings,
    pool: Pool,
    store: ObjectStore,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("library.web.names.NAME_MAY_TAKE", 4.0)
    settings = settings.model_copy(update={"downloads": DownloadSettings(hosts=("beds.invalid",))})
    commands = Commands(environment | {"WARDFLOW_DOWNLOADS__HOSTS": '["beds.invalid"]'})
    async with workbooks(settings, pool, store):
        ended = await commands.call("ingest", "workbook", "https://beds.invalid/q1.xlsx?token=secret")
    assert ended.exit_code == 1
    assert "HostNotResolved" in ended.stdout
    # The workers of this process log to the same place.
    waiting, *_, what, advice = [line for line in ended.stderr.splitlines() if not line.startswith("{")]
    assert waiting == (
        "q1.xlsx: the step download_workbook is repeated (attempt 2): "
        "The name of the host beds.invalid does not resolve."
    )
    assert "beds.invalid does not resolve; it was tried for" in what
    assert "DNS" in advice
    assert "secret" not in ended.output


async def test_a_run_whose_fhir_server_does_not_answer_says_so(
    settings: Settings, pool: Pool, store: ObjectStore, environment: dict[str, str], silent: str
) -> None:
    gone = FhirSettings(servers={"gone": FhirServerSettings(base_url=f"http://{silent}/fhir")})
    told = environment | {"WARDFLOW_FHIR__SERVERS__GONE__BASE_URL": f"http://{silent}/fhir"}
    async with workbooks(settings.model_copy(update={"fhir": gone}), pool, store) as sent:
        async with command(told, "import", "zipcode", "--server", "gone", "01906") as process:
            said = await line_of(process)
        handle = sent.client.get_workflow_handle(f"{settings.worker.queue_prefix}zipcode-gone-01906")
        await handle.terminate()
    assert said == f"01906: the step fetch_patient_page is still fetching from the FHIR server gone at {silent}.\n"


async def test_a_run_that_no_worker_takes_is_told_of_once_and_followed_to_its_end(
    settings: Settings, pool: Pool, store: ObjectStore, environment: dict[str, str]
) -> None:
    async with command(environment, "ingest", "workbook", str(Q3_2019)) as process:
        said = await line_of(process)
        async with workbooks(settings, pool, store):
            out, err = await asyncio.wait_for(process.communicate(), 60)
    assert said.startswith(f"{Q3_2019.name}: the run waits for a worker")
    assert (process.returncode, err) == (0, b"")
    assert b" loaded " in out
