"""The position of a search: when it has ended, what its server delivered, and which pages come again."""

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from library.contracts.objects import ObjectRef
from library.contracts.runs import RunError
from library.sources.fhir.contracts import Cursor, FetchedPage
from library.sources.fhir.errors import PageLoops

BEGAN = datetime(2030, 1, 1, tzinfo=UTC)
REFUSED = FetchedPage(refusal=RunError(type="ServerRefused", message="no"))


@dataclass(frozen=True)
class Answer:
    """What the server has for one search: the sizes of its pages, and the total that it states."""

    sizes: tuple[int, ...]
    total: int | None

    @property
    def missing(self) -> int:
        return max((self.total or 0) - sum(self.sizes), 0)

    def pages(self) -> list[FetchedPage]:
        last = len(self.sizes) - 1
        return [
            page(size, f"page {number:011}" if size else "", number if number < last else None, total=self.total)
            for number, size in enumerate(self.sizes)
        ]


def page(size: int, content: str, following: int | None, total: int | None = None) -> FetchedPage:
    link = (
        None
        if following is None
        else ObjectRef(key="link", sha256=f"{following:016}".ljust(64, "0"), size=1, content_type="text/plain")
    )
    return FetchedPage(resources=size, content=content, next=link, total=total, server_time=BEGAN)


ANSWERS = st.builds(
    Answer, st.lists(st.integers(0, 3), min_size=1, max_size=4).map(tuple), st.none() | st.integers(0, 9)
)


def walked(cursor: Cursor, answers: list[Answer | None]) -> tuple[Cursor, int]:
    """Follow a search for one patient after the other to its end; `None`: the patient is refused."""
    calls = 0
    while not cursor.ended:
        answer = answers[cursor.patient]
        pages = [REFUSED] if answer is None else answer.pages()
        cursor = cursor.after(pages[int(cursor.link.sha256[:16]) + 1 if cursor.link else 0])
        calls += 1
    return cursor, calls


@given(ANSWERS)
def test_a_search_that_misses_its_total_is_made_twice_and_makes_nothing_known(answer: Answer) -> None:
    cursor, calls = walked(Cursor(search=0), [answer])
    assert calls == len(answer.sizes) * (2 if answer.missing else 1)
    assert cursor.delivery.missing_resources == answer.missing
    assert cursor.delivery.short_searches == (1 if answer.missing else 0)
    assert cursor.completed is not None
    assert cursor.completed.began == (None if answer.missing else BEGAN)


@given(st.lists(st.none() | ANSWERS, min_size=2, max_size=6))
def test_of_patients_asked_one_by_one_those_are_unsure_who_were_refused_or_missed(answers: list[Answer | None]) -> None:
    cursor, _ = walked(Cursor(search=3, alone=len(answers)), answers)
    refused = [place for place, answer in enumerate(answers) if answer is None]
    missed = [place for place, answer in enumerate(answers) if answer is not None and answer.missing]
    assert cursor.completed is not None
    assert cursor.completed.unsure == tuple(sorted(refused + missed))
    assert cursor.delivery.patients_refused == len(refused)
    assert cursor.delivery.answered == len(answers) - len(refused)
    assert cursor.delivery.all_refused is (len(refused) == len(answers))
    assert cursor.delivery.incomplete is bool(refused)


def test_a_search_that_begins_again_counts_from_nothing() -> None:
    cursor = Cursor(search=None).after(page(3, "a", 0, total=4).model_copy(update={"left_out": 2}))
    again = cursor.again()
    assert again is not None
    ended = again.after(page(4, "b", None, total=4).model_copy(update={"left_out": 1}))
    assert (ended.ended, ended.delivery.left_out, ended.delivery.short_searches) == (True, 1, 0)
    assert ended.completed is None


@pytest.mark.parametrize(("sizes", "loops"), [((1, 1), False), ((1, 1, 1), True), ((2, 2), True)])
def test_one_resource_may_come_again_once_and_a_page_never(sizes: tuple[int, ...], loops: bool) -> None:
    cursor = Cursor(search=0)
    pages = [page(size, "0123456789abcdef", number) for number, size in enumerate(sizes)]
    for each in pages[:-1]:
        cursor = cursor.after(each)
    if loops:
        with pytest.raises(PageLoops):
            cursor.after(pages[-1])
    else:
        cursor.after(pages[-1])


def test_a_link_that_comes_again_is_a_loop() -> None:
    cursor = Cursor(search=0).after(page(1, "a", 0))
    with pytest.raises(PageLoops):
        cursor.after(page(1, "b", 0))
