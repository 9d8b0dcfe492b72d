"""Questions about patients and their observations.

An id belongs to a server. So a patient whose id several servers have is asked for with the server.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, Field
from sqlalchemy import (
    BigInteger,
    BindParameter,
    Boolean,
    ColumnElement,
    Date,
    FromClause,
    Interval,
    and_,
    case,
    func,
    literal_column,
    or_,
    select,
    type_coerce,
    union_all,
)
from sqlalchemy import Text as SqlText
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import JSON, TSQUERY, array
from sqlalchemy.orm import Mapped
from sqlmodel import col

from library.contracts.scopes import Scope
from library.datasets.fields import table_of
from library.sources.fhir.datasets import (
    OPEN_PERIOD,
    Measured,
    Observation,
    ObservationComponent,
    Patient,
    ZipcodeImport,
)
from library.sources.fhir.names import search_name
from library.sources.fhir.zipcodes import comparable
from library.warehouse.queries.columns import Column, column, columns, item_model, list_column
from library.warehouse.queries.filters import (
    NAME,
    PSEUDONYM,
    VALUE,
    ActiveFilters,
    Argument,
    Audited,
    Filter,
    Parameter,
    at_most,
    equal,
)
from library.warehouse.queries.parameters import NO_NUL, Beginning, Day, Ending, Number
from library.warehouse.queries.question import Question
from library.warehouse.queries.statement import AnyRows, AnySelect

Gender = Literal["male", "female", "other", "unknown"]

Server = Annotated[str, Field(max_length=40, pattern=r"^[a-z0-9][a-z0-9_-]*$")]
PatientId = Annotated[str, Field(max_length=255, pattern=NO_NUL)]
_CODE = Annotated[str, Field(max_length=255, pattern=NO_NUL)]
_NUMBER = 171.5
_REFERENCE = Annotated[str, Field(max_length=2_000, pattern=NO_NUL)]
Zipcode = Annotated[str, Field(max_length=40)]

_PROVENANCE = ("version_id", "last_updated", "object_key", "load_id")
_MEASURED = tuple(name for name in Measured.model_fields if name not in ("load_id", "reader_version"))
_LAST_IMPORT = ("last_run_id", "counts", "imported_at")
_LONGEST_SPAN = 366
"""Days between the first and the last day that a birth date of partial precision can be."""

OF_PATIENT = and_(col(Patient.id) == col(Observation.patient_id), col(Patient.server) == col(Observation.server))
"""Whether an observation is one of a patient."""


def _name(part: Literal["family", "given"]) -> Filter:
    """A filter by the beginning of a name, whatever its case and accents."""

    def with_letters(name: str) -> str:
        if search_name(part, name) == search_name(part, ""):
            raise ValueError("without a letter or a digit")
        return name

    def begins_with(value: BindParameter[Any]) -> ColumnElement[bool]:
        names = func.array_to_tsvector(Patient.search_names)
        return cast(ColumnElement[bool], names.op("@@", is_comparison=True)(sql_cast(value, TSQUERY())))

    return Filter(
        part,
        Annotated[str, Field(max_length=100, pattern=NO_NUL), AfterValidator(with_letters)],
        NAME,
        "What one of the names begins with, whatever its case and accents.",
        "ever" if part == "family" else "ada",
        condition=begins_with,
        convert=lambda name: f"'{search_name(part, name)}':*",  # letters and digits, so nothing has to be quoted
    )


def _born_from(day: BindParameter[Any]) -> ColumnElement[bool]:
    """The span of the birth date ends after the day. The first condition is one that an index can find."""
    first = col(Patient.birth_date_from)
    precision = col(Patient.birth_date_precision)
    span = case(
        (precision == "year", literal_column("interval '1 year'", Interval)),
        (precision == "month", literal_column("interval '1 month'", Interval)),
        else_=literal_column("interval '1 day'", Interval),
    )
    bound = type_coerce(day, Date())
    return and_(first >= bound - _LONGEST_SPAN, first + span > bound)


def _with_one(
    name: str,
    kind: object,
    audited: Audited,
    texts: Mapped[list[str]],
    about: str,
    example: str,
    *,
    convert: Callable[[str], str] = str,
) -> Filter:
    """A filter by one of a field's texts."""

    def contains(value: BindParameter[Any]) -> ColumnElement[bool]:
        return texts.contains(array([type_coerce(value, SqlText())]))

    return Filter(name, kind, audited, about, example, condition=contains, convert=convert)


def _also_outdated(outdated: Mapped[bool]) -> Filter:
    """A parameter for rows of which a newer version was refused. Without it they are left out (`_unless_asked`)."""
    return Filter(
        "outdated",
        bool,
        VALUE,
        "If true, also those of which a newer version was refused.",
        condition=lambda value: or_(outdated.is_(False), sql_cast(value, Boolean)),
    )


def _unless_asked(filters: ActiveFilters, outdated: Mapped[bool]) -> list[ColumnElement[bool]]:
    return [] if "outdated" in filters else [outdated.is_(False)]


def _patients(filters: ActiveFilters) -> AnySelect:
    rows = select(Patient).where(*_unless_asked(filters, col(Patient.outdated)), *filters.conditions())
    # Postgres guesses that 2 % have a name that begins so, and would walk through all ids until a page is full.
    return rows.offset(literal_column("0")) if "family" in filters or "given" in filters else rows


PATIENTS = Question(
    name="fhir.patients",
    about="Patients, by id.",
    scope=Scope.READ_PATIENTS,
    rows=_patients,
    columns=columns(
        Patient,
        *("id", "server", "family", "given", "name_text", "gender", "birth_date", "birth_date_precision", "deceased"),
        *("deceased_at", "deceased_text", "address_lines", "city", "state", "postal_code", "postal_codes", "country"),
        *("marital_status", "race", "ethnicity", "language", "outdated"),
        *_PROVENANCE,
    ),
    item="PatientItem",
    each="A patient, by the newest version of the resource.",
    order=("id", "server"),
    parameters=(
        equal("patient_id", PatientId, PSEUDONYM, col(Patient.id), "The patient's id on its server."),
        _with_one(
            "zipcode",
            Zipcode,
            VALUE,
            col(Patient.compared_postal_codes),
            "One of the addresses has this zip code. Those of the US are compared by their five digits.",
            "02139",
            convert=comparable,
        ),
        _name("family"),
        _name("given"),
        equal("gender", Gender, NAME, col(Patient.gender), "Only of this gender, as FHIR calls it."),
        Filter(
            "birth_date_from",
            Day,
            NAME,
            "Born on this day or later, as far as the birth date says.",
            condition=_born_from,
        ),
        at_most("birth_date_to", Day, NAME, col(Patient.birth_date_from), "Born on this day or earlier, likewise."),
        equal("server", Server, VALUE, col(Patient.server), "Only of this server."),
        _also_outdated(col(Patient.outdated)),
    ),
)

_COMPONENT = item_model(
    "ComponentItem",
    "A part of an observation with a value of its own.",
    columns(ObservationComponent, *_MEASURED, "position"),
)


def _components(rows: FromClause) -> ColumnElement[Any]:
    table = ObservationComponent
    component = (
        select(col(table.position), *(table_of(table).c[name] for name in _MEASURED))
        .where(col(table.observation_id) == rows.c.id, col(table.server) == rows.c.server)
        .order_by(col(table.position))
        .correlate(rows)
        .subquery("c")
    )
    as_json = select(func.row_to_json(literal_column("c"))).select_from(component).scalar_subquery()
    return func.array_to_json(func.array(as_json), type_=JSON)


_started, _ended = col(Observation.effective_start), col(Observation.effective_end)
_MOMENT, _PERIOD = "moment", "period"


def _observations(filters: ActiveFilters) -> AnyRows:
    rows = select(Observation).where(*_unless_asked(filters, col(Observation.outdated)), *filters.conditions())
    if "from" not in filters and "to" not in filters:
        return rows
    # Two selects, so that an index of times finds the first rows, and one of the few open periods the others.
    timed = func.coalesce(_started, col(Observation.issued)).is_not(None)
    return union_all(
        rows.where(OPEN_PERIOD.is_not(True), timed, *filters.conditions(_MOMENT)),
        rows.where(OPEN_PERIOD, *filters.conditions(_PERIOD)),
    )


def _at_least(value: BindParameter[Any]) -> ColumnElement[bool]:
    """The number can be this one or more: `<5` cannot be 5, and `>5` can be any larger one."""
    number, comparator = col(Observation.value_number), col(Observation.comparator)
    is_open = and_(number.is_not(None), or_(comparator == ">", comparator == ">="))
    return or_(is_open, number > value, and_(number == value, comparator.is_distinct_from("<")))


def _at_most(value: BindParameter[Any]) -> ColumnElement[bool]:
    number, comparator = col(Observation.value_number), col(Observation.comparator)
    is_open = and_(number.is_not(None), or_(comparator == "<", comparator == "<="))
    return or_(is_open, number < value, and_(number == value, comparator.is_distinct_from(">")))


OBSERVATIONS = Question(
    name="fhir.observations",
    about="Observations, the newest first, and those without a time last; also those of patients who are not known.",
    scope=Scope.READ_PATIENTS,
    rows=_observations,
    columns=(
        *columns(
            Observation,
            *("id", "server", "patient_id", "patient_reference", "encounter_id", "encounter_reference"),
            *("status", "category", "categories", "codes"),
            *("effective_start", "effective_end", "effective_text", "issued", "outdated"),
            *_MEASURED,
        ),
        list_column("components", "Its parts with values of their own.", _COMPONENT, _components),
        *columns(Observation, *_PROVENANCE),
    ),
    item="ObservationItem",
    each="An observation with its components, by the newest version of the resource.",
    order=("sort_time", "id", "server"),
    descending=True,
    parameters=(
        equal("patient_id", PatientId, PSEUDONYM, col(Observation.patient_id), "Only of the patient with this id."),
        Filter(
            "patient_elsewhere",
            bool,
            VALUE,
            "If true, only those whose patient is at another server.",
            condition=lambda value: and_(col(Observation.patient_reference).is_not(None), sql_cast(value, Boolean)),
        ),
        equal(
            "patient_reference",
            _REFERENCE,
            PSEUDONYM,
            col(Observation.patient_reference),
            "Only with this reference to a patient of another server, as it came.",
        ),
        _with_one("code", _CODE, NAME, col(Observation.codes), "One of the codes is this.", "8302-2"),
        _with_one(
            "category", _CODE, NAME, col(Observation.categories), "One of the categories is this.", "vital-signs"
        ),
        Filter(
            "from",
            Beginning,
            NAME,
            "Began, or was issued, not before: a time with its zone, or a date, a month or a year (UTC). "
            "A period without a start or an end is found if it overlaps with this.",
            condition=lambda value: col(Observation.sort_time) >= value,
            at=_MOMENT,
            also_at={_PERIOD: lambda value: or_(_ended.is_(None), _ended >= value)},
        ),
        Filter(
            "to",
            Ending,
            NAME,
            "Not after; a date, a month or a year means its end (UTC).",
            condition=lambda value: col(Observation.sort_time) <= value,
            at=_MOMENT,
            also_at={_PERIOD: lambda value: or_(_started.is_(None), _started <= value)},
        ),
        Filter(
            "min_value",
            Number,
            NAME,
            "The observation's number can be this or more: `<5` is not found by 5, and `>5` is found by any number.",
            _NUMBER,
            condition=_at_least,
        ),
        Filter(
            "max_value",
            Number,
            NAME,
            "The observation's number can be this or less: `>5` is not found by 5, and `<5` is found by any number.",
            _NUMBER,
            condition=_at_most,
        ),
        equal("server", Server, VALUE, col(Observation.server), "Only of this server."),
        _also_outdated(col(Observation.outdated)),
    ),
)


def _zipcodes(filters: ActiveFilters) -> AnySelect:
    """By server: the patients of a zip code and their observations, or an import that found none."""
    code = filters.value("zipcode", SqlText())

    def counted(outdated: Mapped[bool]) -> ColumnElement[bool]:
        current = outdated.is_(False)
        return or_(current, filters.value("outdated", Boolean())) if "outdated" in filters else current

    observations = select(func.count()).where(OF_PATIENT, counted(col(Observation.outdated)))
    of_patient = observations.select_from(Observation).correlate(Patient).scalar_subquery()
    found = (
        select(col(Patient.server), func.count().label("patients"), func.sum(of_patient).label("observations"))
        .where(col(Patient.compared_postal_codes).contains(array([code])), counted(col(Patient.outdated)))
        .group_by(col(Patient.server))
        .subquery("found")
    )
    imported = select(ZipcodeImport).where(col(ZipcodeImport.zipcode) == code).subquery("imported")
    rows = (
        select(
            func.coalesce(found.c.server, imported.c.server).label("server"),
            func.coalesce(found.c.patients, 0).label("patients"),
            sql_cast(func.coalesce(found.c.observations, 0), BigInteger).label("observations"),
            *(imported.c[name] for name in _LAST_IMPORT),
        )
        .select_from(found.join(imported, found.c.server == imported.c.server, full=True))
        .subquery("of_zipcode")
    )
    of_server = [rows.c.server == filters.value("server", SqlText())] if "server" in filters else []
    return select(rows).where(*of_server)


ZIPCODES = Question(
    name="fhir.zipcodes",
    about="What is there of a zip code, by server: patients, their observations, the last import.",
    scope=Scope.READ_PATIENTS,
    rows=_zipcodes,
    columns=(
        column(Patient, "server"),
        Column("patients", int, "Patients with an address of the zip code.", 12),
        Column("observations", int, "Observations of these patients.", 2000),
        *columns(ZipcodeImport, *_LAST_IMPORT),
    ),
    item="ZipcodeItem",
    each="What came of a zip code from a server.",
    order=("server",),
    parameters=(
        Argument("zipcode", Zipcode, VALUE, "The zip code.", "02139"),
        Parameter("server", Server, VALUE, "Only of this server.", "hapi"),
        Parameter("outdated", bool, VALUE, "If true, also those of which a newer version was refused.", False),
    ),
)

QUESTIONS = (PATIENTS, OBSERVATIONS, ZIPCODES)
