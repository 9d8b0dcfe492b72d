"""Patients become rows, those without a name or a birth date too."""

import json
from typing import Any

import pytest

from library.sources.fhir.datasets import KEY_LIMIT
from library.sources.fhir.names import search_name
from tests.support.fhir import case, example, read, read_lines, resource

US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-"


def row(**elements: object) -> Any:
    return read(resource("Patient", **elements)).patient


def test_hl7s_examples_become_right_rows() -> None:
    peter = read(example("Patient-example")).patient
    assert (peter["family"], peter["given"], peter["gender"]) == ("Chalmers", '{"Peter","James"}', "male")
    assert peter["search_names"] == '{"family_chalmers","family_windsor","given_peter","given_james","given_jim"}'
    assert (peter["city"], peter["state"], peter["postal_code"]) == ("PleasantVille", "Vic", "3999")
    assert (peter["birth_date"], peter["deceased"]) == ("1974-12-25", "f")
    named_by_text = read(example("Patient-ch-example")).patient
    assert (named_by_text["name_text"], named_by_text["given"], named_by_text.get("family")) == ("张无忌", "{}", None)
    assert (named_by_text["last_updated"], named_by_text["version_number"]) == ("2016-05-16T00:55:52Z", "1")
    assert read(example("Patient-f201")).patient["language"] == "nl-NL"
    dead = read(example("Patient-pat3")).patient
    assert (dead["deceased"], dead["deceased_at"]) == ("t", "2015-02-14T13:42:00+10:00")
    for nameless in ("Patient-newborn", "Patient-animal"):
        assert read(example(nameless)).patient.get("family") is None


def test_a_patient_of_whom_nothing_is_known_is_a_row() -> None:
    assert row() == {
        "_line": "1",
        "id": "1",
        "server": "here",
        "last_updated": "2026-03-01T12:00:00+00:00",
        "version_number": "-1",
        "version_id": "",
        "given": "{}",
        "search_names": "{}",
        "address_lines": "{}",
        "postal_codes": "{}",
        "compared_postal_codes": "{}",
        "outdated": "f",
        "object_key": "landed/fhir/x",
    }


def test_the_official_name_counts_and_all_are_searched() -> None:
    names = [
        {"use": "old", "family": "Windsor"},
        {"given": ["No", "Use"]},
        {"use": "official", "family": "O'Brien", "given": ["Zoë", None, "Ann"]},
    ]
    found = row(name=names)
    assert (found["family"], found["given"]) == ("O'Brien", '{"Zoë","Ann"}')
    assert found["search_names"] == '{"family_windsor","family_obrien","given_no","given_use","given_zoe","given_ann"}'


@pytest.mark.parametrize(
    ("name", "searched"),
    [
        ("O'BRIEN", "family_obrien"),
        ("Müller", "family_muller"),
        ("van de Heuvel", "family_vandeheuvel"),
        ("Straße", "family_strasse"),
        ("张", "family_张"),
        ("Łukaszewicz", "family_lukaszewicz"),
        ("SØREN", "family_soren"),
        ("Đorđe", "family_dorde"),
        ("Æthel", "family_aethel"),
        ("IŞIL", "family_isil"),
        ("I\u015f\u0131l", "family_isil"),
        ("İpek", "family_ipek"),
        ("Þórður", "family_thordur"),
        ("Ǿ", "family_o"),
        ("Ka\u02bbahumanu", "family_kaahumanu"),
        ("'\\ :*&", "family_"),
    ],
)
def test_names_are_searched_without_case_accents_and_signs(name: str, searched: str) -> None:
    assert search_name("family", name) == searched


def test_the_text_of_a_name_is_searched_where_parts_are_missing() -> None:
    only_text = row(name=[{"text": "Only Text"}])["search_names"]
    assert only_text == '{"family_onlytext","family_text","given_onlytext","given_text"}'
    without_family = row(name=[{"text": "Ann Smith", "given": [None, "Ann"]}])["search_names"]
    assert without_family == '{"family_annsmith","family_smith","given_ann"}'
    assert row(name=[{"text": "A B", "family": "B", "given": ["A"]}])["search_names"] == '{"family_b","given_a"}'


def test_however_long_a_name_is_an_index_can_hold_what_is_searched() -> None:
    assert len(search_name("family", "ﷺ" * 10_000).encode()) < 2_000
    assert len(row(name=[{"given": [f"name {number}" for number in range(1_000)]}])["search_names"]) < 200 * 20
    assert KEY_LIMIT * 4 * 2 < 2_700  # two texts of four-byte characters in one index entry


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("1974", ("1974", "year", "1974-01-01")),
        ("1974-12", ("1974-12", "month", "1974-12-01")),
        ("1974-12-25", ("1974-12-25", "day", "1974-12-25")),
    ],
)
def test_birth_dates_keep_their_precision(given: str, expected: tuple[str, ...]) -> None:
    found = row(birthDate=given)
    assert tuple(found[name] for name in ("birth_date", "birth_date_precision", "birth_date_from")) == expected


def test_the_first_address_is_the_address_and_all_postal_codes_are_searched() -> None:
    found = row(
        address=[
            {"line": ["1 Main St", None, "Apt 2"], "city": "Boston", "state": "MA", "country": "US"},
            {"postalCode": "02139"},
            {"postalCode": "02139-1234"},
            {"postalCode": " 021140001 ", "country": "USA"},
            {"postalCode": "13321-7654", "country": "SA"},
        ]
    )
    assert (found["address_lines"], found["city"], found["country"]) == ('{"1 Main St","Apt 2"}', "Boston", "US")
    assert found.get("postal_code") is None
    assert found["postal_codes"] == '{"02139","02139-1234"," 021140001 ","13321-7654"}'
    assert found["compared_postal_codes"] == '{"02139","02114","13321-7654"}'


def test_case_52_the_current_name_and_address_are_shown_and_all_are_searched() -> None:
    rows = {row["id"]: row for row in read_lines(case("52-name-and-address-period/")).tables["patient"]}
    assert rows["n-period"]["family"] == "NewMarried"
    assert "family_oldmaiden" in rows["n-period"]["search_names"]
    assert (rows["a-old-first"]["city"], rows["a-old-first"]["postal_code"]) == ("Newtown", "99903")
    assert (rows["a-period"]["city"], rows["a-period"]["postal_code"]) == ("Now", "99905")
    assert rows["a-period"]["compared_postal_codes"] == '{"99904","99905"}'


@pytest.mark.parametrize(
    ("period", "has_ended"),
    [
        ({"end": "2026-02"}, True),
        ({"end": "2026-03-01T11:59:59Z"}, True),
        ({"end": "2026-03-01"}, False),
        ({"end": "2026"}, False),
        ({"start": "2030"}, False),
        ({"end": "soon"}, False),
        ({}, False),
    ],
)
def test_an_address_is_former_if_its_period_ended_before_the_patient_came(
    period: dict[str, str], has_ended: bool
) -> None:
    found = row(address=[{"city": "Here", "period": period}, {"city": "There"}])
    assert found["city"] == ("There" if has_ended else "Here")


def test_without_a_current_address_the_first_is_shown() -> None:
    assert row(address=[{"city": "Here", "use": "old"}, {"city": "There", "use": "old"}])["city"] == "Here"


def test_us_core_gives_race_and_ethnicity() -> None:
    def extension(kind: str, *parts: object) -> dict[str, object]:
        return {"url": US_CORE + kind, "extension": list(parts)}

    text = {"url": "text", "valueString": "Mixed"}
    categories = [{"url": "ombCategory", "valueCoding": {"code": code, "display": code.upper()}} for code in ("a", "b")]
    found = row(extension=[extension("race", *categories, text), extension("ethnicity", *categories)])
    assert (found["race"], found["ethnicity"]) == ("Mixed", "A, B")


def test_us_core_is_known_with_slashes_escaped_as_php_writes_them() -> None:
    race = {"url": f"{US_CORE}race", "extension": [{"url": "text", "valueString": "Mixed"}]}
    line = json.dumps(resource("Patient", extension=[race])).replace("/", r"\/")
    assert read_lines(line.encode()).patient["race"] == "Mixed"


def test_the_preferred_language_counts_else_the_first() -> None:
    english = {"language": {"coding": [{"code": "en-US"}], "text": "English"}}
    german = {"language": {"text": "German"}}
    assert row(communication=[english, german])["language"] == "en-US"
    assert row(communication=[english, {**german, "preferred": True}])["language"] == "German"


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"birthDate": "1974-12-25T00:00:00Z"}, "birthDate: not a date of FHIR"),
        ({"birthDate": "1974-02-30"}, "birthDate: a day that the calendar does not have"),
        ({"birthDate": 1974}, "birthDate: expected str, got int"),
        ({"deceasedBoolean": "yes"}, "deceasedBoolean: expected bool, got str"),
        ({"deceasedBoolean": True, "deceasedDateTime": "2001"}, "deceased[x]: both a boolean and a time"),
        ({"name": {"family": "Duck"}}, "name: expected array, got object"),
        ({"name": [{"family": ["Duck"]}]}, "name[0].family: expected str, got array"),
        ({"address": [{"postalCode": 2139}]}, "address[0].postalCode: expected str, got int"),
        ({"address": [{"postalCode": "0" * 256}]}, "address.postalCode: longer than 255 characters"),
    ],
)
def test_what_does_not_fit_is_refused(elements: dict[str, object], reason: str) -> None:
    rows = read(resource("Patient", **elements))
    assert rows.reasons == [f'{{"{reason}"}}']
    assert rows.refused[0]["dataset"] == "fhir.patient"
    assert rows.tables["patient"] == []
