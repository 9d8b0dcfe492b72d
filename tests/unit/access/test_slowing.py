"""After each failed sign-in a user waits longer. A caller over its rate waits until the amount fits."""

from uuid import uuid4

from library.access.rates import Rates
from library.access.slowing import FailureCounter, Slowing


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def fail(slowing: Slowing, who: FailureCounter, times: int) -> float:
    for _ in range(times):
        slowing.failed([who])
    return slowing.seconds([who])


def test_the_first_failures_are_free_and_each_further_one_doubles_the_wait() -> None:
    slowing, who = Slowing(Clock()), FailureCounter("clinic", 3)
    assert fail(slowing, who, 2) == 0
    assert [fail(slowing, who, 1) for _ in range(4)] == [1, 2, 4, 8]


def test_nobody_is_locked_out() -> None:
    clock = Clock()
    slowing, who = Slowing(clock), FailureCounter("clinic", 3)
    assert fail(slowing, who, 1_000) == 60
    clock.now += 60
    assert slowing.seconds([who]) == 0


def test_a_success_or_a_quarter_of_an_hour_makes_failures_forgotten() -> None:
    clock = Clock()
    slowing, who = Slowing(clock), FailureCounter("clinic", 1)
    fail(slowing, who, 3)
    slowing.succeeded(who)
    assert slowing.seconds([who]) == 0
    fail(slowing, who, 3)
    clock.now += 901
    assert fail(slowing, who, 1) == 1


def test_the_longest_wait_of_user_and_address_counts_and_others_have_none() -> None:
    slowing = Slowing(Clock())
    user, address = FailureCounter("clinic", 1), FailureCounter("::1", 3)
    for _ in range(3):
        slowing.failed([user, address])
    assert slowing.seconds([address]) == 1
    assert slowing.seconds([user, address]) == 4
    assert slowing.seconds([FailureCounter("other", 1)]) == 0


def test_what_is_counted_takes_bounded_memory() -> None:
    slowing = Slowing(Clock())
    for number in range(25_000):
        slowing.failed([FailureCounter(number, 1)])
    assert slowing.seconds([FailureCounter(24_999, 1)]) == 1
    assert slowing.seconds([FailureCounter(0, 1)]) == 0


def test_a_rate_lets_the_burst_pass_and_then_what_flows_in() -> None:
    clock, me = Clock(), uuid4()
    rates = Rates(per_second=10, burst=100, clock=clock)
    assert rates.take(me, 60) == 0
    assert rates.take(me, 60) == 2.0
    assert rates.take(me, 40) == 0, "what was refused took nothing"
    assert rates.take(uuid4(), 100) == 0, "everybody has their own"
    clock.now += 1
    assert rates.take(me, 10) == 0
    assert rates.take(me, 1) > 0
    clock.now += 1_000
    assert rates.take(me, 101) > 0, "a bucket holds no more than its burst"
