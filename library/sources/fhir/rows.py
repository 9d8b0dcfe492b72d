"""Rows of the FHIR datasets as the reader hands them over: encoded cells, in the order of the tables' columns.

Times and dates are texts in ISO 8601 that Postgres takes, truth is `t` or `f`, lists of texts are `text[]` literals.
"""

from typing import NamedTuple


class PatientRow(NamedTuple):
    """A row of `fhir.patient`."""

    id: str
    server: str
    last_updated: str
    version_number: int
    version_id: str
    family: str | None
    given: str
    name_text: str | None
    search_names: str
    gender: str | None
    birth_date: str | None
    birth_date_precision: str | None
    birth_date_from: str | None
    deceased: str | None
    deceased_at: str | None
    deceased_text: str | None
    address_lines: str
    city: str | None
    state: str | None
    postal_code: str | None
    postal_codes: str
    compared_postal_codes: str
    country: str | None
    marital_status: str | None
    race: str | None
    ethnicity: str | None
    language: str | None
    outdated: str
    object_key: str


class ObservationRow(NamedTuple):
    """A row of `fhir.observation`."""

    code_system: str | None
    code: str | None
    code_text: str | None
    value_kind: str
    value_number: float | None
    value_low: float | None
    value_high: float | None
    value_start: str | None
    value_end: str | None
    value_text: str | None
    value_code: str | None
    value_code_system: str | None
    unit: str | None
    unit_code: str | None
    comparator: str | None
    interpretation: str | None
    reference_low: float | None
    reference_high: float | None
    reference_text: str | None
    data_absent_reason: str | None
    id: str
    server: str
    last_updated: str
    version_number: int
    version_id: str
    patient_id: str | None
    patient_reference: str | None
    encounter_id: str | None
    encounter_reference: str | None
    status: str | None
    category: str | None
    categories: str
    codes: str
    effective_start: str | None
    effective_end: str | None
    effective_text: str | None
    issued: str | None
    outdated: str
    object_key: str


class ComponentRow(NamedTuple):
    """A row of `fhir.observation_component`."""

    code_system: str | None
    code: str | None
    code_text: str | None
    value_kind: str
    value_number: float | None
    value_low: float | None
    value_high: float | None
    value_start: str | None
    value_end: str | None
    value_text: str | None
    value_code: str | None
    value_code_system: str | None
    unit: str | None
    unit_code: str | None
    comparator: str | None
    interpretation: str | None
    reference_low: float | None
    reference_high: float | None
    reference_text: str | None
    data_absent_reason: str | None
    observation_id: str
    server: str
    position: int


class RefusedRow(NamedTuple):
    """A row of `fhir.refused_version`."""

    kind: str
    id: str
    server: str
    last_updated: str
    version_number: int
    version_id: str
    line: int
    object_key: str
