"""NDJSON files made after public bug reports: the cases 20 and 37 of `tests/data/cases`."""

from pathlib import Path

import pytest

from config.fhir import FhirServerSettings, FhirSettings
from library.sources.fhir.errors import FileDamaged
from library.sources.fhir.ndjson import inflated
from library.sources.fhir.reading import reader_settings
from tests.support.fhir import CASES, case, read_lines


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("n03-crlf-bom", ["n-crlf1", "n-crlf2"]),
        ("n06-nullarrays", ["n-null"]),
        ("n11-2028", ["n-2028", "n-2028b"]),
        ("n16-nonl", ["n-nonl1", "n-nonl2"]),
    ],
)
def test_case_37_lines_of_every_program_are_read(name: str, ids: list[str]) -> None:
    rows = read_lines(case(f"37-ndjson-shapes/{name}"))
    assert [row["id"] for row in rows.tables["patient"]] == ids
    assert rows.reasons == []


def test_case_37_null_in_an_array_is_no_name() -> None:
    assert read_lines(case("37-ndjson-shapes/n06")).patient["given"] == '{"Ann"}'


def test_case_37_a_nul_character_is_refused_with_its_line_only() -> None:
    rows = read_lines(case("37-ndjson-shapes/n04"))
    assert rows.patient["id"] == "n-after-nul"
    assert [row["line"] for row in rows.refused] == ["1"]


def test_case_37_members_of_a_gzip_file_are_one_file(tmp_path: Path) -> None:
    plain = inflated(CASES / "37-ndjson-shapes" / "n02-multi.ndjson.gz", tmp_path / "plain", 10**6)
    assert [row["id"] for row in read_lines(plain.read_bytes()).tables["patient"]] == ["n-gz1", "n-gz2"]


def test_case_37_a_gzip_file_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileDamaged):
        inflated(CASES / "37-ndjson-shapes" / "n12-truncated.ndjson.gz", tmp_path / "plain", 10**6)


def test_case_20_a_search_is_no_patient_and_only_the_servers_own_address_is_joined() -> None:
    server = FhirServerSettings(base_url="http://127.0.0.1:18999/app/FHIR/r4")
    reading = reader_settings(FhirSettings(servers={"here": server}), "here")
    rows = read_lines(case("20-ndjson/n09"), reading=reading).tables["observation"]
    assert {row["id"]: (row.get("patient_id"), row.get("patient_reference")) for row in rows} == {
        "n-cond": (None, None),
        "n-ext": (None, "https://elsewhere.example.org/fhir/Patient/d-keep"),
        "n-own": ("d-keep", None),
    }


def test_case_20_a_last_line_that_was_cut_off_is_refused_alone() -> None:
    rows = read_lines(case("20-ndjson/n17"))
    assert rows.patient["id"] == "n-tl1"
    assert [row["line"] for row in rows.refused] == ["2"]
