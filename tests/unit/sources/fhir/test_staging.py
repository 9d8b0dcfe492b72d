"""NDJSON, line by line: what cannot be read is kept with its reasons, and the others go on."""

import json
import string
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from library.contracts.objects import ObjectRef
from library.sources.fhir import staging
from library.sources.fhir.errors import NotResources
from library.sources.fhir.observations import ObservationRows
from library.sources.fhir.staging import LINE_LIMIT, READER_VERSION, fhir_identity, stage_ndjson
from tests.support.fhir import LANDED, Rows, case, example, observation, read, read_lines, resource

GOOD = json.dumps(observation(valueString="fine")).encode()
SENTINEL = "Sentinel-4711"


def raw(rows: Rows) -> list[bytes]:
    return [bytes.fromhex(row["raw"].removeprefix("\\x")) for row in rows.refused]


def test_resources_of_each_type_go_to_their_dataset_and_others_are_counted() -> None:
    rows = read(resource("Patient"), observation(), *(resource("Encounter") for _ in range(3)))
    assert (rows.patient["_line"], rows.observation["_line"]) == ("1", "2")
    assert rows.report == {"lines": 5, "refused": 0, "skipped": {"Encounter": 3}, "as_of": LANDED.isoformat()}


def test_resources_that_say_when_they_were_changed_need_no_time_of_landing() -> None:
    meta = {"lastUpdated": "2026-01-01T00:00:00Z"}
    assert "as_of" not in read(resource("Patient", meta=meta), observation(meta=meta)).report
    assert "as_of" in read(resource("Patient", meta=meta), observation(meta={"versionId": "1"})).report


@pytest.mark.parametrize(
    ("strange", "what"),
    [
        (b"<html>\n<body>Sign in</body>\n</html>", "It is a web page, or XML."),
        (b'[{"resourceType":"Patient","id":"1"}]', "It is a list in JSON."),
        (b'{"resourceType": "Bundle", "entry": []}', "It is a Bundle."),
        (json.dumps(resource("Patient"), indent=2).encode(), "It is JSON over several lines, or of something else."),
        (b"id,family\n1,Smith", "No line of it is one."),
        (bytes(range(128, 256)), "No line of it is one."),
    ],
    ids=["html", "list", "bundle", "pretty", "csv", "bytes"],
)
def test_a_file_without_any_resource_says_what_it_seems_to_be(strange: bytes, what: str) -> None:
    assert read_lines(strange).strange == what
    assert read_lines(strange + b"\n" + GOOD).strange == ""


@pytest.mark.parametrize(
    "line", [b'{"resourceType":"Patient","id":"1","birthDate":"x"}', GOOD[:-5], b'{"resourceType":"Encounter"}', b""]
)
def test_a_resource_that_cannot_be_read_or_is_not_for_us_is_one_all_the_same(line: bytes) -> None:
    assert read_lines(line).strange == ""


def test_a_line_that_is_too_long_is_refused_without_its_raw_form_and_is_one_of_the_lines() -> None:
    rows = read_lines(b'{"resourceType":"Patient","id":"' + b"x" * LINE_LIMIT + b'"}\n' + GOOD)
    assert [row.keys() for row in rows.refused] == [{"dataset", "line", "reasons"}]
    assert (rows.report["lines"], rows.report["refused"], rows.strange) == (2, 1, "")


def test_what_is_nothing_is_refused_for_the_dataset_of_its_neighbours() -> None:
    rows = read_lines(b"nothing\n" + json.dumps(resource("Patient")).encode() + b"\nnothing")
    assert [row["dataset"] for row in rows.refused] == ["fhir.patient", "fhir.patient"]


def test_components_name_the_line_of_their_observation() -> None:
    rows = read(resource("Patient"), example("Observation-blood-pressure"))
    assert [(row["_line"], row["_parent"], row["observation_id"]) for row in rows.components] == [
        ("2", "2", "blood-pressure"),
        ("2", "2", "blood-pressure"),
    ]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"invalid-row", "not JSON, or cut off"),
        (GOOD[:-5], "not JSON, or cut off"),
        (GOOD + GOOD, "not JSON, or cut off"),
        (b'{"resourceType":"Observation","id":"1","x":"a\x00b"}', "not JSON, or cut off"),
        (b'{"resourceType":"Observation","id":"1","x":"\\ud800 alone"}', "holds half a surrogate pair"),
        (b'{"resourceType":"Observation","id":"1","status":"\xff"}', "not UTF-8"),
        (b'{"resourceType":"Observation","id":"1","passed over":"\xff"}', "not UTF-8"),
        (b'{"resourceType":"Observation","id":"1","x":' + b"[" * 10_000 + b"]" * 10_000 + b"}", "nested too deeply"),
        (
            b'{"resourceType":"Observation","id":"1","x":' + b'{"x":' * 10_000 + b"1" + b"}" * 10_001,
            "nested too deeply",
        ),
        (
            b'{"resourceType":"Observation","id":"1","valueQuantity":{"value":1e400}}',
            "valueQuantity.value: number out of range",
        ),
        (b'{"resourceType":"Observation","id":"1","valueString":"a\\u0000b"}', "value_text: holds a NUL character"),
        (b'{"resourceType":"Observation","id":"\\u0000"}', "id: holds a NUL character"),
        (b'{"resourceType":"Observation"}', "id: missing"),
        (b'{"id":"1"}', "resourceType"),
        (b'{"resourceType":null}', "resourceType"),
        (b'{"resourceType":17,"id":"1"}', "resourceType"),
        (b"[]", "expected object, got array"),
        (b"17", "expected object, got int"),
        (b"null", "expected object, got null"),
    ],
)
def test_a_line_that_cannot_be_read_is_kept_and_the_others_go_on(bad: bytes, reason: str) -> None:
    rows = read_lines(b"\n".join((GOOD, bad, GOOD)))
    assert len(rows.tables["observation"]) == 2
    (refused,) = rows.refused
    assert reason in refused["reasons"]
    assert (refused["dataset"], refused["line"]) == ("fhir.observation", "2")
    assert raw(rows) == [bad]


def test_what_is_no_json_is_refused_for_the_dataset_of_the_line_before() -> None:
    patient = json.dumps(resource("Patient")).encode()
    rows = read_lines(b"\n".join((patient, b"invalid-row")))
    assert rows.refused[0]["dataset"] == "fhir.patient"


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n", b"\n\n\n", b"\r\n \t\r\n"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_lines_end_as_they_like(bom: bytes, ending: bytes) -> None:
    rows = read_lines(bom + GOOD + (b"\r\n" if b"\r" in ending else b"\n") + GOOD + ending)
    assert [row["_line"] for row in rows.tables["observation"]] == ["1", "2"]
    assert rows.refused == []


def test_a_resource_with_an_element_twice_is_refused() -> None:
    rows = read_lines(b'{"resourceType":"Observation","id":"1","id":"2","valueString":"a","valueString":"b"}')
    assert (rows.tables["observation"], rows.reasons) == ([], ['{"id: is there twice"}'])


def test_a_refused_line_of_more_than_64_kilobytes_is_only_referred_to() -> None:
    rows = read(observation(id="", valueString="x" * 70_000))
    assert "raw" not in rows.refused[0]


def test_reasons_never_quote_what_was_refused() -> None:
    rows = read(
        observation(id=SENTINEL * 50),
        observation(issued=SENTINEL),
        observation(valueQuantity={"value": SENTINEL}),
        observation(code={"coding": [SENTINEL]}),
        observation(valueDateTime=f"2001-{SENTINEL}"),
        observation(meta={"lastUpdated": SENTINEL}),
        observation(resourceType=[SENTINEL]),
        resource("Patient", birthDate=SENTINEL),
        resource("Patient", name=[SENTINEL]),
        resource(SENTINEL),
        {"resourceType": "Observation", "id": "1", "subject": {SENTINEL: 1, "reference": {SENTINEL: 2}}},
    )
    assert rows.report["refused"] == 10
    assert SENTINEL not in " ".join(rows.reasons)
    assert SENTINEL not in json.dumps(rows.report)
    assert rows.report["skipped"] == {"of no type of FHIR": 1}


def failing_for_one(error: Exception) -> Any:
    """A reader of observations that fails on the one with the sentinel."""
    real = ObservationRows.cells

    def cells(rows: ObservationRows, given: Any) -> Any:
        if given.valueString == SENTINEL:
            raise error
        return real(rows, given)

    return cells


def test_a_line_on_which_the_reader_itself_fails_never_stops_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ObservationRows, "cells", failing_for_one(KeyError(SENTINEL)))
    rows = read(observation(), observation(valueString=SENTINEL), observation())
    assert [row["_line"] for row in rows.tables["observation"]] == ["1", "3"]
    assert [row["reasons"] for row in rows.refused] == ['{"the reader failed on it (KeyError)"}']


@pytest.mark.parametrize("line", ["no JSON", {"resourceType": "Patient"}, ""])
def test_a_file_without_an_end_of_lines_that_cannot_be_read_is_refused_as_a_whole(
    monkeypatch: pytest.MonkeyPatch, line: Any
) -> None:
    monkeypatch.setattr(staging, "MOST_REFUSED", 150)
    assert len(read(observation(), *[line] * 150).tables["observation"]) == 1
    with pytest.raises(NotResources):
        read(observation(), *[line] * 151)


def test_a_full_disk_is_no_fault_of_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ObservationRows, "cells", failing_for_one(OSError("no space left")))
    with pytest.raises(OSError, match="no space"):
        read(observation(), observation(valueString=SENTINEL))


def test_the_same_bytes_of_another_server_are_another_load() -> None:
    landed = ObjectRef(key="landed/fhir/x", size=1, sha256="0" * 64, content_type="application/fhir+ndjson")
    here, there = fhir_identity(landed, "here"), fhir_identity(landed, "there")
    assert here.load_id != there.load_id
    assert here.text == f"fhir|here|{'0' * 64}|reader {READER_VERSION}|reload 0"
    assert fhir_identity(landed, "here", reload=1).load_id != here.load_id


def test_a_time_of_landing_without_a_zone_is_a_mistake_of_the_program(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="zone"):
        stage_ndjson(tmp_path, tmp_path, server="s", object_key="k", stamped=datetime(2020, 1, 1))  # noqa: DTZ001 - the point


SCRIPT = """
import resource, sys
from datetime import UTC, datetime
from pathlib import Path
from library.sources.fhir.staging import stage_ndjson
folder = Path(sys.argv[1])
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
staged = stage_ndjson(folder / "landed", folder, server="s", object_key="k", stamped=datetime.now(UTC))
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base
print(staged.rows["fhir.observation"], staged.report["refused"], grown // 1024)
"""


@pytest.mark.parametrize(
    ("megabytes", "rows", "refused"),
    [(50, 2, 1), (10, 3, 0)],
)
def test_a_huge_string_takes_bounded_memory(tmp_path: Path, megabytes: int, rows: int, refused: int) -> None:
    huge = b'{"resourceType":"Observation","id":"huge","valueString":"' + b"x" * (megabytes * 2**20) + b'"}'
    (tmp_path / "landed").write_bytes(b"\n".join((GOOD, huge, GOOD)))
    done = subprocess.run(  # noqa: S603 - the script above
        [sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, check=True
    )
    staged, turned_away, grown = (int(number) for number in done.stdout.split())
    assert (staged, turned_away) == (rows, refused)
    assert grown < 256


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
elements = st.sampled_from(
    [
        *("id", "meta", "status", "category", "code", "subject", "effectiveDateTime", "effectivePeriod", "issued"),
        *("valueQuantity", "valueString", "valueRange", "valueSampledData", "valuePeriod", "interpretation"),
        *("referenceRange", "component", "name", "birthDate", "address", "extension", "communication"),
    ]
)
resources = st.builds(
    lambda kind, parts: {"resourceType": kind, "id": "1", **parts},
    st.sampled_from(["Patient", "Observation"]),
    st.dictionaries(elements, json_values, max_size=4),
)


@given(st.lists(resources, max_size=4))
@settings(max_examples=200, deadline=None)
def test_whatever_resources_hold_each_is_a_row_or_a_rejection(made: list[dict[str, Any]]) -> None:
    rows = read(*made)
    assert len(rows.tables["patient"]) + len(rows.tables["observation"]) + len(rows.refused) == len(made)


@given(st.lists(st.binary(max_size=60) | st.text(string.printable, max_size=60).map(str.encode), max_size=5))
@settings(max_examples=200, deadline=None)
def test_whatever_bytes_come_each_line_is_accounted_for(lines: list[bytes]) -> None:
    content = b"\n".join(lines)
    try:
        rows = read_lines(content)
    except NotResources as error:
        assert "UTF-" in error.message
        assert content.startswith((b"\xff\xfe", b"\xfe\xff")) or content.count(0) > len(content[:64]) / 3
        return
    staged = sum(len(rows.tables[table]) for table in ("patient", "observation"))
    assert staged + len(rows.refused) + sum(rows.report["skipped"].values()) == rows.report["lines"]


@given(st.integers(0, len(GOOD) - 1), st.binary(min_size=1, max_size=3))
@settings(max_examples=200, deadline=None)
def test_a_damaged_line_never_harms_its_neighbours(place: int, damage: bytes) -> None:
    damaged = (GOOD[:place] + damage + GOOD[place + 1 :]).replace(b"\n", b" ")
    rows = read_lines(b"\n".join((GOOD, damaged, GOOD)))
    assert [row["_line"] for row in rows.tables["observation"] if row["_line"] != "2"] == ["1", "3"]


def test_case_35_a_file_in_utf_16_is_named_as_such() -> None:
    with pytest.raises(NotResources, match=r"The file is UTF-16\.") as refused:
        read_lines(case("35-utf16/"))
    assert "UTF-8" in refused.value.advice


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
def test_so_is_one_without_a_mark_or_in_the_other_order(encoding: str) -> None:
    with pytest.raises(NotResources, match=encoding[: len("utf-16")].upper()):
        read_lines(GOOD.decode().encode(encoding))


def test_a_few_zero_bytes_are_no_utf_16() -> None:
    assert len(read_lines(b"{\0\n" + GOOD).tables["observation"]) == 1


def test_case_36_half_a_surrogate_pair_is_named_as_such_and_the_next_line_is_read() -> None:
    rows = read_lines(case("36-lone-surrogate/"))
    assert rows.reasons == ['{"holds half a surrogate pair"}']
    assert rows.patient["id"] == "n-after-sur"


@pytest.mark.parametrize(
    ("text", "is_half"),
    [
        (r"a\ud800b", True),
        (r"\udc00", True),
        (r"\uDBFF", True),
        (r"\ud800\ud800", True),
        (r"\udc00\ud800", True),
        (r"\ud83d\ude00\ude00", True),
        (r"\\\ud800", True),
        (r"\ud83d\ude00", False),
        (r"\\ud800", False),
        (r"\u0041", False),
    ],
)
@pytest.mark.parametrize("where", ['"valueString":"%s"', '"code":{"text":"%s"}', '"note":[{"text":"%s"}]'])
def test_half_a_surrogate_pair_is_named_wherever_it_is(where: str, text: str, is_half: bool) -> None:
    line = '{"resourceType":"Observation","id":"1",' + where % text + "}"
    assert read_lines(line.encode()).reasons == (['{"holds half a surrogate pair"}'] if is_half else [])


def test_case_38_decimals_are_kept_and_times_without_a_zone_are_refused() -> None:
    rows = read_lines(case("38-decimals-times/n07"))
    found = {row["id"]: (row["value_number"], row.get("value_text")) for row in rows.tables["observation"]}
    assert found == {
        "n-big": ("1.2345678901234567e+19", "12345678901234567890.123456789"),
        "n-prec": ("0.10000000894069672", None),
        "n-trail": ("0.01", "0.010"),
    }
    assert [reason.split(":")[0] for reason in rows.reasons] == ['{"valueQuantity.value'] * 2
    times = read_lines(case("38-decimals-times/n08"))
    assert times.tables["observation"] == []
    assert [reason.split(":")[0] for reason in times.reasons] == ['{"effectiveDateTime'] * 2


def test_case_56_a_number_is_kept_as_it_was_written_and_never_becomes_0() -> None:
    rows = read_lines(case("56-precision/")).tables["observation"]
    assert {row["id"]: (row.get("value_number"), row["value_text"]) for row in rows} == {
        "q-0.10": ("0.1", "0.10"),
        "q-big": ("1.2345678901234567e+19", "12345678901234567890.123456789"),
        "q-2p53": ("9007199254740992.0", "9007199254740993"),
        "q-18dig": ("0.12345678901234568", "0.123456789012345678"),
        "q-tiny": (None, "1e-400"),
    }
