"""Every shape of Observation becomes a right row."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.fhir import case, example, observation, read, read_lines

SHARED = Path(__file__).parents[5] / "shared" / "data" / "fhir" / "hl7-r4-examples"
DAY = ("2012-09-17T00:00:00+00:00", "2012-09-17T23:59:59.999999+00:00")


def value_of(row: Any) -> dict[str, Any]:
    return {name: cell for name, cell in row.items() if name.startswith(("value_", "unit", "comparator"))}


def value(**elements: object) -> dict[str, Any]:
    return value_of(read(observation(**elements)).observation)


@pytest.mark.parametrize(
    ("element", "given", "expected"),
    [
        (
            "valueQuantity",
            {"value": 4, "comparator": "<", "unit": "mmol/l", "system": "http://unitsofmeasure.org", "code": "mmol/L"},
            {
                "value_kind": "quantity",
                "value_number": "4.0",
                "comparator": "<",
                "unit": "mmol/l",
                "unit_code": "mmol/L",
            },
        ),
        (
            "valueCodeableConcept",
            {"coding": [{"system": "http://snomed.info/sct", "code": "260385009", "display": "Negative"}]},
            {
                "value_kind": "code",
                "value_code": "260385009",
                "value_code_system": "http://snomed.info/sct",
                "value_text": "Negative",
            },
        ),
        ("valueCodeableConcept", {"text": "none seen"}, {"value_kind": "code", "value_text": "none seen"}),
        ("valueString", "blue", {"value_kind": "text", "value_text": "blue"}),
        ("valueString", "", {"value_kind": "text", "value_text": ""}),
        ("valueBoolean", False, {"value_kind": "boolean", "value_text": "false"}),
        ("valueInteger", -3, {"value_kind": "integer", "value_number": "-3.0"}),
        (
            "valueRange",
            {"low": {"value": 1, "unit": "g"}, "high": {"value": 2.5, "unit": "g"}},
            {"value_kind": "range", "value_low": "1.0", "value_high": "2.5", "unit": "g"},
        ),
        ("valueRange", {"low": {"value": 1}}, {"value_kind": "range", "value_low": "1.0"}),
        (
            "valueRatio",
            {
                "numerator": {"value": 3, "unit": "mg", "code": "mg"},
                "denominator": {"value": 2, "unit": "dL", "code": "dL"},
            },
            {"value_kind": "ratio", "value_low": "3.0", "value_high": "2.0", "unit": "mg/dL", "unit_code": "mg/dL"},
        ),
        (
            "valueRatio",
            {"numerator": {"value": 1}, "denominator": {"value": 128}},
            {"value_kind": "ratio", "value_low": "1.0", "value_high": "128.0"},
        ),
        ("valueTime", "07:30:00", {"value_kind": "time", "value_text": "07:30:00"}),
        (
            "valueDateTime",
            "2012-09-17",
            {"value_kind": "datetime", "value_start": DAY[0], "value_end": DAY[1], "value_text": "2012-09-17"},
        ),
        (
            "valueDateTime",
            "2012-09-17T10:00:00-05:00",
            {
                "value_kind": "datetime",
                "value_start": "2012-09-17T10:00:00-05:00",
                "value_text": "2012-09-17T10:00:00-05:00",
            },
        ),
        (
            "valuePeriod",
            {"start": "2012-09-17", "end": "2012-09-17"},
            {"value_kind": "period", "value_start": DAY[0], "value_end": DAY[1], "value_text": "2012-09-17/2012-09-17"},
        ),
        (
            "valueSampledData",
            {"origin": {"value": 2048}, "period": 10, "dimensions": 1, "data": "2041 2043 E"},
            {
                "value_kind": "sampled_data",
                "value_text": '{"origin": {"value": 2048}, "period": 10, "dimensions": 1, "data": "2041 2043 E"}',
            },
        ),
        ("valueOfAnotherRelease", {"value": 1}, {"value_kind": "none"}),
        ("_valueString", {"extension": []}, {"value_kind": "none"}),
    ],
)
def test_each_kind_of_value_has_its_columns(element: str, given: object, expected: dict[str, Any]) -> None:
    assert value(**{element: given}) == expected
    component = {"code": {"text": "part"}, element: given}
    (part,) = read(observation(component=[component])).components
    assert value_of(part) == expected


@pytest.mark.parametrize(
    ("element", "given", "reason"),
    [
        ("valueQuantity", {"value": "4"}, "valueQuantity.value: expected float, got str"),
        ("valueQuantity", {"value": True}, "valueQuantity.value: expected float, got bool"),
        ("valueInteger", 4.5, "valueInteger: expected int, got float"),
        ("valueInteger", 2**31, "valueInteger: outside -2147483648 to 2147483647"),
        ("valueBoolean", "true", "valueBoolean: expected bool, got str"),
        ("valueString", 7, "valueString: expected str, got int"),
        ("valueTime", "7:30", "valueTime: not a time of FHIR"),
        ("valueDateTime", "yesterday", "valueDateTime: not a date or time of FHIR (a time needs its zone)"),
        ("valuePeriod", {"end": "2012-13"}, "valuePeriod: a time that the calendar or the clock does not have"),
        ("valueCodeableConcept", {"coding": {"code": "1"}}, "valueCodeableConcept.coding: expected array, got object"),
        ("code", "8302-2", "code: expected object, got str"),
        ("code", {"coding": [{"code": "c" * 256}]}, "code: longer than 255 characters"),
        ("subject", {"reference": ["Patient/1"]}, "subject.reference: expected str, got array"),
        ("subject", {"reference": "Patient/" + "p" * 256}, "subject.reference: longer than 255 characters"),
        ("category", {"text": "lab"}, "category: expected array, got object"),
        ("issued", "2013-04-03", "issued: not a time to the second"),
        ("effectiveDateTime", "2012-09-17T10:00:00", "effectiveDateTime: not a date or time of FHIR"),
        ("meta", {"lastUpdated": "now"}, "meta.lastUpdated: not a date or time of FHIR"),
        ("meta", {"versionId": 1}, "meta.versionId: expected str, got int"),
        ("id", "", "id: missing"),
        ("id", 17, "id: expected str, got int"),
        ("id", "i" * 256, "id: longer than 255 characters"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place_and_never_made_to_fit(
    element: str, given: object, reason: str
) -> None:
    rows = read(observation(**{element: given}))
    assert rows.tables["observation"] == []
    (said,) = rows.reasons
    assert reason in said


def test_a_component_that_does_not_fit_takes_its_observation_with_it() -> None:
    rows = read(observation(component=[{"valueString": "x"}, {"valueTime": "late"}]))
    assert rows.reasons == ['{"component 2, valueTime: not a time of FHIR"}']
    assert (rows.tables["observation"], rows.components) == ([], [])


def test_two_values_or_two_times_are_refused() -> None:
    both = read(
        observation(valueString="a", valueBoolean=True),
        observation(valueQuantity={"value": 1}, valueCodeableConcept={"text": "a"}),
        observation(effectiveDateTime="2012", effectiveInstant="2012-01-01T00:00:00Z"),
    )
    assert both.reasons == [
        '{"value[x]: more than one value"}',
        '{"value[x]: more than one value"}',
        '{"effective[x]: more than one time"}',
    ]


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"effectiveDateTime": "2012"}, ("2012-01-01T00:00:00+00:00", "2012-12-31T23:59:59.999999+00:00", "2012")),
        (
            {"effectiveDateTime": "2012-02"},
            ("2012-02-01T00:00:00+00:00", "2012-02-29T23:59:59.999999+00:00", "2012-02"),
        ),
        (
            {"effectiveDateTime": "2012-02-03T10:20+02:00"},
            ("2012-02-03T08:20:00+00:00", "2012-02-03T08:20:59.999999+00:00", "2012-02-03T10:20+02:00"),
        ),
        ({"effectiveInstant": "2012-02-03T10:20:30.5Z"}, ("2012-02-03T10:20:30.5Z", None, "2012-02-03T10:20:30.5Z")),
        (
            {"effectivePeriod": {"start": "2012-02-03T10:20:30Z", "end": "2012-03"}},
            ("2012-02-03T10:20:30Z", "2012-03-31T23:59:59.999999+00:00", "2012-02-03T10:20:30Z/2012-03"),
        ),
        ({"effectivePeriod": {"end": "2012"}}, (None, "2012-12-31T23:59:59.999999+00:00", "/2012")),
        (
            {"effectiveTiming": {"event": ["2012-03-01T00:00:00Z", "2012-01"]}},
            ("2012-01-01T00:00:00+00:00", "2012-03-01T00:00:00Z", "2012-01/2012-03-01T00:00:00Z"),
        ),
        (
            {"effectiveTiming": {"repeat": {"boundsPeriod": {"start": "2012"}}}},
            ("2012-01-01T00:00:00+00:00", None, "2012/"),
        ),
        ({"effectiveTiming": {"code": {"text": "BID"}}}, (None, None, None)),
        ({}, (None, None, None)),
    ],
)
def test_times_keep_their_precision_and_their_zone(elements: Any, expected: tuple[str | None, ...]) -> None:
    row = read(observation(**elements)).observation
    assert tuple(row.get(f"effective_{part}") for part in ("start", "end", "text")) == expected


@pytest.mark.parametrize(
    ("reference", "patient_id"),
    [
        ("Patient/123", "123"),
        ("Patient/123/_history/2", "123"),
        ("https://example.org/fhir/Patient/a.b-c", None),
        ("urn:uuid:6564218e-d42d-30d0-8710-f63c4ab668ce", "6564218e-d42d-30d0-8710-f63c4ab668ce"),
        ("urn:oid:1.2.3", "1.2.3"),
        ("#newborn", None),
        ("Group/herd1", None),
        ("123", None),
        ("Patient/", None),
        ("", None),
    ],
)
def test_a_reference_names_the_patient_if_it_leads_to_one_of_this_server(
    reference: str, patient_id: str | None
) -> None:
    assert read(observation(subject={"reference": reference})).observation.get("patient_id") == patient_id


def test_all_codes_and_categories_are_there_to_search_for() -> None:
    row = read(
        observation(
            code={"coding": [{"code": "BT"}, {"system": "http://loinc.org", "code": "8310-5", "display": "Temp"}]},
            category=[{"coding": [{"code": "survey"}]}, {"coding": [{"code": "sdoh"}]}, {"text": "Own"}],
        )
    ).observation
    assert (row["code"], row["code_text"], row["codes"]) == ("BT", "Temp", '{"BT","8310-5"}')
    assert (row["category"], row["categories"]) == ("survey", '{"survey","sdoh","Own"}')


def test_versions_are_numbers_where_they_are_and_without_a_time_the_landing_counts() -> None:
    def order(meta: Any) -> tuple[Any, ...]:
        row = read(observation(meta=meta)).observation
        return row["last_updated"], row["version_number"], row["version_id"]

    landed = "2026-03-01T12:00:00+00:00"
    assert order({"versionId": "12", "lastUpdated": "2020-01-01T00:00:00.123Z"}) == (
        "2020-01-01T00:00:00.123Z",
        "12",
        "12",
    )
    assert order({"versionId": "W/9a"}) == (landed, "-1", "W/9a")
    assert order({"versionId": "1764322013123456789"}) == (landed, "1764322013123456789", "1764322013123456789")
    assert order({"versionId": "9" * 30}) == (landed, f"{2**63 - 1}", "9" * 30)
    assert order(None) == order({}) == (landed, "-1", "")


def test_a_reference_range_of_the_ill_is_not_taken_for_the_normal_one() -> None:
    severe = {"high": {"value": 8}, "type": {"text": "Severe TBI"}}
    normal = {"low": {"value": 22}, "high": {"value": 29}, "type": {"coding": [{"code": "normal"}]}}
    row = read(observation(referenceRange=[severe, normal])).observation
    assert (row["reference_low"], row["reference_high"]) == ("22.0", "29.0")
    assert "reference_high" not in read(observation(referenceRange=[severe])).observation


def test_case_51_of_several_normal_ranges_none_is_taken_and_all_are_kept_with_whom_they_apply_to() -> None:
    rows = {row["id"]: row for row in read_lines(case("51-reference-range-by-sex-and-age/")).tables["observation"]}
    assert {id_: row["reference_text"] for id_, row in rows.items()} == {
        "rr-sex": "12/16 mg/dL (Female), 14/18 mg/dL (Male)",
        "rr-age": "1/2 mg/dL (age /1 a), 3/4 mg/dL (age 18/ a)",
    }
    assert all("reference_low" not in row and "reference_high" not in row for row in rows.values())


def test_a_range_without_numbers_for_other_people_is_another_range() -> None:
    woman = {"low": {"value": 12}, "high": {"value": 16}, "appliesTo": [{"text": "Female"}]}
    row = read(observation(referenceRange=[woman, {"text": "see note", "appliesTo": [{"text": "Male"}]}])).observation
    assert "reference_low" not in row
    assert row["reference_text"] == "12/16 (Female), / (Male)"


def test_the_same_range_for_everybody_or_only_one_is_taken() -> None:
    def limits(*ranges: object) -> tuple[str, str]:
        row = read(observation(referenceRange=list(ranges))).observation
        return row["reference_low"], row["reference_high"]

    woman = {"low": {"value": 12}, "high": {"value": 16}, "appliesTo": [{"text": "Female"}]}
    assert limits(woman) == limits(woman, woman | {"appliesTo": [{"text": "Male"}]}) == ("12.0", "16.0")
    assert limits(woman, {"text": "a range without numbers"}) == ("12.0", "16.0")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "Observation-f202",
            {
                "code": "BT",
                "value_number": "39.0",
                "unit": "degrees C",
                "interpretation": "H",
                "reference_high": "38.2",
            },
        ),
        (
            "Observation-f203",
            {"interpretation": "N", "reference_low": "22.0", "reference_high": "29.0", "patient_id": "f201"},
        ),
        (
            "Observation-unsat",
            {"value_kind": "none", "data_absent_reason": "125154007", "status": "cancelled", "reference_low": "3.1"},
        ),
        ("Observation-abdo-tender", {"value_kind": "boolean", "value_text": "true", "interpretation": "A"}),
        ("Observation-eye-color", {"code_text": "eye color", "value_kind": "text", "value_text": "blue"}),
        ("Observation-bloodgroup", {"value_kind": "code", "value_code": "112144000", "value_text": "A"}),
        ("Observation-date-lastmp", {"value_kind": "datetime", "value_text": "2016-12-30"}),
        ("Observation-herd1", {"value_number": "0.2", "interpretation": "NEG"}),
        (
            "Observation-f002",
            {"effective_start": "2013-04-02T10:30:10+01:00", "effective_end": "2013-04-05T10:30:10+01:00"},
        ),
        ("Observation-10minute-apgar-score", {"value_number": "10.0", "unit_code": "{score}", "category": "survey"}),
    ],
)
def test_hl7s_examples_become_right_rows(name: str, expected: dict[str, str]) -> None:
    row = read(example(name)).observation
    assert {column: row.get(column) for column in expected} == expected


def test_the_parts_of_hl7s_examples_become_right_rows() -> None:
    systolic, diastolic = read(example("Observation-blood-pressure")).components
    assert (systolic["code"], systolic["value_number"], systolic["unit"]) == ("8480-6", "107.0", "mmHg")
    assert (diastolic["code"], diastolic["value_number"], diastolic["interpretation"]) == ("8462-4", "60.0", "L")
    assert [part["position"] for part in (systolic, diastolic)] == ["1", "2"]
    _, missing = read(example("Observation-blood-pressure-dar")).components
    assert (missing["value_kind"], missing["data_absent_reason"]) == ("none", "not-performed")
    lead, *_ = read(example("Observation-ekg")).components
    assert json.loads(lead["value_text"])["data"].startswith("2041 2043 2037")
    numbers = [part["value_number"] for part in read(example("Observation-decimal")).components]
    assert [float(number) for number in numbers] == [1, 1, 1, 1e-22, 1e18, 1e-245, -1e245]


@pytest.mark.skipif(not SHARED.exists(), reason="HL7's examples are not all shipped")
def test_all_of_hl7s_examples_become_rows() -> None:
    given = [json.loads(path.read_bytes()) for path in sorted(SHARED.glob("*.json"))]
    rows = read(*given)
    assert rows.reasons == []
    observations = [each for each in given if each["resourceType"] == "Observation"]
    by_id = {row["id"]: row for row in rows.tables["observation"]}
    assert by_id.keys() == {each["id"] for each in observations}
    for each in observations:
        row = by_id[each["id"]]
        assert (row["value_kind"] != "none") == any(name.startswith("value") for name in each)
        assert ("effective_text" in row) == any(name.startswith("effective") for name in each)
        parts = [part for part in rows.components if part["observation_id"] == each["id"]]
        assert len(parts) == len(each.get("component", []))


def test_unknown_elements_break_nothing() -> None:
    odd = observation(valueString="x", code={"coding": [{"code": "1", "odd": {"a": [1]}}], "odd": 1}, odd=[{}, None])
    assert read(odd).observation["value_text"] == "x"


def test_a_row_has_a_cell_for_each_column_in_order() -> None:
    text = json.dumps(
        observation(status="final", code={"coding": [{"code": "1"}]}, encounter={"reference": "Encounter/9"})
    )
    row = read_lines(text.encode()).observation
    assert (row["status"], row["code"], row["encounter_id"]) == ("final", "1", "9")
    assert (row["id"], row["server"], row["object_key"]) == ("1", "here", "landed/fhir/x")


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        ({"numerator": {"value": 1}, "denominator": {"value": 128}}, ("1.0", "128.0", None, None)),
        (
            {"numerator": {"value": 1, "comparator": "<"}, "denominator": {"value": 128}},
            ("1.0", "128.0", "<", None),
        ),
        (
            {"numerator": {"value": 1}, "denominator": {"value": 128, "comparator": ">"}},
            ("1.0", "128.0", None, "1/>128"),
        ),
        ({"denominator": {"value": 128, "comparator": ">"}}, (None, "128.0", None, "/>128")),
    ],
)
def test_the_comparator_of_a_denominator_is_not_the_ratios(
    ratio: dict[str, Any], expected: tuple[str | None, ...]
) -> None:
    row = read(observation(valueRatio=ratio)).observation
    assert tuple(row.get(f"value_{name}") for name in ("low", "high")) == expected[:2]
    assert (row.get("comparator"), row.get("value_text")) == expected[2:]


def test_numbers_of_ranges_and_normal_ranges_are_kept_as_written_too() -> None:
    given = (
        b'{"resourceType":"Observation","id":"1","valueRange":{"low":{"value":0.10},"high":{"value":1e-400}},'
        b'"referenceRange":[{"low":{"value":1.50},"high":{"value":2}}]}'
    )
    row = read_lines(given).observation
    assert (row["value_low"], row.get("value_high"), row["value_text"]) == ("0.1", None, "0.10/1e-400")
    assert (row["reference_low"], row["reference_high"], row["reference_text"]) == ("1.5", "2.0", "1.50/2")
    assert "reference_text" not in read(observation(referenceRange=[{"low": {"value": 1.5}}])).observation
