"""The topics of records: how each is decoded, and which dataset its rows go to."""

from collections.abc import Callable, Mapping

from library.reading.records import RecordRefused
from library.sources.records import reading
from library.sources.records.apis import DATASETS, KINDS, Api
from library.sources.records.datasets import SOURCE
from library.warehouse.batches import Decoded, Feed, Refused


def _record_of(kind: reading.RecordKind) -> Callable[[bytes], Decoded]:
    """Decode one record. Records have no time of their own, so the later one in the topic counts."""
    read = kind.read

    def decode(value: bytes) -> Decoded:
        try:
            return None, (read(value),)
        except RecordRefused as refused:
            raise Refused(refused.reasons) from None

    return decode


def feeds(topics: Mapping[Api, str]) -> tuple[Feed, ...]:
    """What each API's topic feeds, by the name that the topic has in the cluster."""
    return tuple(Feed(topics[api], SOURCE, datasets=(DATASETS[api],), decode=_record_of(KINDS[api])) for api in Api)
