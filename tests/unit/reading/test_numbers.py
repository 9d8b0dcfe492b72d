"""Numbers as they are written: the double, and the text where the double is printed as another one."""

import json
import math
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from library.reading.numbers import NumberUnfit, held_number, printed, written_number


@pytest.mark.parametrize("text", ["0", "5", "-0", "0.1", "-13.25", "123456789012345", "1e-05", "1e+20", "1.5e+300"])
def test_a_number_that_the_double_is_printed_as_needs_no_text(text: str) -> None:
    assert written_number(text.encode()) == (float(text), None)


@pytest.mark.parametrize(
    "text", ["0.10", "5.0", "0.0", "-0.0", "9007199254740993", "0.123456789012345678", "1E2", "1e2", "1000000000000000"]
)
def test_any_other_is_kept_as_it_was_written(text: str) -> None:
    assert written_number(text.encode()) == (float(text), text)


@pytest.mark.parametrize("text", ["1e-400", "-1e-400", "0." + "0" * 330 + "1", "0.0001e-1000"])
def test_a_number_too_small_for_a_double_is_never_0(text: str) -> None:
    assert written_number(text.encode()) == (None, text)


@pytest.mark.parametrize("text", ["1e400", "-1e400", "9" * 400, "1" * 401, '"5.4"', "true", "null", "{}", "[1]"])
def test_what_is_no_number_or_too_large_is_refused(text: str) -> None:
    with pytest.raises(NumberUnfit):
        written_number(text.encode())


_SIGNED = st.sampled_from(["", "-"])
_WRITTEN = st.builds(
    "{}{}{}{}".format,
    _SIGNED,
    st.integers(0, 10**22).map(str),
    st.from_regex(r"(\.[0-9]{1,22})?", fullmatch=True),
    st.from_regex(r"([eE][+-]?[0-9]{1,3})?", fullmatch=True),
)


@given(_WRITTEN)
@example("4.9e-324")
@example("1e-323")
def test_no_digit_is_lost(text: str) -> None:
    json.loads(text)
    try:
        value, kept = written_number(text.encode())
    except NumberUnfit:
        assert abs(Decimal(text)) > Decimal("1.7e308")
        return
    assert (value is None) == (float(text) == 0 and Decimal(text) != 0)
    assert Decimal(kept if kept is not None else printed(value or 0.0)) == Decimal(text)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_double_is_printed_so_that_it_can_be_read_again(value: float) -> None:
    assert float(printed(value)) == value
    assert written_number(printed(value).encode()) == (value, None)


@given(_WRITTEN)
@example("9007199254740993")
@example("98.59999999999999431566")
def test_a_held_number_is_the_doubles_own_in_so_many_digits_and_any_other_is_refused(text: str) -> None:
    try:
        value = held_number(text.encode())
    except NumberUnfit:
        assert math.isinf(float(text)) or Decimal(repr(float(text))) != Decimal(text)
        return
    assert Decimal(repr(value)) == Decimal(text) or f"{value:.{len(text.partition('.')[2])}f}" == text


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 40))
def test_a_double_can_be_written_with_any_number_of_digits_after_its_own(value: float, places: int) -> None:
    assert held_number(repr(value).encode()) == value
    text = f"{value:.{places}f}"
    if len(text) <= 400 and float(text) == value:
        assert held_number(text.encode()) == value
