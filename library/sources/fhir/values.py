"""Reads the value of an observation or a component. Every kind of value becomes the same cells."""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import msgspec
from msgspec import Raw

from library.reading.numbers import NumberUnfit, WrittenNumber, written_number
from library.sources.fhir.concepts import ConceptCaches, ReadCache, full_name, is_normal
from library.sources.fhir.resources import (
    NOTHING,
    Measurement,
    Period,
    Quantity,
    Range,
    Ratio,
    ReferenceRange,
    SampledData,
    bytes_of,
)
from library.sources.fhir.strict import strict_decoder
from library.sources.fhir.times import TimeUnreadable, check_time, read_date_time
from library.sources.fhir.unreadable import Unreadable, misfit

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
_NO_NUMBER = WrittenNumber(None, None)


class Limits(NamedTuple):
    """The normal range of a value, and both numbers as they were written if the doubles are printed otherwise."""

    low: float | None
    high: float | None
    text: str | None


_NO_LIMITS = Limits(None, None, None)


class ValueReader:
    """Reads values and normal ranges.

    Attributes:
        limits: by the JSON's bytes, the cells of `referenceRange`.
    """

    def __init__(self, harmless: frozenset[str], concepts: ConceptCaches) -> None:
        self._concepts = concepts.values
        quantity: Callable[[bytes], Quantity | None] = strict_decoder(Quantity | None, harmless, "valueQuantity")
        ranges: Callable[[bytes], list[ReferenceRange] | None] = strict_decoder(
            list[ReferenceRange] | None, harmless, "referenceRange"
        )
        self._decode_sampled: Callable[[bytes], SampledData | None] = strict_decoder(
            SampledData | None, harmless, "valueSampledData"
        )
        self._quantities = ReadCache(lambda given: _quantity(quantity(given)), "valueQuantity")
        self.limits = ReadCache(lambda given: _limits(ranges(given)), "referenceRange")

    def cells(self, given: Measurement) -> Value:
        """The cells of the value. More than one value is refused."""
        quantity, concept = given.valueQuantity, given.valueCodeableConcept
        if (
            (quantity is not NOTHING and concept is not NOTHING)
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
            return self._rare(given)
        if quantity is not NOTHING:
            return self._quantities[bytes_of(quantity)]
        if concept is not NOTHING:
            return self._concept(concept)
        return _NONE

    def _concept(self, concept: Raw) -> Value:
        system, code, text, _ = self._concepts[bytes_of(concept)]
        return ("code", None, None, None, None, None, text, code, system, None, None, None)

    def _rare(self, given: Measurement) -> Value:
        texts = (given.valueString, given.valueTime, given.valueDateTime, given.valueBoolean, given.valueInteger)
        parts = (given.valueRange, given.valueRatio, given.valuePeriod)
        raw = (given.valueQuantity, given.valueCodeableConcept, given.valueSampledData)
        if (*texts, *parts).count(None) + sum(each is NOTHING for each in raw) != _KINDS - 1:
            raise Unreadable("value[x]", "more than one value")
        if given.valueSampledData is not NOTHING:
            return self._sampled(bytes_of(given.valueSampledData))
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

    def _sampled(self, given: bytes) -> Value:
        try:
            self._decode_sampled(given)
        except msgspec.ValidationError as error:
            raise misfit(error, "valueSampledData") from None
        return _text("sampled_data", given.decode())


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


def _text(kind: str, text: str) -> Value:
    return (kind, None, None, None, None, None, text, None, None, None, None, None)


def _timed(kind: str, start: str | None, end: str | None, text: str | None) -> Value:
    return (kind, None, None, None, start, end, text, None, None, None, None, None)


def _number(given: Quantity, place: str) -> WrittenNumber:
    """The number of a quantity."""
    if given.value is NOTHING:
        return _NO_NUMBER
    raw = bytes_of(given.value)
    if raw == b"null":
        return _NO_NUMBER
    try:
        return written_number(raw)
    except NumberUnfit as error:
        wrong = str(error)
    try:
        msgspec.json.decode(raw, type=float)
    except msgspec.ValidationError as error:
        raise misfit(error, f"{place}.value") from None
    raise Unreadable(f"{place}.value", wrong)


def _quantity(given: Quantity | None) -> Value:
    if given is None:
        return _NONE
    value, text = _number(given, "valueQuantity")
    comparator = given.comparator
    return ("quantity", value, None, None, None, None, text, None, None, given.unit, given.code, comparator)


def _integer(number: int) -> Value:
    if not -_BITS_32 <= number < _BITS_32:
        raise Unreadable("valueInteger", f"outside {-_BITS_32} to {_BITS_32 - 1}")
    return ("integer", float(number), None, None, None, None, None, None, None, None, None, None)


def _range(given: Range) -> Value:
    below, above = given.low or Quantity(), given.high or Quantity()
    low, high, text = _two(below, above, "valueRange", ("low", "high"))
    unit, code = below.unit or above.unit, below.code or above.code
    return ("range", None, low, high, None, None, text, None, None, unit, code, None)


def _ratio(given: Ratio) -> Value:
    above, below = given.numerator or Quantity(), given.denominator or Quantity()
    low, high, text = _two(above, below, "valueRatio", ("numerator", "denominator"), first_has_column=True)
    unit, code = _per(above.unit, below.unit), _per(above.code, below.code)
    return ("ratio", None, low, high, None, None, text, None, None, unit, code, above.comparator)


def _per(above: str | None, below: str | None) -> str | None:
    return f"{above or '1'}/{below}" if below and below != "1" else above


def _two(
    first: Quantity, second: Quantity, place: str, names: tuple[str, str], *, first_has_column: bool = False
) -> Limits:
    """Two numbers, and both as one text if it says more than the numbers: digits, or a comparator without a column."""
    one, written = _number(first, f"{place}.{names[0]}")
    other, also_written = _number(second, f"{place}.{names[1]}")
    comparators = second.comparator or (first.comparator if not first_has_column else None)
    if written is None and also_written is None and comparators is None:
        return Limits(one, other, None)
    return Limits(one, other, f"{_as_written(first)}/{_as_written(second)}")


def _as_written(given: Quantity) -> str:
    number = b"" if given.value is NOTHING else bytes_of(given.value)
    return f"{given.comparator or ''}{'' if number == b'null' else number.decode()}"


def _limits(given: list[ReferenceRange] | None) -> Limits:
    """The normal range. If there are several, none of them, and all as a text: sex and age are not known here."""
    found = [(each, _limits_of(each, position)) for position, each in enumerate(given or []) if is_normal(each)]
    found = [(each, limits) for each, limits in found if limits != _NO_LIMITS or each.appliesTo or each.age]
    if len({limits for _, limits in found}) <= 1:
        return found[0][1] if found else _NO_LIMITS
    return Limits(None, None, ", ".join(_described(each) for each, _ in found))


def _limits_of(given: ReferenceRange, position: int) -> Limits:
    low, high = given.low or Quantity(), given.high or Quantity()
    return _two(low, high, f"referenceRange[{position}]", ("low", "high"))


def _described(given: ReferenceRange) -> str:
    """A range and whom it applies to: `12/16 g/dL (Female, age 18/65 a)`."""
    people = [name for concept in given.appliesTo or () if (name := full_name(concept))]
    if given.age is not None:
        people.append(f"age {_span(given.age)}")
    return f"{_span(given)}{f' ({", ".join(people)})' if people else ''}"


def _span(given: Range | ReferenceRange) -> str:
    low, high = given.low or Quantity(), given.high or Quantity()
    unit = low.unit or high.unit or low.code or high.code
    return f"{_as_written(low)}/{_as_written(high)}{f' {unit}' if unit else ''}"


_date_time = placed("valueDateTime", read_date_time)
_time = placed("valueTime", check_time)
