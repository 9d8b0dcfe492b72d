"""A key's partition is the one that Java's clients and aiokafka choose."""

from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from library.streams.producer import _partition

_of_aiokafka = DefaultPartitioner()


@given(st.binary(max_size=80), st.integers(1, 50))
def test_a_key_has_one_partition_whoever_sends_it(key: bytes, partitions: int) -> None:
    there = list(range(partitions))
    assert _partition(key, there, there[:1]) == _of_aiokafka(key, there, there[:1])


def test_without_a_key_a_partition_that_has_a_leader_is_chosen() -> None:
    assert _partition(None, [0, 1, 2], [2]) == 2
    assert _partition(None, [0], []) == 0
