"""Observations and their components as staged cells: a list, in the order of `ObservationRow` or `ComponentRow`.

A list, since making the NamedTuple takes a fifth of the time of a row.
This runs for every observation that a hospital has, so what repeats (concepts, times, references) is looked up by what
it was read from.
"""

from datetime import datetime
from functools import lru_cache

import msgspec

from library.sources.fhir.concepts import (
    CATEGORIES,
    CODES,
    INTERPRETATIONS,
    LIMITS,
    REASONS,
    ReadCache,
    Unreadable,
    limited,
)
from library.sources.fhir.identity import ResourceOrigin, identified
from library.sources.fhir.resources import NOTHING, Component, Measurement, Observation, Timing, bytes_of
from library.sources.fhir.times import read_date_time, read_instant
from library.sources.fhir.values import Value, period_cells, placed, value_cells
from library.staging.files import Cell

type Effective = tuple[str | None, str | None, str | None]
"""Cells of the columns `effective_start`, `effective_end` and `effective_text`."""

type Judged = tuple[str | None, float | None, float | None, str | None]
"""Cells of the columns `interpretation` to `data_absent_reason`."""

type Part = tuple[str | None, str | None, str | None, *Value, *Judged]
"""Cells of the columns that a component has in common with an observation."""

_LONGEST_REFERENCE = 2_000
_OTHER_TIMES = 3
_KEPT = 10_000
_NEVER: Effective = (None, None, None)
_NOT_JUDGED: Judged = (None, None, None, None)


class ObservationRows:
    """Rows of the observations of one source.

    An observation often has the patient, the visit, the times and the categories of the one before it: these are
    compared first, and looked up only where they differ.
    """

    def __init__(self, source: ResourceOrigin) -> None:
        self._source = source
        self._category = b""
        self._categories = CATEGORIES[b""]
        self._subject: str | None = None
        self._patient_id: str | None = None
        self._encounter: str | None = None
        self._encounter_id: str | None = None
        self._moment: str | None = None
        self._effective: Effective = _NEVER
        self._issued: str | None = None
        self._issued_at: str | None = None

    def cells(self, given: Observation) -> list[Cell]:
        """The cells of an observation, in the order of `ObservationRow`.

        Raises:
            Unreadable: with the place, and what is wrong there.
        """
        system, code, text, codes = CODES[bytes_of(given.code)]
        category = bytes_of(given.category)
        if category != self._category:
            self._categories, self._category = CATEGORIES[category], category
        subject = given.subject.reference if given.subject is not None else None
        if subject != self._subject:
            self._patient_id, self._subject = _patient(subject) if subject else None, subject
        encounter = given.encounter.reference if given.encounter is not None else None
        if encounter != self._encounter:
            self._encounter_id, self._encounter = _encounter(encounter) if encounter else None, encounter
        issued = given.issued
        if issued != self._issued:
            self._issued_at, self._issued = None if issued is None else _issued(issued), issued
        moment = given.effectiveDateTime
        if moment is None or given.effectivePeriod or given.effectiveInstant or given.effectiveTiming:
            effective = _effective(given)
        else:
            if moment != self._moment:
                self._effective, self._moment = _date_time(moment), moment
            effective = self._effective
        source = self._source
        return [
            system,
            code,
            text,
            *value_cells(given),
            *_judged(given),
            *identified(given.id, given.meta, source),
            self._patient_id,
            self._encounter_id,
            given.status,
            *self._categories,
            codes,
            *effective,
            self._issued_at,
            source.object_key,
        ]


def component_cells(given: Observation, source: ResourceOrigin) -> list[list[Cell]]:
    """The cells of an observation's components, each in the order of `ComponentRow`.

    Raises:
        Unreadable: with the place, and what is wrong there.
    """
    rows: list[list[Cell]] = []
    position = 0
    try:
        for position, each in enumerate(given.component or (), start=1):
            rows.append([*_PARTS[bytes_of(each)], given.id, source.server, position])
    except Unreadable as error:
        raise Unreadable("", f"component {position}, {error}") from None
    return rows


def _part(component: bytes) -> Part:
    given = _decode_component(component)
    system, code, text, _ = CODES[bytes_of(given.code)]
    return (system, code, text, *value_cells(given), *_judged(given))


def _judged(given: Measurement) -> Judged:
    if given.referenceRange is NOTHING and given.interpretation is NOTHING and given.dataAbsentReason is NOTHING:
        return _NOT_JUDGED
    low, high = LIMITS[bytes_of(given.referenceRange)]
    return INTERPRETATIONS[bytes_of(given.interpretation)], low, high, REASONS[bytes_of(given.dataAbsentReason)]


def _effective(given: Observation) -> Effective:
    """Of times that are no `effectiveDateTime` alone."""
    moment, period, instant = given.effectiveDateTime, given.effectivePeriod, given.effectiveInstant
    if (moment, period, instant, given.effectiveTiming).count(None) < _OTHER_TIMES:
        raise Unreadable("effective[x]", "more than one time")
    if period is not None:
        return period_cells("effectivePeriod", period)
    if instant is not None:
        return _instant(instant), None, instant
    return _NEVER if given.effectiveTiming is None else _timing(given.effectiveTiming)


def _timing(given: Timing) -> Effective:
    """From the first event to the last, else between the bounds of the repetition."""
    if not given.event:
        bounds = given.repeat.boundsPeriod if given.repeat else None
        return period_cells("effectiveTiming.repeat.boundsPeriod", bounds) if bounds else _NEVER
    ordered = sorted(given.event, key=lambda event: datetime.fromisoformat(_event(event).start))
    first, last = _event(ordered[0]), _event(ordered[-1])
    return first.start, last.end or last.start, f"{ordered[0]}/{ordered[-1]}"


def _with_text(text: str) -> Effective:
    start, end = read_date_time(text)
    return start, end, text


def referenced_id(kind: str, reference: str) -> str | None:
    """The id that a reference names, be it relative, absolute, of a version, or a URN; `None` if it leads elsewhere.

    What is contained (`#newborn`) has no id outside of its resource.
    """
    if reference.startswith("urn:"):
        return reference.rpartition(":")[2] or None
    path = reference.partition("/_history/")[0].split("/")
    if len(path) < len(("type", "id")) or path[-2] != kind:
        return None
    return path[-1].partition("#")[0].partition("?")[0] or None


def _referenced(kind: str, reference: str, place: str) -> str | None:
    if len(reference) > _LONGEST_REFERENCE:
        raise Unreadable(place, f"longer than {_LONGEST_REFERENCE} characters")
    return limited(referenced_id(kind, reference), place)


@lru_cache(_KEPT)
def _patient(reference: str) -> str | None:
    return _referenced("Patient", reference, "subject.reference")


@lru_cache(_KEPT)
def _encounter(reference: str) -> str | None:
    return _referenced("Encounter", reference, "encounter.reference")


_decode_component = msgspec.json.Decoder(Component).decode
_PARTS = ReadCache(_part, "")  # the answers of a questionnaire, the pressures that people have
_date_time = placed("effectiveDateTime", _with_text)
_instant = placed("effectiveInstant", read_instant)
_event = placed("effectiveTiming.event", read_date_time)
_issued = placed("issued", read_instant)
