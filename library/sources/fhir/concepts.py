"""Concepts, references and ranges. The same few come again and again, so what was made of one is kept by its bytes."""

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
    """A resource that cannot become a row: where, and what is wrong; never what it holds."""

    def __init__(self, place: str, wrong: str) -> None:
        super().__init__(f"{place}: {wrong}" if place else wrong)


class Concept(NamedTuple):
    """A concept as its columns have it: the first coding, and its name; and the codes of all codings, as an array."""

    system: str | None
    code: str | None
    text: str | None
    codes: str


class Category(NamedTuple):
    """The first category, and all of them, as an array."""

    first: str | None
    all: str


class Limits(NamedTuple):
    """Between which numbers a value is normal."""

    low: float | None
    high: float | None


class Known[T](dict[bytes, T]):
    """What `read` makes of which bytes: `CODES[bytes_of(raw)]`, read when first asked for; refusals name the place."""

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
    """The decoder's complaint, with the place first: `subject.reference: expected str, got int`."""
    wrong, _, path = str(error).partition(" - at `$")
    path = path.rstrip("`").lstrip(".")
    within = f"{place}.{path}" if place and path and not path.startswith("[") else place + path
    return Unreadable(within, wrong[:1].lower() + wrong[1:].replace("`", "").replace(" | null", ""))


def limited(text: str | None, place: str) -> str | None:
    """A text that goes into an index, where it fits."""
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
    if len(concept.codes) > KEY_LIMIT:  # as a rule none of them is even near
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
    """HL7's abbreviation, where one of the concepts has it; else the first one's name."""
    concepts = _decode_concepts(given) or []
    codings = [coding for concept in concepts for coding in concept.coding or () if coding.code]
    of_hl7 = next((coding.code for coding in codings if (coding.system or "").endswith(_OF_HL7)), None)
    return of_hl7 or next((name for concept in concepts if (name := short_name(concept))), None)


def short_name(concept: CodeableConcept) -> str | None:
    """What a concept is called in one word: its first code, else its text."""
    return next((coding.code for coding in concept.coding or () if coding.code), None) or concept.text


def _limits(given: bytes) -> Limits:
    """The first range that is called normal, or not called anything: others are of those who are ill."""
    ranges = _decode_ranges(given) or []
    for each in ranges:
        kind = each.type or CodeableConcept()
        if not (kind.coding or kind.text) or any(coding.code == _NORMAL for coding in kind.coding or ()):
            low = each.low.value if each.low else None
            high = each.high.value if each.high else None
            if low is not None or high is not None:
                return Limits(low, high)
    return Limits(None, None)


CODES = Known(_searched_concept, "code")
VALUES = Known(_concept, "valueCodeableConcept")
CATEGORIES = Known(_categories, "category")
INTERPRETATIONS = Known(_interpretation, "interpretation")
REASONS = Known(_short, "dataAbsentReason")
LIMITS = Known(_limits, "referenceRange")
