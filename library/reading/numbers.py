"""Reads numbers as they are written. A double holds some 16 digits; a decimal may have more, or zeros at its end."""

import math
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

_MOST_CHARACTERS = 400
"""A number with more characters is refused. It is longer than any that a double can hold."""
_ALWAYS_HELD = 15
"""A number with so many characters has no digit that a double loses."""
_PLAIN_BELOW = 1e15
"""From here on, Postgres prints a double with an exponent."""


class NumberUnfit(ValueError):
    """It is no number, or none that can be stored. The text has the reason, but never the number."""


class WrittenNumber(NamedTuple):
    """A number.

    Attributes:
        value: as a double; `None` if it is not 0, and too small for a double.
        text: as it was written, if the double is printed as another text; else `None`.
    """

    value: float | None
    text: str | None


def written_number(given: bytes) -> WrittenNumber:
    """Read a number of JSON.

    Args:
        given: a JSON value, without blanks around it.

    Raises:
        NumberUnfit: it is no number, it is too large for a double, or it has too many characters.
    """
    try:
        value = float(given)
    except ValueError:
        raise NumberUnfit("not a number") from None
    if len(given) > _MOST_CHARACTERS:
        raise NumberUnfit(f"a number with more than {_MOST_CHARACTERS} characters")
    text = given.decode()
    if math.isinf(value):
        raise NumberUnfit("beyond what a double can hold")
    if value == 0 and text.lower().partition("e")[0].strip("-0."):
        return WrittenNumber(None, text)
    return WrittenNumber(value, None if text == printed(value) else text)


def held_number(given: bytes) -> float:
    """Read a number of JSON that a double holds with all of its digits.

    Args:
        given: a JSON value, without blanks around it.

    Raises:
        NumberUnfit: it is no number, or a double would lose some of its digits.
    """
    try:
        value = float(given)
    except ValueError:
        raise NumberUnfit("not a number") from None
    if (len(given) <= _ALWAYS_HELD and value and math.isfinite(value)) or _is_held(given.decode(), value):
        return value
    raise NumberUnfit("not a number that a double can hold")


def _is_held(text: str, value: float) -> bool:
    """Whether a double is printed as this number, in as few digits as possible or in as many as the text has."""
    if len(text) > _MOST_CHARACTERS or not math.isfinite(value):
        return False
    try:
        written = Decimal(text)
    except InvalidOperation:
        return False
    places = -int(written.as_tuple().exponent)
    return written == Decimal(repr(value)) or (places >= 0 and text.find("e") < 0 and f"{value:.{places}f}" == text)


def printed(value: float) -> str:
    """A double as Postgres prints it, also in JSON: the shortest text that gives the same double."""
    if abs(value) < _PLAIN_BELOW:
        return repr(value).removesuffix(".0")
    digits, _, exponent = f"{value!r}".partition("e")
    if exponent:
        return f"{digits}e{exponent}"
    whole = digits.partition(".")[0].lstrip("-")
    mantissa = whole.rstrip("0")
    return f"{'-' if value < 0 else ''}{mantissa[0]}{'.' if mantissa[1:] else ''}{mantissa[1:]}e+{len(whole) - 1}"
