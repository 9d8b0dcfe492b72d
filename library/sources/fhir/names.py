"""Names of patients in the form for searches: letters and digits, without accents and case."""

import unicodedata
from collections.abc import Iterable, Sequence
from itertools import chain, islice

from library.sources.fhir.datasets import KEY_LIMIT
from library.sources.fhir.resources import HumanName

_SEARCHED_NAMES = 200
"""Postgres indexes up to a megabyte of them."""
_FOLDED = (
    "æae œoe þth ðd đd øo łl ħh ıi ȷj ŋn ŧt ƶz "  # noqa: RUF001 - letters that look like others are meant
    "ƀb ɓb ƈc ȼc ɖd ɗd əe ɛe ɇe ƒf ǥg ɠg ɦh ɨi ɉj ƙk ƚl ɲn ɔo ɵo ƥp ɋq ɍr ƭt ʉu ʋv ƴy ɏy"  # noqa: RUF001 - as above
)
_LETTERS = str.maketrans({pair[0]: pair[1:] for pair in _FOLDED.split()})
"""Letters that Unicode does not divide into a base letter and an accent."""


def search_name(part: str, name: str) -> str:
    """A name in the form for searches: letters and digits only, without accents and case; `family_obrien` for O'Brien.

    A search for names that begin with some letters is
    `array_to_tsvector(search_names) @@ (quote_literal($1) || ':*')::tsquery`, with the result of this function as $1.

    Args:
        part: `family` or `given`.
        name: the name, or its beginning.
    """
    letters = unicodedata.normalize("NFKD", name[:KEY_LIMIT].casefold()).translate(_LETTERS)
    return f"{part}_{''.join(filter(_is_searched, letters))[:KEY_LIMIT]}"


def search_names(names: Sequence[HumanName]) -> Iterable[str]:
    """All names in the form for searches. If a name has no family or given name, its text is searched for both."""
    families = (search_name("family", family) for name in names for family in _families(name))
    given = (search_name("given", each) for name in names for each in _given(name))
    return islice(dict.fromkeys(chain(families, given)), _SEARCHED_NAMES)


def _is_searched(letter: str) -> bool:
    return letter.isalnum() and not "\u02b0" <= letter <= "\u02ff"  # some of these are apostrophes: Ka\u02bbahumanu


def _families(name: HumanName) -> Iterable[str]:
    return [name.family] if name.family else _ends(name.text)


def _given(name: HumanName) -> Iterable[str]:
    given = [each for each in name.given or () if each]
    return given or _ends(name.text)


def _ends(text: str | None) -> Iterable[str]:
    """The text from each of its words on, so that it is found by the beginning of each word."""
    words = (text or "")[:KEY_LIMIT].split()
    return (" ".join(words[first:]) for first in range(len(words)))
