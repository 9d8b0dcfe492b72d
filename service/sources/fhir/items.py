"""The items of answers about patients, for the OpenAPI document only. Postgres writes the rows as JSON."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

type ValueKind = Literal[
    "quantity", "code", "text", "boolean", "integer", "range", "ratio", "period", "datetime", "time", "sampled_data",
    "none",
]  # fmt: skip

_AT = "2026-11-21T10:15:30+00:00"


class _Resource(BaseModel):
    id: str = Field(examples=["0a4cf3b8-2c1d-4f4b-9f0e-6f1d1a2b3c4d"])
    server: str = Field(description="A configured server, or `file`.", examples=["hapi"])
    version_id: str = Field(description="Empty where the resource names none.", examples=["3"])
    last_updated: datetime = Field(description="By the server, else when it came.", examples=[_AT])
    object_key: str = Field(description="The landed object that it was read from.", examples=["landed/fhir/8a3f…"])
    load_id: UUID = Field(examples=["65009f02-689c-5c5e-8604-6ba18afdb58c"])


class PatientItem(_Resource):
    """A patient, by the newest version of the resource."""

    family: str | None = Field(examples=["Everyperson"])
    given: list[str] = Field(examples=[["Adam", "A."]])
    name_text: str | None
    gender: str | None = Field(examples=["male"])
    birth_date: str | None = Field(description="As given: a year, a month or a day.", examples=["1974-12-25"])
    birth_date_precision: str | None = Field(examples=["day"])
    deceased: bool | None
    deceased_at: datetime | None
    deceased_text: str | None
    address_lines: list[str]
    city: str | None = Field(examples=["Cambridge"])
    state: str | None = Field(examples=["MA"])
    postal_code: str | None = Field(description="Of the first address.", examples=["02139"])
    postal_codes: list[str] = Field(description="Of all addresses.", examples=[["02139"]])
    country: str | None = Field(examples=["US"])
    marital_status: str | None
    race: str | None
    ethnicity: str | None
    language: str | None


class _Measured(BaseModel):
    code_system: str | None = Field(examples=["http://loinc.org"])
    code: str | None = Field(examples=["8302-2"])
    code_text: str | None = Field(examples=["Body Height"])
    value_kind: ValueKind = Field(examples=["quantity"])
    value_number: float | None = Field(description="Of a quantity or an integer.", examples=[171.5])
    value_low: float | None = Field(description="Of a range; of a ratio its numerator.")
    value_high: float | None = Field(description="Of a range; of a ratio its denominator.")
    value_start: datetime | None
    value_end: datetime | None
    value_text: str | None
    value_code: str | None
    value_code_system: str | None
    unit: str | None = Field(examples=["cm"])
    unit_code: str | None = Field(examples=["cm"])
    comparator: str | None
    interpretation: str | None = Field(examples=["N"])
    reference_low: float | None
    reference_high: float | None
    data_absent_reason: str | None


class ComponentItem(_Measured):
    """A part of an observation with a value of its own."""

    position: int = Field(ge=1, examples=[1])


class ObservationItem(_Resource, _Measured):
    """An observation with its components, by the newest version of the resource."""

    patient_id: str | None
    encounter_id: str | None
    status: str | None = Field(examples=["final"])
    category: str | None = Field(examples=["vital-signs"])
    categories: list[str] = Field(examples=[["vital-signs"]])
    codes: list[str] = Field(description="Of all codings.", examples=[["8302-2"]])
    effective_start: datetime | None = Field(examples=[_AT])
    effective_end: datetime | None
    effective_text: str | None = Field(description="As given.", examples=["2026-11-21"])
    issued: datetime | None
    components: list[ComponentItem]


class LastImport(BaseModel):
    """The last import of a zip code that ended well."""

    run_id: str
    imported_at: datetime = Field(examples=[_AT])
    counts: dict[str, Any] = Field(
        description="What the run brought. Where it found nothing new: what the newest import that did has brought."
    )


class ZipcodeOnServer(BaseModel):
    """What came of a zip code from a server."""

    server: str = Field(examples=["hapi"])
    patients: int = Field(examples=[12])
    observations: int = Field(description="Of these patients.", examples=[2000])
    last_import: LastImport | None = Field(description="Null before the first import has ended.")


class Zipcode(BaseModel):
    """What is there of a zip code."""

    zipcode: str = Field(examples=["02139"])
    patients: int = Field(examples=[12])
    observations: int = Field(examples=[2000])
    servers: list[ZipcodeOnServer]
