"""One stack of real servers, looked at from all sides, then killed and started anew. The tests stand in their order."""

import asyncio
import io
import json
import subprocess
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from urllib.request import urlopen

import asyncpg
import httpx
import minio
import psutil
import pytest
from pydantic import SecretStr

from config.settings import Settings
from service.stack import lock, postgres, s3
from service.stack.detach import end_running, ensure_running
from service.stack.doctor import examine
from service.stack.runner import embedded_stack
from service.stack.state import read_state
from tests.integration.stack.harness import SUPERVISE, processes_of, running, settings_in, until


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stack") / ".wardflow"


@pytest.fixture(scope="module")
def stack(folder: Path) -> Iterator[Settings]:
    yield ensure_running(settings_in(folder), report=print, command=SUPERVISE)
    end_running(settings_in(folder))


def text(secret: SecretStr | None) -> str:
    assert secret is not None
    return secret.get_secret_value()


def object_store(settings: Settings) -> minio.Minio:
    assert settings.s3.url is not None
    host = settings.s3.url.removeprefix("http://")
    access_key, secret_key = text(settings.s3.access_key), text(settings.s3.secret_key)
    return minio.Minio(host, access_key=access_key, secret_key=secret_key, secure=False)


@pytest.mark.usefixtures("stack")
def test_every_server_listens_on_loopback_only(folder: Path) -> None:
    sockets = [
        connection.laddr
        for process in processes_of(folder)
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN or not connection.raddr
    ]
    assert len(sockets) >= 13  # Postgres, Temporal's services, SeaweedFS's parts, Kafka's two, the FHIR sandbox
    assert {address.ip for address in sockets} == {"127.0.0.1"}


@pytest.mark.usefixtures("stack")
def test_no_command_line_holds_a_secret(folder: Path) -> None:
    secrets = json.loads((folder / "credentials.json").read_text()).values()
    commands = " ".join(word for process in processes_of(folder) for word in process.cmdline())
    assert "weed" in commands
    assert not any(secret in commands for secret in secrets)


@pytest.mark.usefixtures("stack")
def test_no_log_holds_a_secret(folder: Path) -> None:
    secrets = json.loads((folder / "credentials.json").read_text())
    del secrets["s3_access_key"]  # a name, not a secret
    logs = "".join(log.read_text() for log in (folder / "logs").iterdir())
    assert not any(secret in logs for secret in secrets.values())


@pytest.mark.usefixtures("stack")
def test_only_the_owner_of_the_folder_can_read_it(folder: Path) -> None:
    assert folder.stat().st_mode & 0o777 == 0o700
    for file in ("stack.json", "credentials.json", "lock", "ports.json"):
        assert (folder / file).stat().st_mode & 0o777 == 0o600, file
    for data in ("postgres", "temporal", "s3", "kafka", "logs"):
        assert (folder / data).stat().st_mode & 0o777 == 0o700, data


def test_the_stack_file_names_every_address_process_and_log(stack: Settings, folder: Path) -> None:
    state = read_state(folder)
    assert state["wardflow"]["pid"] == lock.holder(folder)
    for part in ("postgres", "temporal", "s3", "kafka", "fhir_sandbox"):
        assert psutil.pid_exists(state[part]["pid"])
        assert Path(state[part]["log"]).is_file()
    with urlopen(state["temporal_ui"]["url"], timeout=5) as page:  # noqa: S310 - our own address
        assert page.status == 200
    patients = httpx.get(f"{state['fhir_sandbox']['url']}/Patient?address-postalcode=01906", trust_env=False)
    assert patients.json()["total"] == 2
    assert Settings(stack=stack.stack).postgres.dsn == stack.postgres.dsn


async def test_the_owner_may_make_roles_and_databases_but_not_reach_the_machine(stack: Settings) -> None:
    connection = await asyncpg.connect(text(stack.postgres.dsn))
    try:
        await connection.execute("CREATE ROLE somebody; DROP ROLE somebody")
        await connection.execute("CREATE DATABASE another")
        await connection.execute("DROP DATABASE another")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch("SELECT pg_read_file('/etc/passwd')")
        await connection.execute("CREATE TABLE kept (value int); INSERT INTO kept VALUES (1)")
    finally:
        await connection.close()


async def test_nobody_gets_into_postgres_without_a_password(stack: Settings) -> None:
    dsn = httpx.URL(text(stack.postgres.dsn))
    for role in ("postgres", "wardflow"):
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(host="127.0.0.1", port=dsn.port, user=role, password="guess", database="wardflow")  # noqa: S106


def test_an_object_is_private_at_every_door(stack: Settings, folder: Path) -> None:
    store = object_store(stack)
    store.make_bucket("wardflow")
    store.put_object("wardflow", "secret.txt", io.BytesIO(b"patient"), 7)
    ports = json.loads((folder / "ports.json").read_text())
    for door, path in (("s3", "/wardflow"), ("s3_filer", "/buckets/wardflow"), ("s3_filer", "")):
        answer = httpx.get(f"http://127.0.0.1:{ports[door]}{path}/secret.txt", trust_env=False)
        assert answer.status_code in (401, 403), door
        assert b"patient" not in answer.content


def test_a_second_start_says_that_the_stack_runs_and_where(stack: Settings, folder: Path) -> None:
    second = subprocess.run(  # noqa: S603 - the command is ours
        SUPERVISE, env={"WARDFLOW_STACK__FOLDER": str(folder)}, capture_output=True, text=True, check=False
    )
    assert second.returncode == 1
    assert f"A stack runs already in {folder}" in second.stderr
    assert "temporal_ui http://127.0.0.1:" in second.stderr
    said: list[str] = []
    again = ensure_running(settings_in(folder), report=said.append)
    assert "runs already" in said[0]
    assert again.postgres.dsn == stack.postgres.dsn


async def test_a_second_stack_runs_on_the_same_machine(stack: Settings, tmp_path: Path) -> None:
    async with embedded_stack(settings_in(tmp_path), parts=("s3", "postgres")) as second:
        assert second.s3.url != stack.s3.url
        object_store(second).make_bucket("theirs")
        assert not object_store(stack).bucket_exists("theirs")


@pytest.mark.usefixtures("stack")
async def test_the_doctor_misses_only_the_worker_and_tells_no_secret(folder: Path) -> None:
    report = await examine(settings_in(folder), check_bootstrap=lambda _: ["The schema is 2 revisions behind."])
    assert {part.name: part.state for part in report.parts} == {
        "postgres": "running",
        "s3": "running",
        "temporal": "running",
        "kafka": "running",
        "worker": "not running",
        "api": "not running",
        "fhir_sandbox": "running",
    }
    versions = {part.name: part.version for part in report.parts}
    assert versions["postgres"].startswith("18.")
    assert versions["temporal"].startswith("1.")
    assert "SeaweedFS" in versions["s3"]
    assert versions["kafka"] == "4.3.1"
    assert [problem.message for problem in report.problems] == [
        "worker is not running.",
        "api is not running.",
        "The schema is 2 revisions behind.",
    ]
    assert all(problem.advice for problem in report.problems)
    secrets = json.loads((folder / "credentials.json").read_text()).values()
    assert not any(secret in json.dumps(asdict(report)) for secret in secrets)


async def test_killed_servers_come_back_on_their_ports_with_their_data(stack: Settings, folder: Path) -> None:
    before = read_state(folder)
    master = f"http://127.0.0.1:{json.loads((folder / 'ports.json').read_text())['s3_master']}"
    for part in ("postgres", "s3"):
        psutil.Process(before[part]["pid"]).kill()

    async def are_back() -> bool:
        now = read_state(folder)
        healths = (
            await postgres.health(before["postgres"]["url"]),
            await s3.health_with_volumes(before["s3"]["url"], master),
        )
        return not any(health.problem for health in healths) and all(
            now[part].get("pid") not in (None, before[part]["pid"]) for part in ("postgres", "s3")
        )

    async with asyncio.timeout(30):
        while not await are_back():  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.05)
    assert object_store(stack).get_object("wardflow", "secret.txt").read() == b"patient"
    assert await kept(stack) == 1
    after = read_state(folder)
    assert after["postgres"]["url"] == before["postgres"]["url"]
    assert after["temporal"] == before["temporal"]
    assert after["fhir_sandbox"] == before["fhir_sandbox"]


async def test_after_a_kill_of_the_supervisor_nothing_is_left_and_the_next_start_finds_the_data(
    stack: Settings, folder: Path
) -> None:
    servers = processes_of(folder)
    sandbox = read_state(folder)["fhir_sandbox"]["url"]
    psutil.Process(read_state(folder)["wardflow"]["pid"]).kill()
    until(lambda: lock.holder(folder) is None)
    report = await examine(settings_in(folder))
    assert "was killed" in report.problems[0].message
    # The settings are read with the stale stack.json in place: what it names is not taken for somebody else's servers.
    anew = ensure_running(settings_in(folder), report=print, command=SUPERVISE)
    assert running(folder)["postgres"]["pid"] not in {process.pid for process in servers}
    assert anew.postgres.dsn == stack.postgres.dsn  # the same port and password
    assert running(folder)["fhir_sandbox"]["url"] == sandbox
    assert await kept(anew) == 1
    assert object_store(anew).get_object("wardflow", "secret.txt").read() == b"patient"


@pytest.mark.usefixtures("stack")
def test_down_ends_every_process_and_can_be_repeated(folder: Path) -> None:
    said: list[str] = []
    processes = [*processes_of(folder), psutil.Process(read_state(folder)["wardflow"]["pid"])]
    end_running(settings_in(folder), report=said.append)
    end_running(settings_in(folder), report=said.append)
    assert "has ended" in said[0]
    assert "Nothing runs" in said[1]
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)
    assert not (folder / "stack.json").exists()


async def kept(settings: Settings) -> int:
    """What an earlier test has written."""
    connection = await asyncpg.connect(text(settings.postgres.dsn))
    try:
        value = await connection.fetchval("SELECT value FROM kept")
    finally:
        await connection.close()
    assert isinstance(value, int)
    return value
