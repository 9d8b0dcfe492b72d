"""The parts of FHIR R4 resources that become rows. Other parts are ignored. Names are those of FHIR.

Values are not converted: a number that is written as a string is refused, with its place.
"""

# ruff: noqa: N815 - the fields have FHIR's names

from msgspec import Raw, Struct, json

NOTHING = Raw(b"")
"""The value of a missing field. Compare with `is`."""

bytes_of = json.Encoder().encode
"""The bytes of a `Raw`; `bytes(raw)` takes twice as long."""


class Meta(Struct, gc=False):
    """Version and time of a resource."""

    versionId: str | None = None
    lastUpdated: str | None = None


class Coding(Struct, gc=False):
    """A code in a code system."""

    system: str | None = None
    code: str | None = None
    display: str | None = None


class CodeableConcept(Struct, gc=False):
    """A concept: its codes in several code systems, and its name."""

    coding: list[Coding] | None = None
    text: str | None = None


class Quantity(Struct, gc=False):
    """A number with its unit."""

    value: float | None = None
    comparator: str | None = None
    unit: str | None = None
    code: str | None = None


class Range(Struct, gc=False):
    """From one quantity to another."""

    low: Quantity | None = None
    high: Quantity | None = None


class Ratio(Struct, gc=False):
    """One quantity to another."""

    numerator: Quantity | None = None
    denominator: Quantity | None = None


class Period(Struct, gc=False):
    """From one time to another, both included."""

    start: str | None = None
    end: str | None = None


class Repeat(Struct, gc=False):
    """The repetition of a timing; only its bounds are read."""

    boundsPeriod: Period | None = None


class Timing(Struct, gc=False):
    """Times at which something happens."""

    event: list[str] | None = None
    repeat: Repeat | None = None


class Reference(Struct, gc=False):
    """A link to another resource."""

    reference: str | None = None


class ReferenceRange(Struct, gc=False):
    """A range of values: the normal one, or the one that `type` names."""

    low: Quantity | None = None
    high: Quantity | None = None
    type: CodeableConcept | None = None


class Measurement(Struct, gc=False):
    """The fields that an observation and its components have in common.

    Concepts and whole components repeat from one observation to the next. They stay raw bytes and are looked up in a
    cache.
    """

    code: Raw = NOTHING
    valueQuantity: Quantity | None = None
    valueCodeableConcept: Raw = NOTHING
    valueString: str | None = None
    valueBoolean: bool | None = None
    valueInteger: int | None = None
    valueRange: Range | None = None
    valueRatio: Ratio | None = None
    valueSampledData: Raw = NOTHING
    valueTime: str | None = None
    valueDateTime: str | None = None
    valuePeriod: Period | None = None
    dataAbsentReason: Raw = NOTHING
    interpretation: Raw = NOTHING
    referenceRange: Raw = NOTHING


class Component(Measurement, gc=False):
    """A part of an observation."""


class Observation(Measurement, gc=False, tag_field="resourceType", tag="Observation"):
    """An observation."""

    id: str = ""
    meta: Meta | None = None
    status: str | None = None
    category: Raw = NOTHING
    subject: Reference | None = None
    encounter: Reference | None = None
    effectiveDateTime: str | None = None
    effectivePeriod: Period | None = None
    effectiveInstant: str | None = None
    effectiveTiming: Timing | None = None
    issued: str | None = None
    component: list[Raw] | None = None


class HumanName(Struct, gc=False):
    """A name. Entries of its lists can be null, when they have only an extension."""

    use: str | None = None
    text: str | None = None
    family: str | None = None
    given: list[str | None] | None = None


class Address(Struct, gc=False):
    """An address."""

    line: list[str | None] | None = None
    city: str | None = None
    state: str | None = None
    postalCode: str | None = None
    country: str | None = None


class Communication(Struct, gc=False):
    """A language that the patient speaks."""

    language: CodeableConcept | None = None
    preferred: bool | None = None


class Extension(Struct, gc=False):
    """An extension, which a profile adds to a resource."""

    url: str | None = None
    extension: "list[Extension] | None" = None
    valueString: str | None = None
    valueCoding: Coding | None = None


class Patient(Struct, gc=False, tag_field="resourceType", tag="Patient"):
    """A patient."""

    id: str = ""
    meta: Meta | None = None
    extension: list[Extension] | None = None
    name: list[HumanName] | None = None
    gender: str | None = None
    birthDate: str | None = None
    deceasedBoolean: bool | None = None
    deceasedDateTime: str | None = None
    address: list[Address] | None = None
    maritalStatus: CodeableConcept | None = None
    communication: list[Communication] | None = None


type Resource = Patient | Observation


class AnyResource(Struct, gc=False):
    """Any resource; only its type is read."""

    resourceType: str = ""
