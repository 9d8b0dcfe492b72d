"""References: those of the own server are joined, and those to other servers stay as they came."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.fhir import FhirServerSettings, FhirSettings
from library.sources.fhir.reading import DEFAULTS, ReaderSettings, digests, reader_settings
from tests.support.fhir import case, observation, read, read_lines

_BASE = "https://fhir.here.example/r4"


def settings_of(server: dict[str, Any], **more: Any) -> ReaderSettings:
    """The reader's settings for a server with these settings."""
    made = FhirServerSettings(**({"base_url": _BASE} | server))
    return reader_settings(FhirSettings(servers={"here": made}, **more), "here")


OWN = settings_of({"next_origins": ["http://inside:8080"], "own_bases": ["https://Old.example:443/fhir/"]})


def patient_of(reference: str, reading: ReaderSettings = OWN) -> tuple[str | None, str | None]:
    """What is stored of a subject."""
    row = read(observation(subject={"reference": reference}), reading=reading).observation
    return row.get("patient_id"), row.get("patient_reference")


@pytest.mark.parametrize(
    "reference",
    [
        "Patient/1",
        "/Patient/1",
        "./Patient/1",
        "Patient/1/_history/7",
        "Patient/1#name",
        f"{_BASE}/Patient/1",
        f"{_BASE}/Patient/1/_history/7",
        "HTTPS://FHIR.Here.Example:443/r4/Patient/1",
        "//fhir.here.example/r4/Patient/1",
        "/r4/Patient/1",
        "http://inside:8080/r4/Patient/1",
        "https://old.example/fhir/Patient/1",
        "urn:uuid:1",
        "urn:oid:1",
    ],
)
def test_a_reference_of_the_own_server_is_joined(reference: str) -> None:
    assert patient_of(reference) == ("1", None)


@pytest.mark.parametrize(
    "reference",
    [
        "https://other.example/r4/Patient/1",
        "https://fhir.here.example/Patient/1",
        "https://fhir.here.example/r4/tenant/Patient/1",
        "https://fhir.here.example/R4/Patient/1",
        "https://fhir.here.example:8443/r4/Patient/1",
        "http://fhir.here.example/r4/Patient/1",
        "https://fhir.here.example.evil.example/r4/Patient/1",
        "https://fhir.here.example@evil.example/r4/Patient/1",
        "https://evil.example/?x=https://fhir.here.example/r4/Patient/1",
        "https://evil.example/#https://fhir.here.example/r4/Patient/1",
        "https://fhir.here.example/r4/../other/Patient/1",
        "https://fhir.here.example\t/r4/Patient/1",
        "http://inside:8080/fhir/Patient/1",
        "http://inside/r4/Patient/1",
        "//other.example/r4/Patient/1",
        "/other/Patient/1",
        "tenant/Patient/1",
        "urn:hospital:patient:1",
        "ftp://fhir.here.example/r4/Patient/1",
        "http://[::1/r4/Patient/1",
        "https://other.example/people/1",
    ],
)
def test_a_reference_to_another_server_is_never_joined_and_stays_as_it_came(reference: str) -> None:
    assert patient_of(reference) == (None, reference)


@pytest.mark.parametrize(
    "reference",
    ["#newborn", "Group/1", "https://other.example/r4/Group/1", "Patient?identifier=https://a/Patient/1", "1", ""],
)
def test_what_is_no_patient_is_neither(reference: str) -> None:
    assert patient_of(reference) == (None, None)


def test_without_settings_only_relative_references_are_own() -> None:
    assert patient_of("Patient/1", DEFAULTS) == patient_of("urn:uuid:1", DEFAULTS) == ("1", None)
    assert patient_of(f"{_BASE}/Patient/1", DEFAULTS) == (None, f"{_BASE}/Patient/1")


def test_an_encounter_of_another_server_is_not_joined_either() -> None:
    there = "https://other.example/r4/Encounter/1"
    row = read(observation(encounter={"reference": there}), reading=OWN).observation
    assert (row.get("encounter_id"), row["encounter_reference"]) == (None, there)
    assert read(observation(encounter={"reference": f"{_BASE}/Encounter/1"}), reading=OWN).observation[
        "encounter_id"
    ] == ("1")


@pytest.mark.parametrize("name", ["22-foreign-reference/", "50-foreign-reference-2/"])
def test_cases_22_and_50_an_observation_of_another_server_has_no_patient_here(name: str) -> None:
    row = read_lines(case(name)).observation
    assert "patient_id" not in row
    assert row["patient_reference"].startswith("https://")
    assert row["patient_reference"].encode() in case(name)


_NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=12).filter(
    lambda name: not name.startswith("-") and not name.endswith("-")
)
_BASES = st.builds(
    "{}://{}.example{}{}".format,
    st.sampled_from(["http", "https"]),
    _NAMES,
    st.sampled_from(["", ":8080"]),
    st.lists(_NAMES, max_size=3).map(lambda parts: "".join(f"/{part}" for part in parts)),
)


@given(_BASES, _BASES, _NAMES, st.sampled_from(["", "/_history/1"]))
@settings(deadline=None)
def test_an_absolute_reference_is_own_only_if_its_base_is(base: str, other: str, id_: str, version: str) -> None:
    reading = settings_of({"base_url": base})
    assert patient_of(f"{base}/Patient/{id_}{version}", reading) == (id_, None)
    there = f"{other}/Patient/{id_}{version}"
    assert patient_of(there, reading) == ((id_, None) if other == base else (None, there))
    assert patient_of(there, settings_of({"base_url": base, "own_bases": [other]})) == (id_, None)


@given(st.text(max_size=60))
@settings(deadline=None)
def test_any_text_is_a_patient_of_the_server_or_kept_or_neither(text: str) -> None:
    id_, elsewhere = patient_of(text.replace("\0", ""), DEFAULTS)
    assert id_ is None or elsewhere is None
    assert elsewhere in (None, text.replace("\0", ""))


def test_settings_that_change_what_is_read_have_a_digest_and_defaults_have_none() -> None:
    default = settings_of({})
    assert default.digest == "" == settings_of({"base_url": "http://another.example"}).digest
    changed = [
        settings_of({"own_bases": ["https://a.example"]}),
        settings_of({"own_bases": ["https://b.example"]}),
        settings_of({"next_origins": ["https://a.example"]}),
        settings_of({}, harmless_modifiers=["http://x/negated"]),
        settings_of({"own_bases": ["https://a.example"]}, harmless_modifiers=["http://x/negated"]),
    ]
    assert len({"", *(each.digest for each in changed)}) == len(changed) + 1
    one, two = (
        settings_of({"own_bases": bases}) for bases in (["https://a", "https://b"], ["https://b/", "https://a"])
    )
    assert one.digest == two.digest


def test_the_digests_of_all_servers_are_known_by_name() -> None:
    servers = {"here": FhirServerSettings(base_url=_BASE, own_bases=("https://a.example",))}
    assert digests(FhirSettings(servers=servers)).keys() == {"here"}
    assert digests(FhirSettings(harmless_modifiers=("http://x",))).keys() == {"hapi", "file"}
    assert reader_settings(FhirSettings(harmless_modifiers=("http://x",)), "file").digest != ""
