"""The parts of FHIR R4 resources that become rows. Names are those of FHIR.

Values are not converted: a number that is written as a string is refused, with its place.

Other common elements are declared too, and stay raw bytes. `strict_decoder` looks closely at each object with an
element that is not declared, which takes longer.
"""

# ruff: noqa: N815 - the fields have FHIR's names

from msgspec import Raw, Struct, json

NOTHING = Raw(b"")
"""The value of a missing field. Compare with `is`."""

bytes_of = json.Encoder().encode
"""The bytes of a `Raw`; `bytes(raw)` takes twice as long."""


class Part(Struct, gc=False, omit_defaults=True):
    """A part of a resource. If it is encoded again, it has the fields that it was read with."""


class Element(Part):
    """What each element can have."""

    id: Raw = NOTHING
    extension: Raw = NOTHING


class Meta(Element):
    """Version and time of a resource."""

    versionId: str | None = None
    lastUpdated: str | None = None
    source: Raw = NOTHING
    profile: Raw = NOTHING
    security: Raw = NOTHING
    tag: Raw = NOTHING


class Coding(Element):
    """A code in a code system."""

    system: str | None = None
    version: Raw = NOTHING
    code: str | None = None
    display: str | None = None
    userSelected: Raw = NOTHING


class CodeableConcept(Element):
    """A concept: its codes in several code systems, and its name."""

    coding: list[Coding] | None = None
    text: str | None = None


class Quantity(Element):
    """A number with its unit. The number stays as it was written."""

    value: Raw = NOTHING
    comparator: str | None = None
    unit: str | None = None
    system: Raw = NOTHING
    code: str | None = None


class Range(Element):
    """From one quantity to another."""

    low: Quantity | None = None
    high: Quantity | None = None


class Ratio(Element):
    """One quantity to another."""

    numerator: Quantity | None = None
    denominator: Quantity | None = None


class SampledData(Element):
    """A series of values. It becomes one text, so only its names are read."""

    origin: Quantity | None = None
    period: Raw = NOTHING
    factor: Raw = NOTHING
    lowerLimit: Raw = NOTHING
    upperLimit: Raw = NOTHING
    dimensions: Raw = NOTHING
    data: Raw = NOTHING


class Period(Element):
    """From one time to another, both included."""

    start: str | None = None
    end: str | None = None


class Repeat(Element):
    """The repetition of a timing; only its bounds are read."""

    boundsPeriod: Period | None = None


class Timing(Element):
    """Times at which something happens."""

    event: list[str] | None = None
    repeat: Repeat | None = None
    code: Raw = NOTHING


class Reference(Element):
    """A link to another resource."""

    reference: str | None = None
    type: Raw = NOTHING
    identifier: Raw = NOTHING
    display: Raw = NOTHING


class ReferenceRange(Element):
    """A range of values: the normal one, or the one that `type` names."""

    low: Quantity | None = None
    high: Quantity | None = None
    type: CodeableConcept | None = None
    appliesTo: Raw = NOTHING
    age: Raw = NOTHING
    text: Raw = NOTHING


class Measurement(Part):
    """The fields that an observation and its components have in common.

    Concepts, quantities and whole components repeat from one observation to the next. They stay raw bytes and are
    looked up in a cache.
    """

    code: Raw = NOTHING
    valueQuantity: Raw = NOTHING
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
    extension: Raw = NOTHING


class Component(Measurement):
    """A part of an observation."""

    id: Raw = NOTHING


class Observation(Measurement, tag_field="resourceType", tag="Observation"):
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
    language: Raw = NOTHING
    text: Raw = NOTHING
    contained: Raw = NOTHING
    identifier: Raw = NOTHING
    basedOn: Raw = NOTHING
    partOf: Raw = NOTHING
    focus: Raw = NOTHING
    performer: Raw = NOTHING
    note: Raw = NOTHING
    bodySite: Raw = NOTHING
    method: Raw = NOTHING
    specimen: Raw = NOTHING
    device: Raw = NOTHING
    hasMember: Raw = NOTHING
    derivedFrom: Raw = NOTHING


class HumanName(Element):
    """A name. Entries of its lists can be null, when they have only an extension."""

    use: str | None = None
    text: str | None = None
    family: str | None = None
    given: list[str | None] | None = None
    prefix: Raw = NOTHING
    suffix: Raw = NOTHING
    period: Period | None = None


class Address(Element):
    """An address."""

    use: str | None = None
    type: Raw = NOTHING
    text: Raw = NOTHING
    line: list[str | None] | None = None
    city: str | None = None
    district: Raw = NOTHING
    state: str | None = None
    postalCode: str | None = None
    country: str | None = None
    period: Period | None = None


class Communication(Element):
    """A language that the patient speaks."""

    language: CodeableConcept | None = None
    preferred: bool | None = None


class Extension(Part):
    """An extension, which a profile adds to a resource."""

    id: Raw = NOTHING
    url: str | None = None
    extension: "list[Extension] | None" = None
    valueString: str | None = None
    valueCoding: Coding | None = None


class Patient(Part, tag_field="resourceType", tag="Patient"):
    """A patient. Extensions stay raw bytes, since few of them become columns."""

    id: str = ""
    meta: Meta | None = None
    extension: list[Raw] | None = None
    name: list[HumanName] | None = None
    gender: str | None = None
    birthDate: str | None = None
    deceasedBoolean: bool | None = None
    deceasedDateTime: str | None = None
    address: list[Address] | None = None
    maritalStatus: CodeableConcept | None = None
    communication: list[Communication] | None = None
    language: Raw = NOTHING
    text: Raw = NOTHING
    contained: Raw = NOTHING
    identifier: Raw = NOTHING
    active: Raw = NOTHING
    telecom: Raw = NOTHING
    multipleBirthBoolean: Raw = NOTHING
    multipleBirthInteger: Raw = NOTHING
    photo: Raw = NOTHING
    contact: Raw = NOTHING
    generalPractitioner: Raw = NOTHING
    managingOrganization: Raw = NOTHING
    link: Raw = NOTHING


type Resource = Patient | Observation


class AnyResource(Struct, gc=False):
    """Any resource; only its type is read."""

    resourceType: str = ""


class Identified(Struct, gc=False):
    """A resource that may be unreadable otherwise; only its type, id and version are read."""

    resourceType: str = ""
    id: str = ""
    meta: Meta | None = None
