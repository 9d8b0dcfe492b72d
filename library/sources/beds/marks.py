"""Takes footnote marks off the texts of cells: `RZ1*`, `RZ1¹`, `RZ1 (1)`, `RZ1 [note 2]`, or a superscript run.

The spreadsheet library joins the runs of a cell to one text. So superscript runs are put between two characters of
Unicode's private area before it reads the parts (`library.sources.beds.runs`).
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

RUN_START, RUN_END = "\uf8f0", "\uf8f1"
"""Stand around a superscript or subscript run in the text of a cell."""

_RUN = f"{RUN_START}[^{RUN_END}]*{RUN_END}"
_RAISED = (
    "[\u00aa\u00b2\u00b3\u00b9\u00ba\u02b0-\u02b8\u02e0-\u02e4\u1d2c-\u1d6a\u1d78\u1d9b-\u1dbf\u2070-\u209c"
    "\u2460-\u249b\u249c-\u24e9\u2776-\u2793]++"
)
"""Superscript and subscript letters and digits, and those in circles."""
_ASTERISKS = "[*\uff0a\u2217\u204e\u2051\u2731\u2020\u2021\u2e38\u00a7\u00b6\u203b\u2042\u2016]++"
_NOTE = r"(?i:(?:see\s+)?(?:foot)?notes?\.?\s*)?"
_NAME = r"(?:\d{1,2}|[a-z]|[ivx]{2,4}|[*\u2020\u2021\u00a7#]{1,3}|[RPE])"
_BRACKETED = "|".join(
    rf"{opening}\s*{_NOTE}{_NAME}(?:\s*[,;&]\s*{_NAME})*\s*{closing}"
    for opening, closing in ((r"\(", r"\)"), (r"\[", r"\]"), (r"\{", r"\}"))
)
_MARK = f"(?:{_RUN}|{_RAISED}|{_ASTERISKS}|{_BRACKETED})"
_LAST_ONLY = r"(?:\^\w{1,2}|#++|~++)"
_AT_START = re.compile(rf"(?:{_MARK}[\s,;]*+)++")
_AT_END = re.compile(rf"(?:[\s,;]*+(?:{_MARK}|{_LAST_ONLY}))++$")
_INSIDE = re.compile(rf"\s*(?:{_RUN}|{_RAISED}|(?<=\w){_ASTERISKS}(?=\s))")
_ONE_MARK = re.compile(rf"{_MARK}|{_LAST_ONLY}")

_ORDINAL = re.compile(r"st|nd|rd|th", re.IGNORECASE)
_MOST = 2_000
"""Longer texts are no codes, names or headers."""
_STARTS = frozenset("*([{")
_ENDS = frozenset("*)]}#~")


class Unmarked(NamedTuple):
    """A text without its footnote marks.

    Attributes:
        text: the text without marks.
        marks: the marks, as a reader sees them.
    """

    text: str
    marks: tuple[str, ...]


def unmarked(content: str, *, inside: bool = True) -> Unmarked:
    """Take the footnote marks off a text: those at its start and end, and clear ones inside.

    A text that is only marks stays as it is. So does a letter or digit that nothing sets apart: `RZ12` may be a code.

    Args:
        content: a text without blanks around it.
        inside: whether marks between other characters are taken off, too. In a code they are not, since `RZ¹2` could
            be read in two ways.
    """
    if not content or (
        content.isascii()
        and content[-1] not in _ENDS
        and content[0] not in _STARTS
        and "*" not in content
        and "^" not in content
    ):
        return Unmarked(content, ())
    return _unmarked(content, inside=inside) if len(content) <= _MOST else Unmarked(shown(content), ())


def shown(content: str) -> str:
    """A text as a reader sees it, with its marks, but without the characters around superscript runs."""
    return content.replace(RUN_START, "").replace(RUN_END, "") if RUN_START in content else content


def are_marks(runs: Sequence[tuple[str, bool]]) -> list[bool]:
    """For each run of a text whether it is a footnote mark.

    If all of a text is superscript, no run is a mark. The ending of an ordinal number (27th) is none either.

    Args:
        runs: the text of each run, and whether it is superscript or subscript.
    """
    if all(moved or not text.strip() for text, moved in runs):
        return [False] * len(runs)
    before = ("", *(text for text, _ in runs))
    return [
        moved and bool(text.strip()) and not (last[-1:].isdigit() and _ORDINAL.fullmatch(text.strip()))
        for last, (text, moved) in zip(before, runs, strict=False)
    ]


@lru_cache(maxsize=1_000)  # quarters, years and headers are the same in many cells
def _unmarked(content: str, *, inside: bool) -> Unmarked:
    marks: list[str] = []

    def take(found: re.Match[str]) -> str:
        marks.extend(shown(mark[0]).strip() for mark in _ONE_MARK.finditer(found[0]))
        return ""

    rest = content
    if start := _AT_START.match(rest):
        rest = take(start) + rest[start.end() :]
    if end := _AT_END.search(rest):
        rest = rest[: end.start()] + take(end)
    if inside:
        rest = _INSIDE.sub(take, rest)
    rest = " ".join(rest.split())
    return Unmarked(rest, tuple(filter(None, marks))) if rest else Unmarked(shown(content), ())
