"""Observations and their components as staged cells, in the order of the datasets' columns."""

from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache

from library.sources.fhir.concepts import (
    Unreadable,
    categories_of,
    code_of,
    interpretation_of,
    limited,
    limits_of,
    reason_of,
)
from library.sources.fhir.identity import Source, identified
from library.sources.fhir.resources import Component, Measurement, Observation, Reference, Timing
from library.sources.fhir.times import read_date_time, read_instant
from library.sources.fhir.values import at, period_cells, value_cells
from library.warehouse.staging import Cell

_LONGEST_REFERENCE = 2_000
_NEVER: tuple[None, None, None] = (None, None, None)


def observation_cells(given: Observation, source: Source) -> list[Cell]:
    """The row of an observation.

    Raises:
        Unreadable: with the place, and what is wrong there.
    """
    system, code, text, codes = code_of(given.code)
    category, categories = categories_of(given.category)
    return [
        system,
        code,
        text,
        *value_cells(given),
        *_judged(given),
        *identified(given.id, given.meta, source),
        _leads_to("Patient", given.subject, "subject"),
        _leads_to("Encounter", given.encounter, "encounter"),
        given.status,
        category,
        categories,
        codes,
        *_effective(given),
        None if given.issued is None else at("issued", read_instant, given.issued),
        source.object_key,
    ]


def component_cells(given: Observation, source: Source) -> Iterator[list[Cell]]:
    """The rows of an observation's components.

    Raises:
        Unreadable: with the place, and what is wrong there.
    """
    for position, component in enumerate(given.component or (), start=1):
        try:
            yield _component(component, given.id, source.server, position)
        except Unreadable as error:
            raise Unreadable("", f"component[{position - 1}].{error}") from None


def _component(given: Component, observation_id: str, server: str, position: int) -> list[Cell]:
    system, code, text, _ = code_of(given.code)
    return [system, code, text, *value_cells(given), *_judged(given), observation_id, server, position]


def _judged(given: Measurement) -> tuple[str | None, float | None, float | None, str | None]:
    low, high = limits_of(given.referenceRange)
    return interpretation_of(given.interpretation), low, high, reason_of(given.dataAbsentReason)


def _effective(given: Observation) -> tuple[str | None, str | None, str | None]:
    moment, period, instant = given.effectiveDateTime, given.effectivePeriod, given.effectiveInstant
    if (moment is not None) + (period is not None) + (instant is not None) + (given.effectiveTiming is not None) > 1:
        raise Unreadable("effective[x]", "more than one time")
    if moment is not None:
        return (*at("effectiveDateTime", read_date_time, moment), moment)
    if period is not None:
        return period_cells("effectivePeriod", period)
    if instant is not None:
        return at("effectiveInstant", read_instant, instant), None, instant
    return _NEVER if given.effectiveTiming is None else _timing(given.effectiveTiming)


def _timing(given: Timing) -> tuple[str | None, str | None, str | None]:
    """From the first event to the last, else between the bounds of the repetition."""
    if not given.event:
        bounds = given.repeat.boundsPeriod if given.repeat else None
        return period_cells("effectiveTiming.repeat.boundsPeriod", bounds) if bounds else _NEVER
    spans = [(at("effectiveTiming.event", read_date_time, event), event) for event in given.event]
    ordered = sorted((datetime.fromisoformat(span.start), span, event) for span, event in spans)
    (_, first, _), (_, last, _) = ordered[0], ordered[-1]
    return first.start, last.end or last.start, f"{ordered[0][2]}/{ordered[-1][2]}"


def _leads_to(kind: str, reference: Reference | None, place: str) -> str | None:
    text = reference.reference if reference else None
    if text is None:
        return None
    if len(text) > _LONGEST_REFERENCE:
        raise Unreadable(f"{place}.reference", f"longer than {_LONGEST_REFERENCE} characters")
    return limited(referenced_id(kind, text), f"{place}.reference")


@lru_cache(10_000)
def referenced_id(kind: str, reference: str) -> str | None:
    """The id that a reference names, be it relative, absolute, of a version, or a URN; `None` if it leads elsewhere.

    What is contained (`#newborn`) has no id outside of its resource.
    """
    if reference.startswith("urn:"):
        return reference.rpartition(":")[2] or None
    path = reference.partition("/_history/")[0].split("/")
    if len(path) < 2 or path[-2] != kind:
        return None
    return path[-1].partition("#")[0].partition("?")[0] or None
