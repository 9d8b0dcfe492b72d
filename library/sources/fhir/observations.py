"""Observations and their components as staged cells: a list, in the order of `ObservationRow` or `ComponentRow`.

A list, since making the NamedTuple takes a fifth of the time of a row.
This runs for every observation that a hospital has, so what repeats (concepts, times, references) is looked up by what
it was read from.
"""

from collections.abc import Callable
from datetime import datetime
from functools import cache

from library.sources.fhir.concepts import ConceptCaches, ReadCache
from library.sources.fhir.identity import ResourceOrigin, identified
from library.sources.fhir.references import NO_REFERENCE, ReadReference, references
from library.sources.fhir.resources import NOTHING, Component, Measurement, Observation, Timing, bytes_of
from library.sources.fhir.strict import strict_decoder
from library.sources.fhir.times import read_date_time, read_instant
from library.sources.fhir.unreadable import Unreadable
from library.sources.fhir.values import Value, ValueReader, period_cells, placed
from library.staging.files import Cell

type Effective = tuple[str | None, str | None, str | None]
"""Cells of the columns `effective_start`, `effective_end` and `effective_text`."""

type Judged = tuple[str | None, float | None, float | None, str | None, str | None]
"""Cells of the columns `interpretation` to `data_absent_reason`."""

type Part = tuple[str | None, str | None, str | None, *Value, *Judged]
"""Cells of the columns that a component has in common with an observation."""

_OTHER_TIMES = 3
_NEVER: Effective = (None, None, None)
_NOT_JUDGED: Judged = (None, None, None, None, None)


class _Elements:
    """Readers of the elements of observations, with their caches."""

    def __init__(self, harmless: frozenset[str]) -> None:
        self.concepts = ConceptCaches(harmless)
        self.values = ValueReader(harmless, self.concepts)
        decode: Callable[[bytes], Component] = strict_decoder(Component, harmless)
        # The answers of a questionnaire, the pressures that people have.
        self.parts: ReadCache[Part] = ReadCache(lambda given: self._part(decode(given)), "")

    def _part(self, given: Component) -> Part:
        system, code, text, _ = self.concepts.codes[bytes_of(given.code)]
        return (system, code, text, *self.values.cells(given), *self.judged(given))

    def judged(self, given: Measurement) -> Judged:
        """The cells of the columns `interpretation` to `data_absent_reason`."""
        if given.referenceRange is NOTHING and given.interpretation is NOTHING and given.dataAbsentReason is NOTHING:
            return _NOT_JUDGED
        low, high, text = self.values.limits[bytes_of(given.referenceRange)]
        interpretation = self.concepts.interpretations[bytes_of(given.interpretation)]
        return interpretation, low, high, text, self.concepts.reasons[bytes_of(given.dataAbsentReason)]


@cache
def _elements(harmless: frozenset[str]) -> _Elements:
    """The readers that ignore these modifiers. A process has one such list, so its caches stay warm."""
    return _Elements(harmless)


class ObservationRows:
    """Rows of the observations of one source.

    An observation often has the patient, the visit, the times and the categories of the one before it: these are
    compared first, and looked up only where they differ.
    """

    def __init__(self, source: ResourceOrigin) -> None:
        self._source = source
        elements = _elements(source.harmless)
        self._codes = elements.concepts.codes
        self._all_categories = elements.concepts.categories
        self._value_cells = elements.values.cells
        self._judged = elements.judged
        known = references(source.bases)
        self._read_patient, self._read_encounter = known.patient, known.encounter
        self._category = b""
        self._categories = self._all_categories[b""]
        self._subject: str | None = None
        self._patient: ReadReference = NO_REFERENCE
        self._visit: str | None = None
        self._encounter: ReadReference = NO_REFERENCE
        self._moment: str | None = None
        self._effective: Effective = _NEVER
        self._issued: str | None = None
        self._issued_at: str | None = None

    def cells(self, given: Observation) -> list[Cell]:
        """The cells of an observation, in the order of `ObservationRow`.

        Raises:
            Unreadable: with the place, and what is wrong there.
        """
        system, code, text, codes = self._codes[bytes_of(given.code)]
        category = bytes_of(given.category)
        if category != self._category:
            self._categories, self._category = self._all_categories[category], category
        subject = given.subject.reference if given.subject is not None else None
        if subject != self._subject:
            self._patient, self._subject = self._read_patient[subject] if subject else NO_REFERENCE, subject
        visit = given.encounter.reference if given.encounter is not None else None
        if visit != self._visit:
            self._encounter, self._visit = self._read_encounter[visit] if visit else NO_REFERENCE, visit
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
            *self._value_cells(given),
            *self._judged(given),
            *identified(given.id, given.meta, source),
            *self._patient,
            *self._encounter,
            given.status,
            *self._categories,
            codes,
            *effective,
            self._issued_at,
            "f",
            source.object_key,
        ]


def component_cells(given: Observation, source: ResourceOrigin) -> list[list[Cell]]:
    """The cells of an observation's components, each in the order of `ComponentRow`.

    Raises:
        Unreadable: with the place, and what is wrong there.
    """
    rows: list[list[Cell]] = []
    position = 0
    parts = _elements(source.harmless).parts
    try:
        for position, each in enumerate(given.component or (), start=1):
            rows.append([*parts[bytes_of(each)], given.id, source.server, position])
    except Unreadable as error:
        raise Unreadable("", f"component {position}, {error}") from None
    return rows


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


_date_time = placed("effectiveDateTime", _with_text)
_instant = placed("effectiveInstant", read_instant)
_event = placed("effectiveTiming.event", read_date_time)
_issued = placed("issued", read_instant)
