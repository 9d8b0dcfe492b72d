"""Records: what is a row, what is refused, and with which words."""

import json
import string
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from library.reading.records import FieldError, RecordRefused
from library.sources.records.moments import moment
from library.sources.records.reading import ADMISSION, LAB_RESULT, PATIENT, RecordKind
from tests.support.streams import admission, encoded, lab_result, patient

VALID = {
    "patient": (PATIENT, patient()),
    "admission": (ADMISSION, admission()),
    "lab result": (LAB_RESULT, lab_result()),
}
SECRET = "Jane-Q-Public-77"  # noqa: S105 - a value that must not turn up in any reason


FIRST, LAST = datetime(2, 1, 1), datetime(9998, 1, 1)  # noqa: DTZ001 - hypothesis adds the zone


def errors(kind: RecordKind, value: Any) -> list[FieldError]:
    try:
        kind.read(value if isinstance(value, bytes) else encoded(value))
    except RecordRefused as refused:
        return refused.errors
    return []


def reasons(kind: RecordKind, value: Any) -> list[str]:
    return [error.reason for error in errors(kind, value)]


def seeds(kind: RecordKind, record: dict[str, Any]) -> dict[str, Any]:
    return {kind.seed_spelling(name): value for name, value in record.items()}


def test_a_patient_becomes_a_row() -> None:
    assert PATIENT.read(encoded(patient(7))) == (
        UUID(int=7),
        "Female",
        datetime(1950, 2, 28, 1, 2, 3, 4_000, UTC),
        "Unknown",
        "Married",
        "Icelandic",
        12.5,
    )


def test_an_admission_becomes_a_row_and_may_have_no_end_yet() -> None:
    start, code, text = datetime(2024, 3, 14, tzinfo=UTC), "I10", "Essential (primary) hypertension"
    assert ADMISSION.read(encoded(admission(1, 2))) == (
        UUID(int=1),
        2,
        start,
        datetime(2024, 3, 20, tzinfo=UTC),
        code,
        text,
    )
    assert ADMISSION.read(encoded(admission(1, 2, admission_end_date=None)))[3] is None


def test_a_laboratory_result_becomes_a_row_and_may_have_no_units() -> None:
    at = datetime(2024, 3, 1, 8, 30, 0, 123_000, UTC)
    assert LAB_RESULT.read(encoded(lab_result(1))) == (UUID(int=1), 1, "CBC: RDW", at, 14.5, "%")
    assert LAB_RESULT.read(encoded(lab_result(1, lab_units=None, lab_value=7)))[4:] == (7.0, None)


@pytest.mark.parametrize("name", VALID)
def test_the_seeds_spelling_gives_the_same_row(name: str) -> None:
    kind, record = VALID[name]
    assert kind.read(encoded(seeds(kind, record))) == kind.read(encoded(record))


def test_the_seeds_spelling_is_pascal_case_with_the_kind_before_it() -> None:
    assert list(seeds(PATIENT, patient()))[:3] == ["PatientID", "PatientGender", "PatientDateOfBirth"]
    assert list(seeds(ADMISSION, admission()))[1:5] == [
        "AdmissionID",
        "AdmissionStartDate",
        "AdmissionEndDate",
        "PrimaryDiagnosisCode",
    ]
    assert "LabDateTime" in seeds(LAB_RESULT, lab_result())
    assert reasons(PATIENT, {"Gender" if name == "gender" else name: value for name, value in patient().items()}) == []


@pytest.mark.parametrize("name", VALID)
def test_every_field_has_to_be_there(name: str) -> None:
    kind, record = VALID[name]
    for missing in record:
        rest = {field: value for field, value in record.items() if field != missing}
        assert reasons(kind, rest) == [f"{missing}: missing"]
    assert reasons(kind, {}) == [f"{field}: missing" for field in record]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("patient_id", "5"),
        ("patient_id", 5),
        ("patient_id", None),
        ("admission_id", "abc"),
        ("admission_id", "1"),
        ("admission_id", 41.9),
        ("admission_id", 1.0),
        ("admission_id", True),
        ("admission_id", 0),
        ("admission_id", -1),
        ("admission_id", 2**31),
        ("admission_id", 10**30),
        ("lab_value", "14.5"),
        ("lab_value", "abc"),
        ("lab_value", True),
        ("lab_value", None),
        ("lab_value", 10**400),
        ("lab_value", [1.0]),
        ("lab_name", 5),
        ("lab_name", ""),
        ("lab_name", None),
        ("lab_name", "x" * 201),
        ("lab_name", "a\0b"),
        ("lab_name", "\ud800"),
        ("lab_units", 5),
        ("lab_units", {"is": "nested"}),
        ("lab_date_time", "2024-02-30"),
        ("lab_date_time", "2024-03-01 25:00:00.000"),
        ("lab_date_time", "13/1/2024"),
        ("lab_date_time", "1/32/2024"),
        ("lab_date_time", "yesterday"),
        ("lab_date_time", "infinity"),
        ("lab_date_time", "now and then"),
        ("lab_date_time", "2024-03-01x08:30:00"),
        ("lab_date_time", "\u0663/1/2024"),
        ("lab_date_time", 1_700_000_000),
        ("lab_date_time", "0001-01-01T00:00:00+14:00"),
    ],
)
def test_a_wrong_value_is_refused_by_its_fields_name_and_never_coerced(field: str, value: object) -> None:
    found = errors(LAB_RESULT, lab_result() | {field: value})
    assert [error.field for error in found] == [field], found


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "not JSON"),
        (b"no json", "not JSON"),
        (b"{", "not JSON"),
        (encoded(lab_result()) + b"x", "not JSON"),
        (encoded(lab_result(lab_value=float("nan"))), "not JSON"),
        (encoded(lab_result(lab_value=float("inf"))), "not JSON"),
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b"5", "not a JSON object"),
        (json.dumps(json.dumps(lab_result())).encode(), "not a JSON object"),
        (b"[" * 1_000_000, "nested too deeply"),
        (b'{"lab_value":' * 100_000, "nested too deeply"),
        (b"\xff\xfe", "not UTF-8"),
        (encoded(lab_result(lab_name="PLACE")).replace(b"PLACE", b"\xe9"), "not UTF-8"),
        (json.dumps(lab_result()).encode("utf-16"), "not UTF-8"),
        (b"\xef\xbb\xbf" + encoded(lab_result()), "not JSON"),
        (b"\0\0\0\0\7" + encoded(lab_result()), "not JSON"),
    ],
    ids=lambda value: repr(value[:20]),
)
def test_what_is_no_record_at_all_is_refused_as_a_whole(value: bytes, reason: str) -> None:
    assert reasons(LAB_RESULT, value) == [reason]


def test_a_number_beyond_double_is_refused() -> None:
    for number in (b"1e400", b"-1e400", b"9" * 400, b"9" * 5_000):
        value = encoded(lab_result(lab_value=0.25)).replace(b"0.25", number)
        assert reasons(LAB_RESULT, value) == ["lab_value: is not a number that a double can hold"]


@pytest.mark.parametrize(
    "number", ["9007199254740993", "1e-400", "-1e-400", "0.12345678901234567890123", "12345678901234567890.123456789"]
)
def test_case_43_a_number_of_which_a_double_loses_digits_is_refused_and_never_0(number: str) -> None:
    value = encoded(lab_result(lab_value=0.25)).replace(b"0.25", number.encode())
    assert reasons(LAB_RESULT, value) == ["lab_value: is not a number that a double can hold"]


@pytest.mark.parametrize(
    "number",
    ["0.10", "0", "-0.0", "0e5", "5e-324", "1.7976931348623157e308", "9007199254740992", "0.10000000000000000555"],
)
def test_a_number_of_which_a_double_loses_no_digit_is_read(number: str) -> None:
    value = encoded(lab_result(lab_value=0.25)).replace(b"0.25", number.encode())
    assert LAB_RESULT.read(value)[4] == LAB_RESULT.read_exactly(value)[4] == float(number)


def test_a_percentage_is_from_0_to_100() -> None:
    for wrong in (-0.001, 100.001, 1e300):
        assert reasons(PATIENT, patient(population_percentage_below_poverty=wrong)) == [
            "population_percentage_below_poverty: is not a number from 0 to 100"
        ]


def test_a_name_that_stands_twice_is_refused_in_either_spelling_and_wherever_it_hides() -> None:
    plain = encoded(lab_result())[:-1]
    for again in (b'"lab_units":"a"', b'"LabUnits":"%"', b'"lab\\u005funits":"%"', b'"lab_units" : null'):
        assert reasons(LAB_RESULT, plain + b"," + again + b"}") == ["lab_units: is there twice"]


def test_an_unknown_field_is_refused_and_named_only_if_it_can_be_a_name() -> None:
    assert reasons(LAB_RESULT, lab_result(ward="7")) == ["ward: there is no such field"]
    assert reasons(LAB_RESULT, lab_result() | {"Jane Q. Public, born 1950": 1}) == ["there is no such field"]


def test_case_44_an_envelope_is_no_record() -> None:
    envelope = {"schema": {}, "payload": {"before": None, "after": lab_result(), "op": "c"}}
    assert set(reasons(LAB_RESULT, envelope)) >= {"payload: there is no such field", "lab_value: missing"}


def test_everything_that_is_wrong_is_said_at_once() -> None:
    assert [error.field for error in errors(PATIENT, {"gender": 1, "race": "", "x": 1})] == [
        "x",
        "patient_id",
        "gender",
        "date_of_birth",
        "race",
        "marital_status",
        "language",
        "population_percentage_below_poverty",
    ]


@pytest.mark.parametrize("name", VALID)
def test_reasons_never_quote_a_value(name: str) -> None:
    kind, record = VALID[name]
    for field in record:
        for wrong in (SECRET * 200, [SECRET], {SECRET: SECRET}):
            told = " ".join(reasons(kind, record | {field: wrong}))
            assert field in told
            assert SECRET not in told


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2024-12-31 23:59:59.123", datetime(2024, 12, 31, 23, 59, 59, 123_000, UTC)),
        ("2024-12-31T23:59:59", datetime(2024, 12, 31, 23, 59, 59, 0, UTC)),
        ("2024-12-31T23:59:59Z", datetime(2024, 12, 31, 23, 59, 59, 0, UTC)),
        ("2024-12-31T23:59:59.5+02:00", datetime(2024, 12, 31, 21, 59, 59, 500_000, UTC)),
        ("2024-12-31T23:59", datetime(2024, 12, 31, 23, 59, tzinfo=UTC)),
        ("2024-12-31", datetime(2024, 12, 31, tzinfo=UTC)),
        ("12/31/2024", datetime(2024, 12, 31, tzinfo=UTC)),
        ("1/2/2024", datetime(2024, 1, 2, tzinfo=UTC)),
        ("2/29/2024", datetime(2024, 2, 29, tzinfo=UTC)),
    ],
)
def test_times_are_read_in_three_forms(text: str, at: datetime) -> None:
    assert moment(text) == at
    assert moment(text).utcoffset() == timedelta(0)


@given(st.datetimes(FIRST, LAST, timezones=st.just(timezone(timedelta(hours=-7)))))
def test_a_time_with_a_zone_is_the_same_instant(at: datetime) -> None:
    assert moment(at.isoformat()) == at


@given(st.dates())
def test_every_day_is_the_same_in_both_spellings(day: Any) -> None:
    assert moment(f"{day.month}/{day.day}/{day.year:04d}") == moment(day.isoformat())


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.data())
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # other programs may use the machine
def test_the_quick_way_and_the_exact_way_agree(data: st.DataObject) -> None:
    kind, record = data.draw(st.sampled_from(list(VALID.values())))
    record = dict(record)
    for field in data.draw(st.lists(st.sampled_from(sorted(record)), max_size=2)):
        record[field] = data.draw(anything)
    if data.draw(st.booleans()):
        record = seeds(kind, record)
    escaped = data.draw(st.booleans())
    value = json.dumps(record, ensure_ascii=escaped).encode(errors="surrogatepass")
    assert _outcome(kind.read, value) == _outcome(kind.read_exactly, value)


@given(st.sampled_from(sorted(VALID)), st.data())
def test_damaged_bytes_are_a_row_or_a_refusal_and_never_anything_else(name: str, data: st.DataObject) -> None:
    kind, record = VALID[name]
    value = bytearray(encoded(record))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(value) - 1))
        value[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        if not value:
            break
    assert _outcome(kind.read, bytes(value)) == _outcome(kind.read_exactly, bytes(value))


@given(st.text(string.printable + "äß漢\u2028", min_size=1, max_size=200))
def test_any_text_without_nul_arrives_as_it_was_sent(text: str) -> None:
    for escaped in (True, False):
        value = json.dumps(lab_result(lab_name=text), ensure_ascii=escaped).encode()
        assert LAB_RESULT.read(value)[2] == text


def _outcome(read: Any, value: bytes) -> Any:
    try:
        return read(value)
    except RecordRefused as refused:
        return refused.reasons
