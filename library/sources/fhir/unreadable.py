"""Why a resource, or a part of one, cannot be read."""

import re

import msgspec

from library.sources.fhir.datasets import KEY_LIMIT

HALF_PAIR = re.compile(
    rb"(?<!\\)(?:\\\\)*(?:\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|"
    rb"(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F])"
)
"""Half of the two escapes that together are one character."""


class Unreadable(ValueError):
    """A resource cannot become a row. The text has the place and the reason, but never a value."""

    def __init__(self, place: str, wrong: str) -> None:
        super().__init__(f"{place}: {wrong}" if place else wrong)


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
