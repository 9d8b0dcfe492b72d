"""What is stored, changed, deleted, exported and read from files."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from library.contracts.errors import ConfigurationError
from service.sources.fhir.sandbox.app import Options, make_app
from tests.support.sandbox import NO_TLS, RunningSandbox, running_sandbox

JANE = {"resourceType": "Patient", "id": "jane", "address": [{"postalCode": "02139"}]}
WEIGHT = (
    b'{"resourceType":"Observation","id":"w","valueQuantity":{"value":71.50},"subject":{"reference":"Patient/jane"}}'
)


def test_each_put_is_a_new_version_with_a_later_time(client: httpx.Client) -> None:
    first, second = client.put("/Patient/jane", json=JANE), client.put("/Patient/jane", json=JANE)
    assert (first.status_code, second.status_code) == (201, 200)
    assert [each.json()["meta"]["versionId"] for each in (first, second)] == ["1", "2"]
    times = [datetime.fromisoformat(each.json()["meta"]["lastUpdated"]) for each in (first, second)]
    assert times[0] <= times[1]
    assert second.headers["ETag"] == 'W/"2"'
    assert client.get("/Patient/jane").json() == second.json()


def test_an_unknown_resource_is_404_a_deleted_one_410_and_it_can_come_back(client: httpx.Client) -> None:
    assert client.get("/Patient/jane").status_code == 404
    assert client.delete("/Patient/jane").status_code == 404
    client.put("/Patient/jane", json=JANE)
    assert client.delete("/Patient/jane").status_code == 200
    gone = client.get("/Patient/jane")
    assert (gone.status_code, gone.json()["resourceType"]) == (410, "OperationOutcome")
    assert "entry" not in client.get("/Patient?address-postalcode=02139").json()
    again = client.put("/Patient/jane", json=JANE)
    assert (again.status_code, again.json()["meta"]["versionId"]) == (201, "3")
    assert client.get("/Patient/jane").status_code == 200


def test_a_deleted_observation_is_not_found_by_its_patient(sandbox: RunningSandbox, client: httpx.Client) -> None:
    sandbox.put_lines([WEIGHT])
    sandbox.delete("Observation", "w")
    assert "entry" not in client.get("/Observation?patient=jane").json()


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"resourceType":"Patient"}', b'{"resourceType":"Patient","id":"john"}', b"{" * 20_000]
)
def test_what_is_no_such_resource_is_refused(client: httpx.Client, body: bytes) -> None:
    answer = client.put("/Patient/jane", content=body)
    assert (answer.status_code, answer.json()["resourceType"]) == (400, "OperationOutcome")


def test_a_resource_is_served_as_it_was_written_but_for_its_stamp(
    sandbox: RunningSandbox, client: httpx.Client
) -> None:
    sandbox.put_lines([WEIGHT])
    assert '"value":71.50}' in client.get("/Observation/w").text
    assert '"value":71.50}' in client.get("/Observation?patient=jane").text


def test_resources_can_be_served_without_any_stamp(sandbox: RunningSandbox, client: httpx.Client) -> None:
    sandbox.put_as_given(JANE)
    assert client.get("/Patient/jane").json() == JANE


def test_version_ids_can_be_no_numbers() -> None:
    with (
        running_sandbox([], Options(opaque_versions=True)) as sandbox,
        httpx.Client(trust_env=False, verify=NO_TLS) as client,
    ):
        versions = set()
        for _ in range(3):
            sandbox.put(JANE)
            versions.add(client.get(f"{sandbox.url}/Patient/jane").json()["meta"]["versionId"])
        assert len(versions) == 3
        assert not any(version.isdecimal() for version in versions)


@pytest.fixture
def exporting() -> Iterator[RunningSandbox]:
    with running_sandbox(options=Options(export_lines=500, export_waits=2)) as sandbox:
        yield sandbox


def export(client: httpx.Client, url: str, **parameters: str) -> dict[str, Any]:
    """A manifest, asked for as Bulk Data says."""
    started = client.get(url, params=parameters, headers={"Prefer": "respond-async"})
    assert started.status_code == 202
    status = client.get(started.headers["Content-Location"])
    for _ in range(2):
        assert (status.status_code, status.headers["Retry-After"]) == (202, "1")
        status = client.get(started.headers["Content-Location"])
    manifest: dict[str, Any] = status.raise_for_status().json()
    return manifest


def lines(client: httpx.Client, manifest: dict[str, Any]) -> list[dict[str, Any]]:
    return [json.loads(line) for each in manifest["output"] for line in client.get(each["url"]).content.splitlines()]


def test_an_export_lists_files_that_hold_everything_once(exporting: RunningSandbox) -> None:
    with httpx.Client(trust_env=False, verify=NO_TLS) as client:
        manifest = export(client, f"{exporting.url}/$export")
        assert [(each["type"], each["count"]) for each in manifest["output"]] == [
            ("Observation", 500),
            ("Observation", 500),
            ("Observation", 500),
            ("Observation", 41),
            ("Patient", 9),
        ]
        assert manifest["requiresAccessToken"] is False
        assert datetime.fromisoformat(manifest["transactionTime"]).tzinfo
        found = lines(client, manifest)
        assert found == exporting.resources("Observation") + exporting.resources("Patient")
        assert all("lastUpdated" in each["meta"] for each in found)


def test_an_export_can_be_of_one_type_of_what_changed_and_without_stamps(exporting: RunningSandbox) -> None:
    with httpx.Client(trust_env=False, verify=NO_TLS) as client:
        url = f"{exporting.url}/Patient/$export"
        before = export(client, url, _type="Patient")
        assert len(lines(client, before)) == 9
        exporting.put(JANE)
        exporting.set_faults(unstamped_export=1)
        after = export(client, url, _type="Patient", _since=before["transactionTime"])
        assert lines(client, after) == [JANE]


def test_an_export_has_to_be_asked_for_asynchronously_and_can_be_forgotten(exporting: RunningSandbox) -> None:
    with httpx.Client(trust_env=False, verify=NO_TLS) as client:
        assert client.get(f"{exporting.url}/$export").status_code == 400
        started = client.get(f"{exporting.url}/$export", headers={"Prefer": "respond-async"})
        status = started.headers["Content-Location"]
        assert client.delete(status).status_code == 202
        assert client.get(status).status_code == 404


def test_a_transaction_bundle_is_read_with_its_references_made_final(tmp_path: Path) -> None:
    entries = [
        {"fullUrl": "urn:uuid:1-2", "resource": {"resourceType": "Patient", "id": "1-2"}},
        {
            "fullUrl": "urn:uuid:3-4",
            "resource": {"resourceType": "Observation", "subject": {"reference": "urn:uuid:1-2"}},
        },
    ]
    (tmp_path / "bundle.json").write_text(
        json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries})
    )
    (tmp_path / "one.json").write_text(json.dumps(JANE, indent=2))
    (tmp_path / "README.md").write_text("not a resource")
    with running_sandbox([tmp_path]) as sandbox, httpx.Client(trust_env=False, verify=NO_TLS) as client:
        (found,) = client.get(f"{sandbox.url}/Observation?patient=1-2").json()["entry"]
        assert found["resource"]["id"] == "3-4"
        assert found["resource"]["subject"] == {"reference": "Patient/1-2"}
        assert {each["id"] for each in sandbox.resources("Patient")} == {"1-2", "jane"}


def test_resources_of_a_file_keep_their_time_when_the_server_starts_again() -> None:
    stamps = []
    for _ in range(2):
        with running_sandbox() as sandbox:
            stamps.append([each["meta"] for each in sandbox.resources("Patient")])
    assert stamps[0] == stamps[1]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.ndjson", '{"resourceType":"Patient","id":"a"}\n{"resourceType"', "Line 2 of .*a.ndjson is not a FHIR"),
        ("b.json", "{", "b.json is neither"),
        ("c.json", "{}", "c.json is not a FHIR resource. There is no 'resourceType'"),
    ],
)
def test_a_file_that_holds_something_else_is_named(tmp_path: Path, name: str, content: str, sentence: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigurationError, match=sentence):
        make_app([tmp_path])
    with pytest.raises(ConfigurationError, match="There is no file or folder"):
        make_app([tmp_path / "nowhere"])
