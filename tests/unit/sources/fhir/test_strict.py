"""A name that stands twice, and a modifier that is not understood, refuse the resource."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from library.sources.fhir.reading import ReaderSettings
from tests.support.fhir import case, observation, read, read_lines, resource

_HARMLESS = ReaderSettings(harmless=frozenset(("http://x/negated", "http://x/not-as-you-think")))

OBSERVATION: dict[str, Any] = {
    "resourceType": "Observation",
    "id": "o",
    "meta": {"versionId": "3", "lastUpdated": "2030-01-01T00:00:00Z"},
    "status": "final",
    "category": [{"coding": [{"system": "s", "code": "laboratory"}], "text": "lab"}],
    "code": {"coding": [{"system": "http://loinc.org", "code": "718-7", "display": "Haemoglobin"}], "text": "Hb"},
    "subject": {"reference": "Patient/p"},
    "encounter": {"reference": "Encounter/e"},
    "effectivePeriod": {"start": "2020-01-01", "end": "2020-01-02"},
    "issued": "2020-01-03T00:00:00Z",
    "valueQuantity": {"value": 13.1, "comparator": "<", "unit": "g/dL", "code": "g/dL"},
    "interpretation": [{"coding": [{"code": "N"}], "text": "normal"}],
    "referenceRange": [{"low": {"value": 1, "unit": "g/dL"}, "high": {"value": 2}, "type": {"text": "normal"}}],
    "component": [
        {
            "code": {"coding": [{"code": "1"}]},
            "valueRatio": {"numerator": {"value": 1}, "denominator": {"value": 128}},
            "dataAbsentReason": {"text": "none"},
        }
    ],
}
PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p",
    "meta": {"versionId": "3"},
    "extension": [
        {
            "url": "http://hl7.org/fhir/us/core/StructureDefinition/us-core-race",
            "extension": [{"url": "text", "valueString": "White"}],
        }
    ],
    "name": [{"use": "official", "family": "Łukaszewicz", "given": ["Søren"]}],
    "gender": "female",
    "birthDate": "1970-01-01",
    "address": [{"line": ["1 Main Street"], "city": "X", "postalCode": "02139", "country": "US"}],
    "maritalStatus": {"coding": [{"code": "M", "display": "married"}]},
    "communication": [{"language": {"coding": [{"code": "en"}]}, "preferred": True}],
}
_IGNORED: dict[str, Any] = {"note": [{"text": "a"}], "unheardOf": {"a": 1}, "text": {"div": "<div/>"}}


def _objects(found: Any) -> list[dict[str, Any]]:
    if isinstance(found, dict):
        return [found, *(each for content in found.values() for each in _objects(content))]
    return [each for content in found for each in _objects(content)] if isinstance(found, list) else []


_PLACES = [
    (whole, number, name)
    for whole in (OBSERVATION, PATIENT)
    for number, found in enumerate(_objects(whole))
    for name in found
]


class _Twice(dict[str, Any]):
    """An object of which one name is written twice."""

    def __init__(self, found: dict[str, Any], name: str, other: object) -> None:
        super().__init__(found)
        self._name, self._other = name, other

    def items(self) -> Any:
        return [*super().items(), (self._name, self._other)]


def _with_twice(whole: dict[str, Any], number: int, name: str) -> dict[str, Any]:
    """The resource with a name of its numbered object twice, with the same content."""
    counted = -1

    def copied(found: Any) -> Any:
        nonlocal counted
        if isinstance(found, list):
            return [copied(each) for each in found]
        if not isinstance(found, dict):
            return found
        counted += 1
        own = counted
        made = {key: copied(content) for key, content in found.items()}
        return _Twice(made, name, made[name]) if own == number else made

    return dict(copied(whole)) if number else _Twice(whole, name, whole[name])


def test_case_21_a_name_that_stands_twice_refuses_the_resource() -> None:
    rows = read_lines(case("21-duplicate-keys/"))
    assert rows.tables["observation"] == []
    assert rows.reasons == ['{"subject: is there twice"}', '{"valueQuantity.value: is there twice"}']


@given(st.sampled_from(_PLACES), st.booleans(), st.sampled_from([{}, _IGNORED]))
@settings(deadline=None)
def test_in_no_object_that_becomes_columns_a_name_may_stand_twice(
    place: tuple[dict[str, Any], int, str], compact: bool, ignored: dict[str, Any]
) -> None:
    whole, number, name = place
    separators = (",", ":") if compact else None
    good = {**whole, **ignored}
    assert read_lines(json.dumps(good, separators=separators, ensure_ascii=compact).encode()).refused == []
    rows = read_lines(json.dumps(_with_twice(good, number, name), separators=separators).encode())
    (reason,) = rows.reasons
    assert f"{name}: is there twice" in reason


@given(st.text(), st.text(), st.booleans(), st.booleans())
@settings(deadline=None)
def test_texts_of_any_kind_do_not_refuse_a_resource(family: str, other: str, ascii_only: bool, compact: bool) -> None:
    patient = resource("Patient", name=[{"family": family.replace("\0", "")}], note=other)
    line = json.dumps(patient, ensure_ascii=ascii_only, separators=(",", ":") if compact else None)
    assert read_lines(line.encode()).refused == []


def test_a_name_written_with_escapes_is_the_same_name() -> None:
    line = json.dumps(observation(valueString="a")).replace('"valueString"', '"valueString": "b", "value\\u0053tring"')
    assert read_lines(line.encode()).reasons == ['{"valueString: is there twice"}']


def test_what_becomes_no_column_may_hold_a_name_twice() -> None:
    line = b'{"resourceType":"Observation","id":"1","note":[{"text":"a","text":"b"}],"valueString":"fine"}'
    assert read_lines(line).observation["value_text"] == "fine"


def test_case_53_a_modifier_that_is_not_understood_refuses_the_resource() -> None:
    rows = read_lines(case("53-modifier-extension/"))
    assert [row["id"] for row in rows.tables["patient"]] == ["x1"]
    assert rows.tables["observation"] == []
    assert rows.reasons == ['{"modifierExtension is not understood"}', '{"implicitRules is not understood"}']
    assert [row["dataset"] for row in rows.refused] == ["fhir.observation"] * 2


def test_case_53_modifiers_that_a_setting_names_as_harmless_are_ignored() -> None:
    rows = read_lines(case("53-modifier-extension/"), reading=_HARMLESS)
    assert [row["id"] for row in rows.tables["observation"]] == ["ext1", "implicit"]


@pytest.mark.parametrize(
    ("name", "place"),
    [("component", "component 1, "), ("referenceRange", "referenceRange[0]."), ("effectiveTiming", "effectiveTiming.")],
)
@pytest.mark.parametrize("also", [[], ["http://x/other"]])
def test_so_does_a_modifier_of_an_element_that_becomes_columns(name: str, place: str, also: list[str]) -> None:
    urls = ["http://x/negated", *also]
    element: Any = {"modifierExtension": [{"url": url, "valueBoolean": True} for url in urls]}
    given = observation(**{name: element if name == "effectiveTiming" else [element]})
    assert read(given).reasons == [f'{{"{place}modifierExtension is not understood"}}']
    assert bool(read(given, reading=_HARMLESS).reasons) is bool(also)
    assert read(given).reasons != [], "the same element stays refused for others"


def test_a_modifier_without_a_url_is_harmful() -> None:
    modifiers: list[Any] = [[{}], {"url": ["http://x/negated"]}, "text", [7]]
    for modifier in modifiers:
        assert read(observation(modifierExtension=modifier), reading=_HARMLESS).reasons != []


def test_a_modifier_of_what_becomes_no_column_is_ignored() -> None:
    contact = [{"modifierExtension": [{"url": "http://x/negated"}]}]
    assert read(resource("Patient", contact=contact)).patient["id"] == "1"
