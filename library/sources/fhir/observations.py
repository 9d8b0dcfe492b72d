"""Observations and their components as staged cells, in the order of the datasets' columns.

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
    Known,
    Unreadable,
    limited,
)
from library.sources.fhir.identity import Source, identified
from library.sources.fhir.resources import NOTHING, Component, Measurement, Observation, Timing, bytes_of
from library.sources.fhir.times import read_date_time, read_instant
from library.sources.fhir.values import period_cells, placed, value_cells
from library.warehouse.staging import Cell

type Effective = tuple[str | None, str | None, str | None]
"""Cells of the columns `effective_start`, `effective_end` and `effective_text`."""

type Judged = tuple[str | None, float | None, float | None, str | None]
"""Cells of the columns `interpretation` to `data_absent_reason`."""

_LONGEST_REFERENCE = 2_000
_OTHER_TIMES = 3
_KEPT = 10_000
_NEVER: Effective = (None, None, None)
_NOT_JUDGED: Judged = (None, None, None, None)


def observation_cells(given: Observation, source: Source) -> list[Cell]:
    """The row of an observation.

    Raises:
        Unreadable: with the place, and what is wrong there.
    """
    system, code, text, codes = CODES[bytes_of(given.code)]
    category, categories = CATEGORIES[bytes_of(given.category)]
    subject, encounter, issued = given.subject, given.encounter, given.issued
    return [
        system,
        code,
        text,
        *value_cells(given),
        *_judged(given),
        *identified(given.id, given.meta, source),
        _patient(subject.reference) if subject and subject.reference else None,
        _encounter(encounter.reference) if encounter and encounter.reference else None,
        given.status,
        category,
        categories,
        codes,
        *_effective(given),
        None if issued is None else _issued(issued),
        source.object_key,
    ]


def component_cells(given: Observation, source: Source) -> list[tuple[Cell, ...]]:
    """The rows of an observation's components.

    Raises:
        Unreadable: with the place, and what is wrong there.
    """
    rows: list[tuple[Cell, ...]] = []
    position = 0
    try:
        for position, each in enumerate(given.component or (), start=1):
            rows.append((*_PARTS[bytes_of(each)], given.id, source.server, position))
    except Unreadable as error:
        raise Unreadable("", f"component[{position - 1}].{error}") from None
    return rows


def _part(component: bytes) -> tuple[Cell, ...]:
    given = _decode_component(component)
    system, code, text, _ = CODES[bytes_of(given.code)]
    return (system, code, text, *value_cells(given), *_judged(given))


def _judged(given: Measurement) -> Judged:
    if given.referenceRange is NOTHING and given.interpretation is NOTHING and given.dataAbsentReason is NOTHING:
        return _NOT_JUDGED
    low, high = LIMITS[bytes_of(given.referenceRange)]
    return INTERPRETATIONS[bytes_of(given.interpretation)], low, high, REASONS[bytes_of(given.dataAbsentReason)]


def _effective(given: Observation) -> Effective:
    moment, period, instant = given.effectiveDateTime, given.effectivePeriod, given.effectiveInstant
    if moment is not None and period is None and instant is None and given.effectiveTiming is None:
        return _date_time(moment)
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
_PARTS = Known(_part, "")  # the answers of a questionnaire, the pressures that people have
_date_time = placed("effectiveDateTime", _with_text)
_instant = placed("effectiveInstant", read_instant)
_event = placed("effectiveTiming.event", read_date_time)
_issued = placed("issued", read_instant)
