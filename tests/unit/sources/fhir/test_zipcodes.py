"""Which postal codes are the same zip code."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from library.sources.fhir.zipcodes import comparable

FIVE, FOUR = st.from_regex(r"[0-9]{5}", fullmatch=True), st.from_regex(r"[0-9]{4}", fullmatch=True)
BLANKS = st.text(" \t\n\u00a0", max_size=3)
US = st.sampled_from(
    [None, "", "  ", "US", "us", "USA", "U.S.A.", "U. S.", "United  States", "United States of America", "PR"]
)
OTHERS = st.sampled_from(["DE", "SA", "Saudi Arabia", "GBR", "Mexico", "Deutschland"])


@given(FIVE, st.sampled_from(["", "-", " ", " - ", "\u2013"]), FOUR, BLANKS, BLANKS, US)
def test_a_us_code_is_its_five_digits_however_it_is_written(
    five: str, between: str, four: str, before: str, behind: str, country: str | None
) -> None:
    assert comparable(f"{before}{five}{behind}", country) == five
    assert comparable(f"{before}{five}{between}{four}{behind}", country) == five


@given(st.text(max_size=12), OTHERS)
def test_a_code_of_another_country_is_compared_whole_without_blanks_around_it(code: str, country: str) -> None:
    assert comparable(code, country) == code.strip()


@given(st.text(max_size=12), st.none() | st.text(max_size=12))
def test_what_is_compared_compares_with_itself(code: str, country: str | None) -> None:
    found = comparable(code, country)
    assert comparable(found, country) == found
    assert found in code


@pytest.mark.parametrize(
    "code",
    ["5777", "577780", "57778-00011", "5777a", "K1A 0B1", "SW1A 1AA", "01310-100", "\u0665\u0667\u0667\u0667\u0668"],
)
def test_what_has_another_form_is_no_us_code(code: str) -> None:
    assert comparable(code) == code
