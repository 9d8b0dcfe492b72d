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

import unicodedata
from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Computed,
    Date,
    DateTime,
    Double,
    Index,
    Integer,
    SmallInteger,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

from library.datasets.declaration import Action, Dataset, Expectation, Loaded
from library.datasets.strategies import Family, Upsert
from library.sources.fhir.rows import ComponentRow, ObservationRow, PatientRow

SCHEMA = "fhir"

VALUE_KINDS = (
    "quantity",
    "code",
    "text",
    "boolean",
    "integer",
    "range",
    "ratio",
    "period",
    "datetime",
    "time",
    "sampled_data",
    "none",
)
"""The kinds of values of an observation or a component."""

KEY_LIMIT = 255
"""Maximum length of a text in an index. Postgres refuses index entries of more than about 2,700 bytes."""


class Patient(Loaded, table=True):
    """A patient, as in the newest version of the resource.

    Attributes:
        version_number: the version id if it is a number, else -1.
        last_updated: `meta.lastUpdated`, else the time when the export was made or the file was landed.
        family, given, name_text: from the official name, else the usual one, else the first.
        search_names: all of the patient's names, in the form of `search_name`.
        birth_date: the original text: a year, a month or a day, as `birth_date_precision` says.
        birth_date_from: the first possible day.
        deceased: whether the patient has died; null if the resource does not say.
        deceased_at, deceased_text: the earliest possible time, and the original text.
        address_lines, city, state, postal_code, country: from the first address.
        postal_codes: from all addresses.
        race, ethnicity: the text of US Core's extensions, else the names of their categories.
        language: the preferred language, else the first one.
        object_key: the landed object that the row was read from.
    """

    __tablename__ = "patient"
    __table_args__ = (
        Index("patient_postal_codes", "postal_codes", postgresql_using="gin"),
        Index("patient_search_names", func.array_to_tsvector(text("search_names")), postgresql_using="gin"),
        Index("patient_birth_date", "birth_date_from", "id"),
        Index("patient_load", "load_id"),
        {"schema": SCHEMA},
    )

    id: str = Field(sa_type=Text, primary_key=True)
    server: str = Field(sa_type=Text, primary_key=True)
    last_updated: datetime = Field(sa_type=DateTime(timezone=True))
    version_number: int = Field(sa_type=BigInteger)
    version_id: str = Field(sa_type=Text)
    family: str | None = Field(default=None, sa_type=Text)
    given: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    name_text: str | None = Field(default=None, sa_type=Text)
    search_names: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    gender: str | None = Field(default=None, sa_type=Text)
    birth_date: str | None = Field(default=None, sa_type=Text)
    birth_date_precision: str | None = Field(default=None, sa_type=Text)
    birth_date_from: date | None = Field(default=None, sa_type=Date)
    deceased: bool | None = Field(default=None, sa_type=Boolean)
    deceased_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    deceased_text: str | None = Field(default=None, sa_type=Text)
    address_lines: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    city: str | None = Field(default=None, sa_type=Text)
    state: str | None = Field(default=None, sa_type=Text)
    postal_code: str | None = Field(default=None, sa_type=Text)
    postal_codes: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    country: str | None = Field(default=None, sa_type=Text)
    marital_status: str | None = Field(default=None, sa_type=Text)
    race: str | None = Field(default=None, sa_type=Text)
    ethnicity: str | None = Field(default=None, sa_type=Text)
    language: str | None = Field(default=None, sa_type=Text)
    object_key: str = Field(sa_type=Text)


class Measured(Loaded):
    """The columns that observations and their components share: the code and the value.

    Attributes:
        code_system, code, code_text: the first coding, and the concept's text, else the coding's.
        value_kind: one of `VALUE_KINDS`; `none` if there is no value, or one of a kind that R4 does not have.
        value_number: the number of a quantity or an integer.
        value_low, value_high: the limits of a range; numerator and denominator of a ratio.
        value_start, value_end: first and last moment of a period, a date, or a time of partial precision.
        value_text: a text; the original text of a boolean, a date, a period (`start/end`) or a time; a concept's
            text; sampled data as JSON.
        value_code, value_code_system: the code of a concept.
        unit, unit_code: the unit of a quantity or a range; of a ratio both units (`mg/dL`).
        interpretation: HL7's abbreviation (`H`), else the original text.
        reference_low, reference_high: the range that is called normal, or that has no name.
        data_absent_reason: why there is no value.
    """

    code_system: str | None = Field(default=None, sa_type=Text)
    code: str | None = Field(default=None, sa_type=Text)
    code_text: str | None = Field(default=None, sa_type=Text)
    value_kind: str = Field(sa_type=Text)
    value_number: float | None = Field(default=None, sa_type=Double)
    value_low: float | None = Field(default=None, sa_type=Double)
    value_high: float | None = Field(default=None, sa_type=Double)
    value_start: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    value_end: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    value_text: str | None = Field(default=None, sa_type=Text)
    value_code: str | None = Field(default=None, sa_type=Text)
    value_code_system: str | None = Field(default=None, sa_type=Text)
    unit: str | None = Field(default=None, sa_type=Text)
    unit_code: str | None = Field(default=None, sa_type=Text)
    comparator: str | None = Field(default=None, sa_type=Text)
    interpretation: str | None = Field(default=None, sa_type=Text)
    reference_low: float | None = Field(default=None, sa_type=Double)
    reference_high: float | None = Field(default=None, sa_type=Double)
    data_absent_reason: str | None = Field(default=None, sa_type=Text)


class Observation(Measured, table=True):
    """An observation, as in the newest version of the resource.

    Attributes:
        patient_id, encounter_id: the ids in the references; null if a reference is to something else (a group, a
            device) or to a part of the resource itself.
        category: the first category. `categories` has all of them; searches use it.
        codes: the codes of all codings; searches use it.
        effective_start, effective_end: the limits of a period, or the first and last moment of a partial date. A time
            has no end.
        effective_text: the original text; a period as `start/end`.
        sort_time: `effective_start`, else `issued`, else the year 1. Lists are ordered by it.
        object_key: the landed object that the row was read from.
    """

    __tablename__ = "observation"
    __table_args__ = (
        Index("observation_patient", "patient_id", "server", "sort_time", "id"),
        Index("observation_time", "sort_time", "id"),
        Index("observation_codes", "codes", "categories", postgresql_using="gin"),
        Index("observation_load", "load_id"),
        {"schema": SCHEMA},
    )

    id: str = Field(sa_type=Text, primary_key=True)
    server: str = Field(sa_type=Text, primary_key=True)
    last_updated: datetime = Field(sa_type=DateTime(timezone=True))
    version_number: int = Field(sa_type=BigInteger)
    version_id: str = Field(sa_type=Text)
    patient_id: str | None = Field(default=None, sa_type=Text)
    encounter_id: str | None = Field(default=None, sa_type=Text)
    status: str | None = Field(default=None, sa_type=Text)
    category: str | None = Field(default=None, sa_type=Text)
    categories: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    codes: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    effective_start: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    effective_end: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    effective_text: str | None = Field(default=None, sa_type=Text)
    issued: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    sort_time: datetime | None = Field(
        default=None,
        sa_column=Column(
            DateTime(timezone=True),
            Computed(
                "coalesce(effective_start, issued, '0001-01-01 00:00:00+00'::timestamp with time zone)", persisted=True
            ),
        ),
    )
    object_key: str = Field(sa_type=Text)


class ObservationComponent(Measured, table=True):
    """A part of an observation with its own value, such as one of the two pressures of a blood pressure.

    Attributes:
        position: the position among the observation's components, from 1.
    """

    __tablename__ = "observation_component"
    __table_args__ = ({"schema": SCHEMA},)

    observation_id: str = Field(sa_type=Text, primary_key=True)
    server: str = Field(sa_type=Text, primary_key=True)
    position: int = Field(sa_type=Integer, primary_key=True)


class ZipcodeImport(SQLModel, table=True):
    """The last import of a zip code from a server."""

    __tablename__ = "zipcode_import"
    __table_args__ = ({"schema": SCHEMA},)

    zipcode: str = Field(sa_type=Text, primary_key=True)
    server: str = Field(sa_type=Text, primary_key=True)
    last_run_id: str = Field(sa_type=Text)
    counts: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False, server_default="{}"))
    imported_at: datetime = Field(sa_type=DateTime(timezone=True))


class PatientImport(SQLModel, table=True):
    """How far a patient's observations are known: whatever the server changed until then has been read.

    Attributes:
        observations_complete_through: by the server's clock; null until a search has ended completely.
        reader_version: of the reader that read them until then; for a newer one nothing is known yet.
    """

    __tablename__ = "patient_import"
    __table_args__ = ({"schema": SCHEMA},)

    server: str = Field(sa_type=Text, primary_key=True)
    patient_id: str = Field(sa_type=Text, primary_key=True)
    observations_complete_through: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    reader_version: int = Field(sa_column=Column(SmallInteger, nullable=False, server_default="1"))


class ImportPatient(SQLModel, table=True):
    """A patient that a run has found; the rows go when the run ends.

    Attributes:
        search: number of the run's observation search that asks for this patient.
    """

    __tablename__ = "import_patient"
    __table_args__ = (Index("import_patient_search", "run_id", "search"), {"schema": SCHEMA})

    run_id: str = Field(sa_type=Text, primary_key=True)
    server: str = Field(sa_type=Text, primary_key=True)
    patient_id: str = Field(sa_type=Text, primary_key=True)
    search: int | None = Field(default=None, sa_type=Integer)


def search_name(part: str, name: str) -> str:
    """A name in the form for searches: letters and digits only, without accents and case; `family_obrien` for O'Brien.

    A search for names that begin with some letters is
    `array_to_tsvector(search_names) @@ (quote_literal($1) || ':*')::tsquery`, with the result of this function as $1.

    Args:
        part: `family` or `given`.
        name: the name, or its beginning.
    """
    letters = unicodedata.normalize("NFKD", name[:KEY_LIMIT].casefold())
    return f"{part}_{''.join(letter for letter in letters if letter.isalnum())[:KEY_LIMIT]}"


# R4 allows 64 letters, digits, hyphens and dots. Other ids get a warning and are not refused. (With `{1,64}` in one
# expression, Postgres takes thirteen times as long: 3.7 s for 100,000 ids.)
_ID_OF_FHIR = Expectation("id_of_fhir", "length(id) <= 64 AND id !~ '[^A-Za-z0-9.-]'", Action.WARN)
_ID_PRESENT = Expectation("id_present", "id <> ''")
_PATIENT_NAMED = Expectation("patient_named", "patient_id IS NOT NULL", Action.WARN)

_NEWEST = Upsert(order=("last_updated", "version_number", "version_id"), provenance=("object_key",))

PATIENT = Dataset(Patient, PatientRow, _NEWEST, expectations=(_ID_PRESENT, _ID_OF_FHIR))
OBSERVATION = Dataset(Observation, ObservationRow, _NEWEST, expectations=(_ID_PRESENT, _ID_OF_FHIR, _PATIENT_NAMED))
OBSERVATION_COMPONENT = Dataset(
    ObservationComponent, ComponentRow, Family(parent=OBSERVATION, parent_key=("observation_id", "server"))
)

DATASETS = (PATIENT, OBSERVATION, OBSERVATION_COMPONENT)
