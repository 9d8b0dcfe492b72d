"""What `wardflow import fhir` tells of files that hold something else, or nothing."""

import json
from pathlib import Path

import pytest

from config.settings import Settings
from library.objects.store import ObjectStore
from library.warehouse.pool import Pool
from tests.faults.harness import environment_of
from tests.support.commands import Commands
from tests.support.fhir_rows import observation, patient
from tests.support.imports import with_sandbox
from tests.support.runs import workbooks
from tests.support.sandbox import RunningSandbox

PASSED_OVER = "passed over, since they are neither patients nor observations"


def others(**counts: int) -> list[dict[str, str]]:
    """Resources of other types, so many of each."""
    return [{"resourceType": kind, "id": str(number)} for kind, count in counts.items() for number in range(count)]


FIVE = {"Device": 1, "Location": 2, "Group": 3, "Claim": 4, "Goal": 5}
FILES = {
    "both.ndjson": [patient("1"), *others(Organization=12, Device=1)],
    "empty.ndjson": [],
    "five.ndjson": others(**FIVE),
    "patients.ndjson": [patient("2")],
    "seven.ndjson": others(**FIVE, Encounter=1_006, Account=1),
    "six.ndjson": others(**FIVE, Encounter=6),
    "unreadable.ndjson": [patient("3") | {"birthDate": 4}],
}
TOLD = [
    f"both.ndjson: {PASSED_OVER}: Organization 12, Device 1.",
    "empty.ndjson: holds no patient and no observation.",
    f"five.ndjson: {PASSED_OVER}: Goal 5, Claim 4, Group 3, Location 2, Device 1.",
    f"seven.ndjson: {PASSED_OVER}: Encounter 1,006, Goal 5, Claim 4, Group 3, Location 2 and 2 more types.",
    f"six.ndjson: {PASSED_OVER}: Encounter 6, Goal 5, Claim 4, Group 3, Location 2 and 1 more type.",
]


@pytest.fixture
def settings(settings: Settings, fhir_sandbox: RunningSandbox) -> Settings:
    """The sandbox is the one FHIR server."""
    return with_sandbox(settings, fhir_sandbox)


@pytest.fixture
def commands(settings: Settings, fhir_sandbox: RunningSandbox, tmp_path: Path) -> Commands:
    """Commands that start runs."""
    told = {
        "WARDFLOW_STACK__FOLDER": str(tmp_path / "no-stack"),
        "WARDFLOW_FHIR__SERVERS": json.dumps({"sandbox": {"base_url": fhir_sandbox.url}}),
    }
    return Commands(environment_of(settings) | told)


def said(stderr: str) -> list[str]:
    """What a command said of what files hold."""
    return [line for line in stderr.splitlines() if PASSED_OVER in line or ": holds no " in line]


async def test_of_each_file_is_told_what_it_held_that_is_neither_a_patient_nor_an_observation(
    commands: Commands, settings: Settings, pool: Pool, store: ObjectStore, tmp_path: Path
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    for name, resources in FILES.items():
        (folder / name).write_text("".join(f"{json.dumps(each)}\n" for each in resources))
    async with workbooks(settings, pool, store):
        for result in ("loaded", "already_loaded"):
            imported = await commands.call("import", "fhir", str(folder))
            assert imported.exit_code == 0, imported.output
            assert [line.split()[1] for line in imported.stdout.splitlines()[1:]] == [result] * len(FILES)
            assert said(imported.stderr) == TOLD


async def test_a_zip_code_imported_again_shows_the_first_imports_figures(
    commands: Commands, settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    async with workbooks(settings, pool, store):
        told = [await commands.answer("import", "zipcode", "01906") for _ in range(2)]
        printed = await commands.done("import", "zipcode", "01906")
        shown = await commands.answer("runs", "show", told[1][0]["run"])
    assert [each["result"] for (each,) in told] == ["loaded", "already_loaded"]
    assert told[0][0]["counts"] == told[1][0]["counts"] == shown["counts"] != {}
    assert printed.splitlines()[1].split()[:4] == ["01906", "already_loaded", "2", "289"]
    assert shown["report"]["figures_of"] == told[0][0]["run"]


async def test_rows_of_a_zip_code_that_were_refused_are_found_by_the_run_that_an_import_names(
    commands: Commands, settings: Settings, pool: Pool, store: ObjectStore, fhir_sandbox: RunningSandbox
) -> None:
    (known, *_) = (each for each in fhir_sandbox.resources("Patient") if each["address"][0]["postalCode"] == "01906")
    long_ago = {"versionId": "1", "lastUpdated": "2020-01-01T00:00:00Z"}
    fhir_sandbox.put_as_given(observation("x", known["id"]) | {"effectiveDateTime": "yesterday", "meta": long_ago})
    async with workbooks(settings, pool, store):
        for _ in range(2):
            imported = await commands.call("import", "zipcode", "01906")
            (told,) = [line for line in imported.stderr.splitlines() if "1 refused" in line]
            refused = await commands.answer("quarantine", "list", "--run", told.rpartition("--run ")[2].strip("`."))
            assert len(refused) == 1


async def test_an_export_that_was_loaded_before_is_not_said_to_hold_nothing_and_one_without_files_is(
    commands: Commands, settings: Settings, pool: Pool, store: ObjectStore, fhir_sandbox: RunningSandbox
) -> None:
    async with workbooks(settings, pool, store):
        for result in ("loaded", "already_loaded"):
            imported = await commands.call("import", "fhir", f"{fhir_sandbox.url}/$export?_type=Patient")
            assert imported.stdout.splitlines()[1].split()[:2] == ["$export", result]
            assert said(imported.stderr) == []
        nothing = await commands.call("import", "fhir", f"{fhir_sandbox.url}/$export?_type=Device")
    assert said(nothing.stderr) == ["$export: holds no patient and no observation."]


async def test_a_zip_code_without_patients_is_told_so(
    commands: Commands, settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    async with workbooks(settings, pool, store):
        imported = await commands.call("import", "zipcode", "99999")
    assert imported.exit_code == 0, imported.output
    assert "99999: the server has no patient with this zip code." in imported.stderr.splitlines()
