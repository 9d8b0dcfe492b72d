"""Restarting, giving up and ending, with tiny processes as parts."""

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from service.stack.lock import AlreadyRunning
from service.stack.part import Health, StackEvent, StackPart
from service.stack.processes import leftovers
from service.stack.runner import claimed, embedded_stack
from service.stack.supervisor import PartKeepsDying
from tests.integration.stack.harness import NOWHERE, processes_of, running, settings_in, supervised, until

SLEEPS = "import time; time.sleep(60)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
)


def tiny(folder: Path, code: str, **more: Any) -> StackPart:
    async def check() -> Health:
        return Health()

    log = folder / "logs" / "tiny.log"
    command = (sys.executable, "-c", code)
    about: dict[str, Any] = {"check": check, "folder": folder} | more
    return StackPart(name="tiny", command=command, environment={}, log=log, entries={}, **about)


async def test_a_part_that_dies_five_times_in_a_minute_is_given_up_with_the_end_of_its_log(tmp_path: Path) -> None:
    happened: list[StackEvent] = []

    async def make() -> StackPart:
        return tiny(tmp_path, "raise SystemExit('the disk is made of cheese')")

    with pytest.raises(PartKeepsDying, match=r"tiny died 5 times.*exit code 1(.|\n)*the disk is made of cheese"):
        async with claimed(settings_in(tmp_path), happened.append) as stack:
            await stack.supervise({"tiny": make})
            await stack.failed.wait()
            stack.raise_failure()
    assert [each.state for each in happened].count("died") == 4
    assert not (tmp_path / "stack.json").exists()


async def test_a_killed_part_is_started_again_and_the_stack_file_has_its_new_process_id(tmp_path: Path) -> None:
    async def make() -> StackPart:
        return tiny(tmp_path, SLEEPS)

    async with claimed(settings_in(tmp_path)) as stack:
        await stack.supervise({"tiny": make})
        first = pid_of_tiny(tmp_path)
        assert first is not None
        psutil.Process(first).kill()
        await until_async(lambda: pid_of_tiny(tmp_path) not in (None, first))
        assert [process.pid for process in leftovers(tmp_path)] == [pid_of_tiny(tmp_path)]
    assert leftovers(tmp_path) == []


async def test_until_it_was_healthy_once_a_part_is_made_anew_with_other_ports(tmp_path: Path) -> None:
    made = 0

    async def make() -> StackPart:
        nonlocal made
        made += 1
        return tiny(tmp_path, SLEEPS if made > 1 else "raise SystemExit('address in use')", check=alive)

    async def alive() -> Health:
        return Health(problem="" if made > 1 else "not yet")

    async with claimed(settings_in(tmp_path)) as stack:
        await stack.supervise({"tiny": make})
        first = pid_of_tiny(tmp_path)
        assert first is not None
        psutil.Process(first).kill()
        await until_async(lambda: pid_of_tiny(tmp_path) not in (None, first))
    assert made == 2  # after it was healthy, it is started on the same ports


async def test_a_part_that_does_not_end_in_time_is_killed_with_its_children(tmp_path: Path) -> None:
    code = f"import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', {STUBBORN!r}])\n{STUBBORN}"

    async def make() -> StackPart:
        return tiny(tmp_path, code, end_seconds=0.2)

    log = tmp_path / "logs" / "tiny.log"
    async with claimed(settings_in(tmp_path)) as stack:
        await stack.supervise({"tiny": make})
        await until_async(lambda: log.read_text().count("ready") == 2)
        processes = processes_of(tmp_path)
        assert len({process.pid for process in processes}) == 2
    await until_async(lambda: leftovers(tmp_path) == [])


async def test_two_stacks_in_one_folder_are_refused(tmp_path: Path) -> None:
    async with claimed(settings_in(tmp_path)):
        with pytest.raises(AlreadyRunning, match="runs already"):
            async with claimed(settings_in(tmp_path)):
                pass


async def test_a_postgres_named_by_its_setting_is_not_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dsn = NOWHERE["postgres"]["WARDFLOW_POSTGRES__DSN"]
    monkeypatch.setenv("WARDFLOW_POSTGRES__DSN", dsn)
    async with embedded_stack(settings_in(tmp_path), parts=("postgres",)) as settings:
        assert settings.postgres.dsn is not None
        assert settings.postgres.dsn.get_secret_value() == dsn
        assert running(tmp_path)["postgres"] == {"url": dsn, "read_only_url": None}
        assert leftovers(tmp_path) == []
    assert not (tmp_path / "postgres").exists()


async def test_servers_of_a_killed_stack_are_not_taken_for_somebody_elses(tmp_path: Path) -> None:
    stale = {"temporal": {"address": "127.0.0.1:1", "namespace": "wardflow", "pid": 1, "log": ""}}
    (tmp_path / "stack.json").write_text(json.dumps(stale))
    settings = settings_in(tmp_path)
    assert settings.temporal.address == "127.0.0.1:1"
    async with embedded_stack(settings, parts=("temporal",)) as found:
        assert found.temporal.address != "127.0.0.1:1"
        assert len(leftovers(tmp_path)) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_every_process(tmp_path: Path, number: signal.Signals) -> None:
    with supervised(tmp_path, NOWHERE["postgres"] | NOWHERE["s3"] | NOWHERE["kafka"]) as supervisor:
        assert leftovers(tmp_path)
        supervisor.send_signal(number)
        output, _ = supervisor.communicate(timeout=20)
        assert supervisor.returncode == 0, output
        assert leftovers(tmp_path) == []
        assert not (tmp_path / "stack.json").exists()


def test_a_stack_without_a_fhir_sandbox_is_a_setting(tmp_path: Path) -> None:
    with supervised(tmp_path, NOWHERE["postgres"] | NOWHERE["s3"] | {"WARDFLOW_STACK__FHIR_SANDBOX": "false"}):
        state = running(tmp_path)
        assert "temporal" in state
        assert "fhir_sandbox" not in state


def test_a_process_that_is_not_of_the_stack_is_left_alone(tmp_path: Path) -> None:
    with supervised(tmp_path / "another", NOWHERE["postgres"] | NOWHERE["s3"] | NOWHERE["kafka"]):
        assert leftovers(tmp_path) == []
        assert leftovers(tmp_path / "another")


def pid_of_tiny(folder: Path) -> int | None:
    """The process id in `stack.json`, if there is one now."""
    pid = json.loads((folder / "stack.json").read_text()).get("tiny", {}).get("pid")
    return pid if isinstance(pid, int) else None


async def until_async(condition: Callable[[], bool]) -> None:
    """Wait for the condition without blocking the event loop."""
    import asyncio

    await asyncio.to_thread(until, condition)
