"""Reads the value of an observation or a component. Every kind of value becomes the same cells."""

from collections.abc import Callable
from functools import lru_cache

from library.sources.fhir.concepts import VALUES, Unreadable
from library.sources.fhir.resources import NOTHING, Measurement, Period, Quantity, Range, Ratio, bytes_of
from library.sources.fhir.times import TimeUnreadable, check_time, read_date_time

type Value = tuple[
    str,  # kind
    float | None,  # number
    float | None,  # low
    float | None,  # high
    str | None,  # start
    str | None,  # end
    str | None,  # text
    str | None,  # code
    str | None,  # code_system
    str | None,  # unit
    str | None,  # unit_code
    str | None,  # comparator
]
"""Cells of the columns `value_kind` to `comparator`."""

_NONE: Value = ("none", None, None, None, None, None, None, None, None, None, None, None)
_KINDS = 11
_KEPT = 10_000
_BITS_32 = 2**31


def value_cells(given: Measurement) -> Value:
    """The cells of the value. More than one value is refused."""
    quantity, concept = given.valueQuantity, given.valueCodeableConcept
    if (
        (quantity is not None and concept is not NOTHING)
        or given.valueString is not None
        or given.valueBoolean is not None
        or given.valueInteger is not None
        or given.valueRange is not None
        or given.valueRatio is not None
        or given.valueTime is not None
        or given.valueDateTime is not None
        or given.valuePeriod is not None
        or given.valueSampledData is not NOTHING
    ):
        return _rare(given)
    if quantity is not None:
        return (
            "quantity", quantity.value, None, None, None, None, None, None, None,
            quantity.unit, quantity.code, quantity.comparator,
        )  # fmt: skip
    if concept is not NOTHING:
        system, code, text, _ = VALUES[bytes_of(concept)]
        return ("code", None, None, None, None, None, text, code, system, None, None, None)
    return _NONE


def placed[T](place: str, read: Callable[[str], T]) -> Callable[[str], T]:
    """Wrap a reader of times: errors name the place, and results are cached, since the times of a visit repeat."""

    @lru_cache(_KEPT)
    def read_at(text: str) -> T:
        try:
            return read(text)
        except TimeUnreadable as error:
            raise Unreadable(place, str(error)) from None

    return read_at


def period_cells(place: str, period: Period) -> tuple[str | None, str | None, str | None]:
    """First and last moment of a period, and its text `start/end`. One of the two can be missing."""
    if period.start is None and period.end is None:
        return None, None, None
    try:
        start = None if period.start is None else read_date_time(period.start).start
        end = None if period.end is None else read_date_time(period.end)
    except TimeUnreadable as error:
        raise Unreadable(place, str(error)) from None
    return start, end and (end.end or end.start), f"{period.start or ''}/{period.end or ''}"


def _rare(given: Measurement) -> Value:
    texts = (given.valueString, given.valueTime, given.valueDateTime, given.valueBoolean, given.valueInteger)
    parts = (given.valueQuantity, given.valueRange, given.valueRatio, given.valuePeriod)
    absent = (*texts, *parts).count(None)
    absent += (given.valueCodeableConcept is NOTHING) + (given.valueSampledData is NOTHING)
    if absent != _KINDS - 1:
        raise Unreadable("value[x]", "more than one value")
    if given.valueSampledData is not NOTHING:
        return _text("sampled_data", bytes_of(given.valueSampledData).decode())
    if given.valueString is not None:
        return _text("text", given.valueString)
    if given.valueBoolean is not None:
        return _text("boolean", "true" if given.valueBoolean else "false")
    if given.valueInteger is not None:
        return _integer(given.valueInteger)
    if given.valueRange is not None:
        return _range(given.valueRange)
    if given.valueRatio is not None:
        return _ratio(given.valueRatio)
    if given.valueDateTime is not None:
        start, end = _date_time(given.valueDateTime)
        return _timed("datetime", start, end, given.valueDateTime)
    if given.valuePeriod is not None:
        return _timed("period", *period_cells("valuePeriod", given.valuePeriod))
    return _text("time", _time(given.valueTime or ""))


def _text(kind: str, text: str) -> Value:
    return (kind, None, None, None, None, None, text, None, None, None, None, None)


def _timed(kind: str, start: str | None, end: str | None, text: str | None) -> Value:
    return (kind, None, None, None, start, end, text, None, None, None, None, None)


def _integer(number: int) -> Value:
    if not -_BITS_32 <= number < _BITS_32:
        raise Unreadable("valueInteger", f"outside {-_BITS_32} to {_BITS_32 - 1}")
    return ("integer", float(number), None, None, None, None, None, None, None, None, None, None)


def _range(given: Range) -> Value:
    low, high = given.low or Quantity(), given.high or Quantity()
    unit, code = low.unit or high.unit, low.code or high.code
    return ("range", None, low.value, high.value, None, None, None, None, None, unit, code, None)


def _ratio(given: Ratio) -> Value:
    above, below = given.numerator or Quantity(), given.denominator or Quantity()
    unit, code = _per(above.unit, below.unit), _per(above.code, below.code)
    comparator = above.comparator or below.comparator
    return ("ratio", None, above.value, below.value, None, None, None, None, None, unit, code, comparator)


def _per(above: str | None, below: str | None) -> str | None:
    return f"{above or '1'}/{below}" if below and below != "1" else above


_date_time = placed("valueDateTime", read_date_time)
_time = placed("valueTime", check_time)
