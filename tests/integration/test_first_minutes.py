"""What a new user does first, by the real command in processes of its own, with a stack of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.runs import NHS

type Wardflow = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def wardflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wardflow]:
    folder = tmp_path_factory.mktemp("first") / ".wardflow"

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 - our own command
            [str(Path(sys.executable).with_name("wardflow")), *words],
            env=os.environ | {"WARDFLOW_STACK__FOLDER": str(folder)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=110,
        )

    yield call
    ended = call("down")
    assert ended.returncode == 0, ended.stderr


@pytest.fixture(scope="module")
def demo(wardflow: Wardflow) -> subprocess.CompletedProcess[str]:
    return wardflow("demo")


def answer(result: subprocess.CompletedProcess[str]) -> Any:
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_the_demo_brings_in_what_was_published_served_and_posted(
    demo: subprocess.CompletedProcess[str],
) -> None:
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert demo.stdout.count(" loaded ") == 8 + 1
    assert demo.stdout.count("✓") == 8 + 1 + 1  # and the posted records
    assert "✗" not in demo.stdout


@pytest.mark.usefixtures("demo")
def test_a_second_demo_finds_its_data_and_says_already_loaded(wardflow: Wardflow) -> None:
    again = wardflow("demo")
    assert again.returncode == 0
    assert again.stdout.count(" already_loaded ") == 8 + 1
    assert again.stdout.count("✓") == 8 + 1 + 1


@pytest.mark.usefixtures("demo")
def test_a_refused_file_among_good_ones_gives_its_reason_and_the_exit_code(wardflow: Wardflow) -> None:
    good = next((NHS / "superseded").iterdir())
    result = wardflow("ingest", "workbook", "--json", str(good), str(NHS / "not-kh03"), __file__)
    outcomes = {each["file"]: each for each in json.loads(result.stdout)}
    assert result.returncode == 3
    assert outcomes[good.name]["state"] == "completed"
    assert outcomes[Path(__file__).name]["error_type"] == "NotAWorkbook"
    refused = [each for each in outcomes.values() if each["error_type"] == "AnotherSeries"]
    assert len(refused) == 3
    assert all(each["error"] and each["advice"] and each["run"] for each in refused)


@pytest.mark.usefixtures("demo")
def test_what_commands_start_is_in_the_audit(wardflow: Wardflow) -> None:
    api = next(part for part in answer(wardflow("doctor", "--json"))["parts"] if part["name"] == "api")
    folder = Path(answer(wardflow("doctor", "--json"))["folder"])
    headers = {"Authorization": f"Bearer {(folder / 'token').read_text().strip()}"}
    with httpx.Client(base_url=api["address"], trust_env=False, headers=headers) as client:
        audited = client.get("/access/audit?actor=local&action=start_run").json()["items"]
        runs = client.get("/runs?limit=1000").json()["items"]
    assert len(audited) >= 8
    assert {each["subject"] for each in audited} <= {run["workflow_id"] for run in runs}


@pytest.mark.usefixtures("demo")
def test_runs_can_be_listed_and_shown_with_their_decoded_steps(wardflow: Wardflow) -> None:
    runs = answer(wardflow("runs", "list", "--json", "--state", "completed"))
    shown = answer(wardflow("runs", "show", "--json", runs[-1]["id"]))
    assert shown["result"] == "loaded"
    steps = [step["step"] for step in shown["steps"]]
    assert steps[0] == "input"
    assert [step for step in steps if step.endswith("→")] == ["stage_workbook →", "load_staged →"]
    assert steps[-1] == "result"
    assert shown["steps"][0]["payload"]["workbook"]["key"] == shown["object_key"]
    assert wardflow("runs", "watch", runs[0]["id"]).returncode == 0


@pytest.mark.usefixtures("demo")
def test_refused_rows_are_listed_with_their_reasons_and_shown_as_they_came(wardflow: Wardflow, tmp_path: Path) -> None:
    file = tmp_path / "patients.ndjson"
    lines = ['{"resourceType": "Patient", "id": "1", "birthDate": "soon"}', "\x1b[31mno JSON"]
    file.write_text("\n".join(lines))
    (imported,) = answer(wardflow("import", "fhir", "--json", str(file)))
    found = answer(wardflow("quarantine", "list", "--json", "--source", "fhir", "--run", imported["run"]))
    assert [(each["line"], each["dataset"]) for each in found] == [(2, "fhir.patient"), (1, "fhir.patient")]
    assert "raw" not in found[0]
    assert len(answer(wardflow("quarantine", "list", "--json", "--reason", "birthDate"))) == 1
    table = wardflow("quarantine", "list")
    assert "birthDate: " in table.stdout
    assert "soon" not in table.stdout
    shown = answer(wardflow("quarantine", "show", "--json", str(found[1]["id"])))
    assert (shown["raw"], shown["raw_encoding"]) == (lines[0], "utf-8")
    assert "\\x1b[31mno JSON" in wardflow("quarantine", "show", str(found[0]["id"])).stdout
    (read,) = answer(
        wardflow("sql", "--json", "SELECT count(*) FROM ingest.rejection WHERE source = 'fhir' AND raw IS NOT NULL")
    )
    assert read["count"] == 2


@pytest.mark.usefixtures("demo")
def test_a_script_is_told_what_clinics_heard_and_what_is_there(wardflow: Wardflow) -> None:
    words = ("--json", "--rate", "20", "--duration", "2", "--bad", "50%", "--verify", "--within", "0")
    told = json.loads(wardflow("simulate", "records", *words).stdout)
    heard = {(each["posted"], each["outcome"], each["status"]): each["records"] for each in told["heard"]}
    assert {("valid", "accepted", 202), ("broken", "refused", 422)} <= set(heard)
    assert sum(heard.values()) == told["posts"] > 20
    assert 0 < told["milliseconds"]["p50"] <= told["milliseconds"]["p99"]
    assert told["surprises"] == []
    accepted = heard["valid", "accepted", 202]
    assert [(each["place"], each["found"] + each["missing"]) for each in told["places"]] == [
        ("warehouse", accepted),
        ("lake", accepted),
    ]
    assert all(each["holds"] is (each["missing"] == 0) for each in told["places"])


@pytest.mark.usefixtures("demo")
def test_sql_reads_and_cannot_write(wardflow: Wardflow) -> None:
    (row,) = answer(wardflow("sql", "--json", "SELECT count(*) AS editions FROM beds.edition"))
    assert row["editions"] >= 8
    refused = wardflow("sql", "DELETE FROM beds.edition")
    assert refused.returncode == 1
    assert "read-only" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.usefixtures("demo")
def test_the_doctor_finds_nothing_wrong(wardflow: Wardflow) -> None:
    report = answer(wardflow("doctor", "--json"))
    assert report["problems"] == []
    assert {part["name"]: part["state"] for part in report["parts"]} == dict.fromkeys(
        ("postgres", "s3", "temporal", "kafka", "worker", "api", "fhir_sandbox"), "running"
    )


@pytest.mark.usefixtures("demo")
def test_the_worker_says_that_it_is_ready_and_what_it_has_done(wardflow: Wardflow) -> None:
    worker = next(part for part in answer(wardflow("doctor", "--json"))["parts"] if part["name"] == "worker")
    with httpx.Client(base_url=worker["address"], trust_env=False) as client:
        assert client.get("/health/live").json() == {"state": "live"}
        assert client.get("/health/ready").json()["parts"] == {
            "postgres": "ok",
            "s3": "ok",
            "temporal": "ok",
            "kafka": "ok",
            "worker": "ok",
        }
        metrics = client.get("/metrics").text
    assert 'wardflow_rows_total{dataset="beds.occupancy",outcome="inserted",source="beds"}' in metrics
    assert "temporal_activity_execution_latency" in metrics


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("ingest", "workbook", "nowhere.xlsx"), "no file or folder"),
        (("ingest", "workbook", str(Path(__file__).parent)), "holds no .xls"),
        (("ingest", "workbook", "https://example.org/x.xlsx"), "allowed"),
        (("runs", "show", "no-such-run"), "No run has an id"),
        (("quarantine", "show", "999999"), "no rejection with the id"),
        (("worker", "--queues", "nonsense"), "No such queues"),
        (("sql", "SELEKT"), "refused the query"),
    ],
)
@pytest.mark.usefixtures("demo")
def test_a_mistake_is_answered_with_a_sentence(wardflow: Wardflow, words: tuple[str, ...], sentence: str) -> None:
    result = wardflow(*words)
    assert result.returncode == 1
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("runs", "list"),
        ("quarantine", "list"),
        ("sql", "SELECT 1"),
        ("ingest", "workbook", __file__),
        ("migrate",),
        ("worker",),
    ],
)
def test_without_a_stack_every_command_says_how_to_start_one(tmp_path: Path, words: tuple[str, ...]) -> None:
    result = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "service.cli", *words],
        env=os.environ | {"WARDFLOW_STACK__FOLDER": str(tmp_path / "none")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 1
    assert "wardflow up" in result.stderr
    assert "Traceback" not in result.stderr
