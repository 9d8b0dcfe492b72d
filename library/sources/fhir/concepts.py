"""Reads concepts and ranges. The same few repeat very often, so results are cached by the JSON's bytes.

Looking everything up again made the reading of a line a tenth slower (decision 64).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from library.sources.fhir.datasets import KEY_LIMIT
from library.sources.fhir.resources import CodeableConcept, Coding, ReferenceRange
from library.sources.fhir.strict import strict_decoder
from library.sources.fhir.unreadable import limited, misfit
from library.staging.files import text_array

_KEPT = 20_000
_LONGEST_KEPT = 2_000
_OF_HL7 = ("http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation", "v2-0078", "v2/0078")
_NORMAL = "normal"


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


class ReadCache[T](dict[bytes, T]):
    """Caches what `read` returns for JSON bytes: `codes[bytes_of(raw)]`. Errors name the place in the resource."""

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


class ConceptCaches:
    """The caches of concepts. Modifiers with a URL of `harmless` are ignored, so each such list has its own caches.

    Attributes:
        codes, values, categories, interpretations, reasons: by the JSON's bytes, the cells of such an element.
    """

    def __init__(self, harmless: frozenset[str]) -> None:
        def cached[D, T](place: str, kind: Any, read: Callable[[D], T]) -> ReadCache[T]:  # noqa: ANN401 - types have no common type
            decode: Callable[[bytes], D] = strict_decoder(kind, harmless, place)
            return ReadCache(lambda given: read(decode(given)), place)

        one, several = CodeableConcept | None, list[CodeableConcept] | None
        self.codes = cached("code", one, _searched_concept)
        self.values = cached("valueCodeableConcept", one, _concept)
        self.categories = cached("category", several, _categories)
        self.interpretations = cached("interpretation", several, _interpretation)
        self.reasons = cached("dataAbsentReason", one, _short)


def _concept(given: CodeableConcept | None) -> Concept:
    concept = given or CodeableConcept()
    codings = concept.coding or []
    first = next((coding for coding in codings if coding.code), None) or Coding()
    text = concept.text or next((coding.display for coding in codings if coding.display), None)
    codes = dict.fromkeys(coding.code for coding in codings if coding.code)
    return Concept(first.system, first.code, text, text_array(codes))


def _searched_concept(given: CodeableConcept | None) -> Concept:
    concept = _concept(given)
    if given is not None and len(concept.codes) > KEY_LIMIT:  # rare, so the single codes are checked only here
        for coding in given.coding or ():
            limited(coding.code, "code")
    return concept


def _categories(given: list[CodeableConcept] | None) -> Category:
    names: list[str] = []
    for category in given or []:
        codes = [coding.code for coding in category.coding or () if coding.code]
        names += codes or ([category.text] if category.text else [])
    for name in names:
        limited(name, "category")
    unique = dict.fromkeys(names)
    return Category(names[0] if names else None, text_array(unique))


def _short(given: CodeableConcept | None) -> str | None:
    return short_name(given or CodeableConcept())


def _interpretation(given: list[CodeableConcept] | None) -> str | None:
    """HL7's abbreviation if one of the concepts has it, else the first concept's name."""
    concepts = given or []
    codings = [coding for concept in concepts for coding in concept.coding or () if coding.code]
    of_hl7 = next((coding.code for coding in codings if (coding.system or "").endswith(_OF_HL7)), None)
    return of_hl7 or next((name for concept in concepts if (name := short_name(concept))), None)


def short_name(concept: CodeableConcept) -> str | None:
    """The short name of a concept: its first code, else its text."""
    return next((coding.code for coding in concept.coding or () if coding.code), None) or concept.text


def full_name(concept: CodeableConcept) -> str | None:
    """The name of a concept for people: its text, else its first coding's name, else the code."""
    return concept.text or next((coding.display or coding.code for coding in concept.coding or ()), None)


def is_normal(given: ReferenceRange) -> bool:
    """Whether the type of a range is `normal` or missing. Other types are not normal ranges."""
    kind = given.type or CodeableConcept()
    return not (kind.coding or kind.text) or any(coding.code == _NORMAL for coding in kind.coding or ())
