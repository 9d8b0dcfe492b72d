"""Reads concepts and ranges. The same few repeat very often, so results are cached by the JSON's bytes.

Looking everything up again made the reading of a line a tenth slower (decision 64).
"""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from library.sources.fhir.datasets import KEY_LIMIT
from library.sources.fhir.resources import CodeableConcept, Coding, ReferenceRange
from library.staging.files import text_array

_KEPT = 20_000
_LONGEST_KEPT = 2_000
_OF_HL7 = ("http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation", "v2-0078", "v2/0078")
_NORMAL = "normal"


class Unreadable(ValueError):
    """A resource cannot become a row. The text has the place and the reason, but never a value."""

    def __init__(self, place: str, wrong: str) -> None:
        super().__init__(f"{place}: {wrong}" if place else wrong)


class Concept(NamedTuple):
    """The cells of a concept: its first coding, its name, and the codes of all codings as an array."""

    system: str | None
    code: str | None
    text: str | None
    codes: str


class Category(NamedTuple):
    """The first category, and all categories as an array."""

    first: str | None
    all: str


class Limits(NamedTuple):
    """The normal range of a value."""

    low: float | None
    high: float | None


class ReadCache[T](dict[bytes, T]):
    """Caches what `read` returns for JSON bytes: `CODES[bytes_of(raw)]`. Errors name the place in the resource."""

    def __init__(self, read: Callable[[bytes], T], place: str) -> None:
        self._read = read
        self._place = place

    def __missing__(self, given: bytes) -> T:
        try:
            made = self._read(given or b"null")
        except msgspec.ValidationError as error:
            raise misfit(error, self._place) from None
        if len(given) <= _LONGEST_KEPT:
            if len(self) >= _KEPT:
                self.clear()
            self[given] = made
        return made


def misfit(error: msgspec.ValidationError, place: str = "") -> Unreadable:
    """The decoder's error, with the place first: `subject.reference: expected str, got int`."""
    wrong, _, path = str(error).partition(" - at `$")
    path = path.rstrip("`").lstrip(".")
    within = f"{place}.{path}" if place and path and not path.startswith("[") else place + path
    return Unreadable(within, wrong[:1].lower() + wrong[1:].replace("`", "").replace(" | null", ""))


def limited(text: str | None, place: str) -> str | None:
    """Check that a text fits into an index, and return it."""
    if text is not None and len(text) > KEY_LIMIT:
        raise Unreadable(place, f"longer than {KEY_LIMIT} characters")
    return text


_decode_concept = msgspec.json.Decoder(CodeableConcept | None).decode
_decode_concepts = msgspec.json.Decoder(list[CodeableConcept] | None).decode
_decode_ranges = msgspec.json.Decoder(list[ReferenceRange] | None).decode


def _concept(given: bytes) -> Concept:
    concept = _decode_concept(given) or CodeableConcept()
    codings = concept.coding or []
    first = next((coding for coding in codings if coding.code), None) or Coding()
    text = concept.text or next((coding.display for coding in codings if coding.display), None)
    codes = dict.fromkeys(coding.code for coding in codings if coding.code)
    return Concept(first.system, first.code, text, text_array(codes))


def _searched_concept(given: bytes) -> Concept:
    concept = _concept(given)
    if len(concept.codes) > KEY_LIMIT:  # rare, so the single codes are checked only here
        for coding in (_decode_concept(given) or CodeableConcept()).coding or ():
            limited(coding.code, "code")
    return concept


def _categories(given: bytes) -> Category:
    categories = _decode_concepts(given) or []
    names: list[str] = []
    for category in categories:
        codes = [coding.code for coding in category.coding or () if coding.code]
        names += codes or ([category.text] if category.text else [])
    for name in names:
        limited(name, "category")
    unique = dict.fromkeys(names)
    return Category(names[0] if names else None, text_array(unique))


def _short(given: bytes) -> str | None:
    return short_name(_decode_concept(given) or CodeableConcept())


def _interpretation(given: bytes) -> str | None:
    """HL7's abbreviation if one of the concepts has it, else the first concept's name."""
    concepts = _decode_concepts(given) or []
    codings = [coding for concept in concepts for coding in concept.coding or () if coding.code]
    of_hl7 = next((coding.code for coding in codings if (coding.system or "").endswith(_OF_HL7)), None)
    return of_hl7 or next((name for concept in concepts if (name := short_name(concept))), None)


def short_name(concept: CodeableConcept) -> str | None:
    """The short name of a concept: its first code, else its text."""
    return next((coding.code for coding in concept.coding or () if coding.code), None) or concept.text


def _limits(given: bytes) -> Limits:
    """The first range whose type is `normal` or missing. Other types are not normal ranges."""
    ranges = _decode_ranges(given) or []
    for each in ranges:
        kind = each.type or CodeableConcept()
        if not (kind.coding or kind.text) or any(coding.code == _NORMAL for coding in kind.coding or ()):
            low = each.low.value if each.low else None
            high = each.high.value if each.high else None
            if low is not None or high is not None:
                return Limits(low, high)
    return Limits(None, None)


CODES = ReadCache(_searched_concept, "code")
VALUES = ReadCache(_concept, "valueCodeableConcept")
CATEGORIES = ReadCache(_categories, "category")
INTERPRETATIONS = ReadCache(_interpretation, "interpretation")
REASONS = ReadCache(_short, "dataAbsentReason")
LIMITS = ReadCache(_limits, "referenceRange")
