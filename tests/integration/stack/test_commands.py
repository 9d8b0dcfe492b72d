"""`wardflow up`, `down` and `doctor`, and what they say when something is in the way."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.stack.ports import PortBusy, Ports
from service.stack.preflight import port_is_free
from tests.integration.stack.harness import NOWHERE


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def wardflow(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - the command is ours
        [sys.executable, "-m", "service.cli", *words],
        env={"PATH": "/usr/bin:/bin", "WARDFLOW_STACK__FOLDER": str(folder), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_busy_port_that_was_asked_for_is_named_with_its_holder_and_its_setting(
    tmp_path: Path, busy_port: int
) -> None:
    with pytest.raises(PortBusy, match=rf"Port {busy_port} for temporal_ui is busy: python.* listens there") as refused:
        Ports(tmp_path / "ports.json").choose("temporal_ui", busy_port)
    assert "WARDFLOW_STACK__TEMPORAL_UI_PORT" in refused.value.advice


def test_a_port_is_the_one_of_last_time_if_it_is_free(tmp_path: Path) -> None:
    first = Ports(tmp_path / "ports.json").choose("s3")
    assert Ports(tmp_path / "ports.json").choose("s3") == first
    with socket.create_server(("127.0.0.1", first)):
        second = Ports(tmp_path / "ports.json").choose("s3")
    assert second != first
    assert port_is_free(second)


@pytest.mark.parametrize("detach", [(), ("--detach",)])
def test_up_says_which_port_is_busy_and_leaves_nothing_running(
    tmp_path: Path, busy_port: int, detach: tuple[str, ...]
) -> None:
    others_elsewhere = NOWHERE["postgres"] | NOWHERE["s3"] | NOWHERE["kafka"]
    refused = wardflow(tmp_path, "up", *detach, WARDFLOW_STACK__TEMPORAL_PORT=str(busy_port), **others_elsewhere)
    assert refused.returncode == 1
    assert f"Port {busy_port} for temporal is busy" in refused.stdout + refused.stderr
    assert "WARDFLOW_STACK__TEMPORAL_PORT" in refused.stdout + refused.stderr
    assert "Traceback" not in refused.stdout + refused.stderr
    assert not (tmp_path / "stack.json").exists()


def test_down_says_that_nothing_runs(tmp_path: Path) -> None:
    answer = wardflow(tmp_path / "empty", "down")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "Nothing runs" in answer.stdout
    assert not (tmp_path / "empty").exists()


def test_the_doctor_says_that_nothing_runs_and_how_to_change_that(tmp_path: Path) -> None:
    answer = wardflow(tmp_path / "empty", "doctor", "--json")
    assert (answer.returncode, answer.stderr) == (1, "")
    report = json.loads(answer.stdout)
    assert report["stack"] == "not running"
    assert {part["state"] for part in report["parts"]} == {"not running"}
    assert "wardflow up --detach" in report["problems"][0]["advice"]
    assert not (tmp_path / "empty").exists()


def test_the_doctor_says_which_servers_do_not_answer(tmp_path: Path) -> None:
    everything = {name: value for each in NOWHERE.values() for name, value in each.items()}
    answer = wardflow(tmp_path, "doctor", **everything)
    assert answer.returncode == 1
    for part in ("Postgres", "Temporal", "S3", "Kafka"):
        assert f"{part} does not answer" in answer.stdout
    assert "Traceback" not in answer.stdout + answer.stderr


def test_a_port_of_last_time_that_is_taken_now_is_said_with_the_old_and_the_new_address(tmp_path: Path) -> None:
    moved: list[tuple[str, str]] = []
    ports = Ports(tmp_path / "ports.json", on_moved=lambda *told: moved.append(told))
    first = ports.choose("s3")
    assert moved == []
    with socket.create_server(("127.0.0.1", first)):
        second = ports.choose("s3")
    ((name, sentence),) = moved
    assert name == "s3"
    assert f"127.0.0.1:{first} → 127.0.0.1:{second}" in sentence
    assert f"listens on port {first} now" in sentence


def test_up_says_in_one_line_that_a_remembered_port_is_taken(tmp_path: Path, busy_port: int) -> None:
    (tmp_path / "ports.json").write_text(json.dumps({"fhir_sandbox": busy_port}))
    everything = {name: value for each in NOWHERE.values() for name, value in each.items()}
    said = wardflow(tmp_path, "up", **everything).stdout
    assert [line for line in said.splitlines() if f"127.0.0.1:{busy_port} → 127.0.0.1:" in line]


@pytest.mark.parametrize("words", [("up",), ("up", "--detach"), ("demo",)])
def test_a_start_that_fails_ends_with_the_cause_and_what_to_do(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "postgres").mkdir(mode=0o700)
    (tmp_path / "postgres" / "PG_VERSION").write_text("17\n")
    failed = wardflow(tmp_path, *words)
    assert failed.returncode == 1
    assert (failed.stdout + failed.stderr).strip().splitlines()[-2:] == [
        f"The data in {tmp_path / 'postgres'} was written by PostgreSQL 17, "
        "but the installed version is PostgreSQL 18.",
        "Move the data with pg_dump and the former wheel, or move the folder away to begin with empty data.",
    ]


def test_a_server_that_keeps_dying_ends_the_start_with_its_own_words_and_what_to_do(tmp_path: Path) -> None:
    others = NOWHERE["postgres"] | NOWHERE["s3"] | NOWHERE["kafka"]
    (tmp_path / "temporal").mkdir(mode=0o700)
    (tmp_path / "temporal" / "temporal.db").write_bytes(b"no database" * 1_000)
    failed = wardflow(tmp_path, "up", "--detach", WARDFLOW_STACK__FHIR_SANDBOX="false", **others)
    assert failed.returncode == 1
    *_, words, advice = (failed.stdout + failed.stderr).strip().splitlines()
    assert "not a database" in words
    assert "start again" in advice
