"""Reads from words how beds were counted: open overnight, or by day only (the basis)."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from library.sources.beds.contracts import AnotherSeries
from library.sources.beds.names import BASES, Basis

_DASH = "[-\u2010-\u2015]"
_OVERNIGHT = rf"\bover(?:\s|{_DASH})*nights?\b|\b(?:open|at|by|stay)\s+(?:the\s+)?night\b"
_DAY_ONLY = (
    rf"\bday(?:s|time)?(?:\s|{_DASH})*only\b|\bday(?:\s|{_DASH})*time\b|\bday(?:\s|{_DASH})*(?:case(?:\s|{_DASH})*)?(?:beds?|wards?)\b"
    r"|\bday(?:\s|-)*cases?\b|\bonly\s+(?:open\s+)?(?:(?:during|in|by|for)\s+)?(?:the\s+)?day\b"
    r"|\bopen\s+(?:only\s+)?(?:during|in|by|for)\s+(?:the\s+)?day\b"
)
_PATTERNS: dict[Basis, re.Pattern[str]] = {
    "overnight": re.compile(_OVERNIGHT, re.IGNORECASE),
    "day_only": re.compile(_DAY_ONLY, re.IGNORECASE),
}
_EXCLUDED = re.compile(
    rf"\b(?:not|non|no|excl(?:\.|ud(?:ing|es?|ed))?|except(?:ing|\s+for)?|without|(?:other|rather)\s+than|instead\s+of)"
    rf"(?:\s|:|{_DASH})+(?:(?:the|any|all|those|beds?|wards?|that|which|are|were|of|open)\s+)*(?:{_OVERNIGHT}|{_DAY_ONLY})"
    r"(?:\s+(?:beds?|wards?))?",
    re.IGNORECASE,
)
"""Words that say what the beds are not: `excluding day only`."""


@dataclass(frozen=True)
class Statement:
    """A text that may name a basis, and where it stands, in words for a warning."""

    place: str
    text: str


def basis_in(content: str) -> Basis | None:
    """The basis that a text names; `None` if it names none, or both."""
    bases = _bases_in(content)
    return bases[0] if len(bases) == 1 else None


def decide_basis(
    title: str, others: Sequence[Statement], rest: Iterable[Statement], *, sheet: str
) -> tuple[Basis, list[str]]:
    """The basis of a table, and warnings.

    The title decides. If it names no basis, the other texts decide, but only if they agree: a real summary says
    "open day only" of beds open overnight.

    Args:
        title: the title above the table.
        others: the summary, and the names and titles of sheets.
        rest: other texts, which decide if neither the title nor `others` name a basis.
        sheet: the sheet's name, for errors.

    Raises:
        AnotherSeries: no text names a basis, the title names both, or the other texts name different ones.
    """
    bases = _bases_in(title)
    if len(bases) > 1:
        raise AnotherSeries("The title above the table names beds open overnight and beds by day only.", sheet=sheet)
    named = _named(others)
    if bases:
        return bases[0], [
            f"{place} names another basis than the title; the title's was taken."
            for place, basis in named
            if basis != bases[0]
        ]
    named = named or _named(rest)
    if not named:
        raise AnotherSeries(
            "Neither the title above the table nor the rest of the workbook says whether its beds were open overnight "
            "or by day only.",
            sheet=sheet,
        )
    place, basis = named[0]
    odd = next((other for other, its in named if its != basis), None)
    if odd:
        raise AnotherSeries(
            f"The title above the table names no basis, and other texts name different ones: {_inside(place)} says "
            f"{_in_words(basis)}, {_inside(odd)} does not.",
            sheet=sheet,
        )
    return basis, [f"The title names no basis; {_inside(place)} says {_in_words(basis)}, which was taken."]


def _named(statements: Iterable[Statement]) -> list[tuple[str, Basis]]:
    return [(statement.place, basis) for statement in statements if (basis := basis_in(statement.text))]


def _bases_in(content: str) -> list[Basis]:
    words = _EXCLUDED.sub(" ", content)
    return [basis for basis in BASES if _PATTERNS[basis].search(words)]


def _inside(place: str) -> str:
    """The words for a place inside a sentence."""
    return place[:1].lower() + place[1:]


def _in_words(basis: Basis) -> str:
    return "open overnight" if basis == "overnight" else "day only"
