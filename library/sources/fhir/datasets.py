"""Schema `fhir`: patients and their observations, from FHIR servers and files.

The same id can exist on several servers, so the server is part of every key. Ids come first in a key, since callers
know the id more often than the server. An observation with an unknown patient is stored, so it has no foreign key to
the patient. Components have no foreign key to their observation: the loader writes both together.

The newest version of each resource counts: by `last_updated`, then by `version_number`, then by `version_id`. On most
servers version ids are numbers, but on some they are any text. Comparing some as numbers and some as text would make a
circle ("10" < "9a" < "9" < "10"). So an id that is not a number ranks below all numbers, and is compared as text.

A partial date ("2019-04") is a span of time. Its first and last moment are stored, in UTC if it has no zone. The
original text is stored too, with its precision and its zone.
"""

from datetime import date, datetime
from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Computed,
    Date,
    DateTime,
    Double,
    Index,
    Integer,
    SmallInteger,
    Text,
    and_,
    func,
    or_,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import SQLModel, col

from library.datasets.declaration import Action, Dataset, Expectation, Loaded
from library.datasets.fields import field
from library.datasets.strategies import Family, Upsert
from library.sources.fhir.outdated import compare_with_refused, mark_outdated
from library.sources.fhir.rows import ComponentRow, ObservationRow, PatientRow, RefusedRow

SCHEMA = "fhir"

ID_EXAMPLE = "0a4cf3b8-2c1d-4f4b-9f0e-6f1d1a2b3c4d"
_AT = "2026-11-21T10:15:30+00:00"

type ValueKind = Literal[
    "quantity", "code", "text", "boolean", "integer", "range", "ratio", "period", "datetime", "time", "sampled_data",
    "none",
]  # fmt: skip
"""What an observation's or a component's value can be."""

_OUTDATED = "A newer version of the resource was refused, so this one is no longer true."
_IS_OPEN = "(effective_start IS NULL AND effective_end IS NOT NULL) OR right(effective_text, 1) = '/'"

KEY_LIMIT = 255
"""Maximum length of a text in an index. Postgres refuses index entries of more than about 2,700 bytes."""


class Patient(Loaded, table=True):
    """A patient, by the newest version of the resource."""

    __tablename__ = "patient"
    __table_args__ = (
        Index("patient_compared_postal_codes", "compared_postal_codes", postgresql_using="gin"),
        Index("patient_search_names", func.array_to_tsvector(text("search_names")), postgresql_using="gin"),
        Index("patient_birth_date", "birth_date_from", "id"),
        Index("patient_load", "load_id"),
        {"schema": SCHEMA},
    )

    id: str = field("The resource's id on its server.", ID_EXAMPLE, sa_type=Text, primary_key=True)
    server: str = field("A configured server, or `file`.", "hapi", sa_type=Text, primary_key=True)
    last_updated: datetime = field("As the server says, else when it came.", _AT, sa_type=DateTime(timezone=True))
    version_number: int = field("The version id if it is a number, else -1.", sa_type=BigInteger)
    version_id: str = field("Empty if the resource names none.", "3", sa_type=Text)
    family: str | None = field(
        "Of the current names the official one, else the usual one, else the first.",
        "Everyperson",
        default=None,
        sa_type=Text,
    )
    given: list[str] = field(
        "Of the same name as `family`.", ["Adam", "A."], sa_column=Column(ARRAY(Text), nullable=False)
    )
    name_text: str | None = field("The same name as one text.", default=None, sa_type=Text)
    search_names: list[str] = field(
        "All names, as a search compares them.", sa_column=Column(ARRAY(Text), nullable=False)
    )
    gender: str | None = field("FHIR's administrative gender.", "male", default=None, sa_type=Text)
    birth_date: str | None = field("As given: a year, a month or a day.", "1974-12-25", default=None, sa_type=Text)
    birth_date_precision: str | None = field("`year`, `month` or `day`.", "day", default=None, sa_type=Text)
    birth_date_from: date | None = field("The first day that it can be.", default=None, sa_type=Date)
    deceased: bool | None = field("Null if the resource does not say.", default=None, sa_type=Boolean)
    deceased_at: datetime | None = field("The earliest moment.", default=None, sa_type=DateTime(timezone=True))
    deceased_text: str | None = field("The time as given.", default=None, sa_type=Text)
    address_lines: list[str] = field("Of the current address.", sa_column=Column(ARRAY(Text), nullable=False))
    city: str | None = field("Of the current address.", "Cambridge", default=None, sa_type=Text)
    state: str | None = field("Of the current address.", "MA", default=None, sa_type=Text)
    postal_code: str | None = field("Of the current address.", "02139", default=None, sa_type=Text)
    postal_codes: list[str] = field("Of all addresses.", ["02139"], sa_column=Column(ARRAY(Text), nullable=False))
    compared_postal_codes: list[str] = field(
        "Of all addresses, as a search compares them: five digits in the US, else the whole code.",
        ["02139"],
        sa_column=Column(ARRAY(Text), nullable=False, server_default="{}"),
    )
    country: str | None = field("Of the current address.", "US", default=None, sa_type=Text)
    marital_status: str | None = field("The text of the concept, else its first code.", default=None, sa_type=Text)
    race: str | None = field("US Core's extension: its text, else its categories.", default=None, sa_type=Text)
    ethnicity: str | None = field("US Core's extension: its text, else its categories.", default=None, sa_type=Text)
    language: str | None = field("The preferred one, else the first.", default=None, sa_type=Text)
    outdated: bool = field(_OUTDATED, False, sa_column=Column(Boolean, nullable=False, server_default="false"))
    object_key: str = field("The landed object that the row was read from.", "landed/fhir/8a3f…", sa_type=Text)


class Measured(Loaded):
    """What an observation and its components have in common: what was measured, and the value."""

    code_system: str | None = field("Of the first coding.", "http://loinc.org", default=None, sa_type=Text)
    code: str | None = field("Of the first coding.", "8302-2", default=None, sa_type=Text)
    code_text: str | None = field("The concept's text, else the coding's.", "Body Height", default=None, sa_type=Text)
    value_kind: ValueKind = field("`none`: there is no value, or none of a kind that R4 has.", "quantity", sa_type=Text)
    value_number: float | None = field(
        "Of a quantity or an integer. Null if it is too small for a double: then `value_text` has it.",
        171.5,
        default=None,
        sa_type=Double,
    )
    value_low: float | None = field("Of a range; of a ratio its numerator.", default=None, sa_type=Double)
    value_high: float | None = field("Of a range; of a ratio its denominator.", default=None, sa_type=Double)
    value_start: datetime | None = field(
        "The first moment of a period, a date or a partial time.", default=None, sa_type=DateTime(timezone=True)
    )
    value_end: datetime | None = field(
        "The last moment of a period, a date or a partial time.", default=None, sa_type=DateTime(timezone=True)
    )
    value_text: str | None = field(
        "A text; a boolean, a date, a period (`start/end`) or a time as given; a concept's text; sampled data as JSON. "
        "Of a quantity, a range or a ratio (`1/<128`) the numbers as written, if they are printed otherwise.",
        default=None,
        sa_type=Text,
    )
    value_code: str | None = field("Of a concept.", default=None, sa_type=Text)
    value_code_system: str | None = field("Of a concept.", default=None, sa_type=Text)
    unit: str | None = field("Of a quantity, a range or a ratio (`mg/dL`).", "cm", default=None, sa_type=Text)
    unit_code: str | None = field("As UCUM writes the unit, if the resource does.", "cm", default=None, sa_type=Text)
    comparator: str | None = field(
        "`<`, `<=`, `>=` or `>` before the number, or before a ratio's numerator.", default=None, sa_type=Text
    )
    interpretation: str | None = field("HL7's abbreviation, else as given.", "N", default=None, sa_type=Text)
    reference_low: float | None = field("Of the normal range.", default=None, sa_type=Double)
    reference_high: float | None = field("Of the normal range.", default=None, sa_type=Double)
    reference_text: str | None = field(
        "The normal range as written (`low/high`), if its numbers are printed otherwise.", default=None, sa_type=Text
    )
    data_absent_reason: str | None = field("Why there is no value.", default=None, sa_type=Text)


class Observation(Measured, table=True):
    """An observation, by the newest version of the resource."""

    __tablename__ = "observation"
    __table_args__ = (
        Index("observation_patient", "patient_id", "server", "sort_time", "id"),
        Index("observation_time", "sort_time", "id"),
        Index("observation_codes", "codes", "categories", postgresql_using="gin"),
        Index("observation_load", "load_id"),
        Index(
            "observation_elsewhere", "sort_time", "id", "server", postgresql_where=text("patient_reference IS NOT NULL")
        ),
        Index("observation_open_period", "sort_time", "id", "server", postgresql_where=text(_IS_OPEN)),
        {"schema": SCHEMA},
    )

    id: str = field("The resource's id on its server.", ID_EXAMPLE, sa_type=Text, primary_key=True)
    server: str = field("A configured server, or `file`.", "hapi", sa_type=Text, primary_key=True)
    last_updated: datetime = field("As the server says, else when it came.", _AT, sa_type=DateTime(timezone=True))
    version_number: int = field("The version id if it is a number, else -1.", sa_type=BigInteger)
    version_id: str = field("Empty if the resource names none.", "3", sa_type=Text)
    patient_id: str | None = field(
        "Null if the subject is no patient, lies in the resource itself, or is at another server.",
        ID_EXAMPLE,
        default=None,
        sa_type=Text,
    )
    patient_reference: str | None = field(
        "The reference to a patient of another server, as it came. It is joined to no patient here.",
        "https://other.example/fhir/Patient/1",
        default=None,
        sa_type=Text,
    )
    encounter_id: str | None = field("Null as `patient_id` is.", default=None, sa_type=Text)
    encounter_reference: str | None = field(
        "The reference to an encounter of another server, as it came.", default=None, sa_type=Text
    )
    status: str | None = field("FHIR's status: `final`, `amended`, …", "final", default=None, sa_type=Text)
    category: str | None = field("The first one.", "vital-signs", default=None, sa_type=Text)
    categories: list[str] = field(
        "All of them. A search compares these.", ["vital-signs"], sa_column=Column(ARRAY(Text), nullable=False)
    )
    codes: list[str] = field(
        "Of all codings. A search compares these.", ["8302-2"], sa_column=Column(ARRAY(Text), nullable=False)
    )
    effective_start: datetime | None = field(
        "The first moment of a period or a partial date.", _AT, default=None, sa_type=DateTime(timezone=True)
    )
    effective_end: datetime | None = field(
        "The last moment of a period or a partial date.", default=None, sa_type=DateTime(timezone=True)
    )
    effective_text: str | None = field("As given.", "2026-11-21", default=None, sa_type=Text)
    issued: datetime | None = field("When it was made available.", default=None, sa_type=DateTime(timezone=True))
    sort_time: datetime | None = field(
        "`effective_start`, else `issued`, else the year 1: the order of lists.",
        default=None,
        sa_column=Column(
            DateTime(timezone=True),
            Computed(
                "coalesce(effective_start, issued, '0001-01-01 00:00:00+00'::timestamp with time zone)", persisted=True
            ),
        ),
    )
    outdated: bool = field(_OUTDATED, False, sa_column=Column(Boolean, nullable=False, server_default="false"))
    object_key: str = field("The landed object that the row was read from.", "landed/fhir/8a3f…", sa_type=Text)


OPEN_PERIOD: ColumnElement[bool] = or_(
    and_(col(Observation.effective_start).is_(None), col(Observation.effective_end).is_not(None)),
    func.right(col(Observation.effective_text), 1) == "/",
)
"""The observation's time is a period without a start or without an end. Few are, so they have an index."""


class ObservationComponent(Measured, table=True):
    """A part of an observation with a value of its own."""

    __tablename__ = "observation_component"
    __table_args__ = ({"schema": SCHEMA},)

    observation_id: str = field("The observation that it is a part of.", ID_EXAMPLE, sa_type=Text, primary_key=True)
    server: str = field("A configured server, or `file`.", "hapi", sa_type=Text, primary_key=True)
    position: int = field("Among the observation's components, from 1.", 1, ge=1, sa_type=Integer, primary_key=True)


class RefusedVersion(Loaded, table=True):
    """The newest version of a resource that was refused, until one that is not older can be read."""

    __tablename__ = "refused_version"
    __table_args__ = (Index("refused_version_load", "load_id"), {"schema": SCHEMA})

    kind: str = field("`Patient` or `Observation`.", "Observation", sa_type=Text, primary_key=True)
    id: str = field("The resource's id on its server.", ID_EXAMPLE, sa_type=Text, primary_key=True)
    server: str = field("A configured server, or `file`.", "hapi", sa_type=Text, primary_key=True)
    last_updated: datetime = field("As the server says, else when it came.", _AT, sa_type=DateTime(timezone=True))
    version_number: int = field("The version id if it is a number, else -1.", sa_type=BigInteger)
    version_id: str = field("Empty if the resource names none.", "3", sa_type=Text)
    line: int = field("The line of the landed object that was refused.", 1, sa_type=BigInteger)
    object_key: str = field("The landed object that was refused in part.", "landed/fhir/8a3f…", sa_type=Text)


class ZipcodeImport(SQLModel, table=True):
    """The last import of a zip code from a server."""

    __tablename__ = "zipcode_import"
    __table_args__ = ({"schema": SCHEMA},)

    zipcode: str = field("The zip code.", sa_type=Text, primary_key=True)
    server: str = field("The configured server.", sa_type=Text, primary_key=True)
    last_run_id: str = field("The last run that ended well.", sa_type=Text)
    counts: dict[str, Any] = field(
        "What that run brought.", sa_column=Column(JSONB, nullable=False, server_default="{}")
    )
    imported_at: datetime = field("When that run ended.", sa_type=DateTime(timezone=True))
    reader_version: int = field(
        "Of the reader of that run. An older one may have left patients out.",
        sa_column=Column(SmallInteger, nullable=False, server_default="2"),
    )


class PatientImport(SQLModel, table=True):
    """How far a patient's observations are known: whatever the server changed until then has been read."""

    __tablename__ = "patient_import"
    __table_args__ = ({"schema": SCHEMA},)

    server: str = field("The configured server.", sa_type=Text, primary_key=True)
    patient_id: str = field("The patient's id on the server.", sa_type=Text, primary_key=True)
    observations_complete_through: datetime | None = field(
        "By the server's clock; null until a search has ended completely.",
        default=None,
        sa_type=DateTime(timezone=True),
    )
    reader_version: int = field(
        "Of the reader that read them until then; for a newer one nothing is known yet.",
        sa_column=Column(SmallInteger, nullable=False, server_default="1"),
    )
    reader_settings: str = field(
        "A digest of that reader's settings; for other settings nothing is known yet.",
        sa_column=Column(Text, nullable=False, server_default=""),
    )


class ImportPatient(SQLModel, table=True):
    """A patient that a run has found; the rows go when the run ends."""

    __tablename__ = "import_patient"
    __table_args__ = (Index("import_patient_search", "run_id", "search"), {"schema": SCHEMA})

    run_id: str = field("The run of the import.", sa_type=Text, primary_key=True)
    server: str = field("The configured server.", sa_type=Text, primary_key=True)
    patient_id: str = field("The patient's id on the server.", sa_type=Text, primary_key=True)
    search: int | None = field(
        "Number of the run's observation search that asks for this patient.", default=None, sa_type=Integer
    )


# R4 allows 64 letters, digits, hyphens and dots. Other ids get a warning and are not refused. (With `{1,64}` in one
# expression, Postgres takes thirteen times as long: 3.7 s for 100,000 ids.)
_ID_OF_FHIR = Expectation("id_of_fhir", "length(id) <= 64 AND id !~ '[^A-Za-z0-9.-]'", Action.WARN)
_ID_PRESENT = Expectation("id_present", "id <> ''")
_PATIENT_NAMED = Expectation("patient_named", "patient_id IS NOT NULL OR patient_reference IS NOT NULL", Action.WARN)

_ORDER = ("last_updated", "version_number", "version_id")
# `outdated` is written with a new version, and never compared: the same version stays as outdated as it was.
_NEWEST = Upsert(order=_ORDER, provenance=("outdated", "object_key"))

PATIENT = Dataset(
    Patient,
    PatientRow,
    _NEWEST,
    expectations=(_ID_PRESENT, _ID_OF_FHIR),
    follow_ups=(compare_with_refused(Patient, RefusedVersion, _ORDER),),
    patient="id",
)
OBSERVATION = Dataset(
    Observation,
    ObservationRow,
    _NEWEST,
    expectations=(_ID_PRESENT, _ID_OF_FHIR, _PATIENT_NAMED),
    follow_ups=(compare_with_refused(Observation, RefusedVersion, _ORDER),),
    patient="patient_id",
)
OBSERVATION_COMPONENT = Dataset(
    ObservationComponent, ComponentRow, Family(parent=OBSERVATION, parent_key=("observation_id", "server"))
)

REFUSED_VERSION = Dataset(
    RefusedVersion,
    RefusedRow,
    Upsert(order=_ORDER, provenance=("line", "object_key")),
    follow_ups=tuple(mark_outdated(kind, RefusedVersion, _ORDER) for kind in (Patient, Observation)),
    patient="id",
)

DATASETS = (PATIENT, OBSERVATION, OBSERVATION_COMPONENT, REFUSED_VERSION)
