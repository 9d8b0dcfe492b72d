"""FHIR's dates and times: what is read is what Postgres would read, and nothing is guessed."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from library.sources.fhir.times import TimeUnreadable, check_time, read_date, read_date_time, read_instant


@pytest.mark.parametrize(
    "text",
    [
        *("", "now", "today", "infinity", "12", "20120", "2012-1", "2012-13", "2012-00", "2012-02-30", "0000"),
        *(
            "2012-02-03T10",
            "2012-02-03T10:20:30",
            "2012-02-03T24:00:00Z",
            "2012-02-03 10:20:30Z",
            "2012-02-03T10:20:30z",
        ),
        *("2012-02-03T10:20:30+15:00", "2012-02-03T10:20:30+0100", "2012-02-03T10:61:00Z", "2012-02-03T10:20:30.Z"),
        *(
            "٢٠١٢",
            " 2012",
            "2012\n",
            "2012-W01",
            "2012-02-03Z",
        ),
        "2012-02-03T10:20:30." + "9" * 60 + "Z",
    ],
)
def test_what_is_no_time_of_fhir_is_refused(text: str) -> None:
    with pytest.raises(TimeUnreadable) as error:
        read_date_time(text)
    assert not text or text not in str(error.value)


def test_years_at_the_end_of_time_stay_within_it() -> None:
    assert read_date_time("9999-12-31").end == "9999-12-31T23:59:59.999999+00:00"
    assert read_date_time("9999-12-31T10:00:00+01:00").start == "9999-12-31T09:00:00+00:00"
    assert read_date_time("0001").start == "0001-01-01T00:00:00+00:00"
    # "For ever", as servers say it.
    assert read_date_time("9999-12-31T23:59:59-05:00").start == "9999-12-31T23:59:59.999999+00:00"
    assert read_date_time("0001-01-01T00:00:00+14:00").start == "0001-01-01T00:00:00+00:00"


def test_a_leap_second_is_the_next_minute() -> None:
    assert read_date_time("2016-12-31T23:59:60Z").start == "2017-01-01T00:00:00+00:00"


def test_an_instant_is_to_the_second_and_a_date_to_the_day() -> None:
    assert read_instant("2012-02-03T10:20:30Z") == "2012-02-03T10:20:30Z"
    with pytest.raises(TimeUnreadable):
        read_instant("2012-02-03")
    with pytest.raises(TimeUnreadable):
        read_date("2012-02-03T10:20:30Z")


@pytest.mark.parametrize("text", ["00:00:00", "23:59:59.123", "23:59:60"])
def test_a_time_of_day_is_kept_as_it_is(text: str) -> None:
    assert check_time(text) == text


@pytest.mark.parametrize("text", ["24:00:00", "7:00:00", "07:00", "07:00:00Z", "07:00:00." + "1" * 60])
def test_what_is_no_time_of_day_is_refused(text: str) -> None:
    with pytest.raises(TimeUnreadable):
        check_time(text)


@given(st.datetimes(), st.integers(-12 * 60, 14 * 60))
def test_every_time_with_a_zone_is_read_as_the_moment_that_it_is(moment: datetime, minutes: int) -> None:
    given_time = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    try:
        expected = given_time.astimezone(UTC)
    except OverflowError:
        with pytest.raises(TimeUnreadable):
            read_date_time(given_time.isoformat())
        return
    assert datetime.fromisoformat(read_date_time(given_time.isoformat()).start) == expected


@given(st.dates(), st.sampled_from([4, 7, 10]))
def test_a_partial_date_spans_all_moments_that_begin_with_it(day: object, digits: int) -> None:
    text = str(day)[:digits]
    start, end = read_date_time(text)
    assert end is not None
    assert start[:digits] == end[:digits] == text
    following = datetime.fromisoformat(end).replace(tzinfo=None)
    if following.year < 9999:
        assert (following + timedelta(microseconds=1)).isoformat()[:digits] != text
    assert read_date(text).first == start[:10]
