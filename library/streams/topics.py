"""Topics: which decoder reads each, and which datasets its rows go to. Others can go to the lake, and nowhere else."""

from collections.abc import Callable, Iterator, Mapping
from typing import Self

from library.contracts.drains import StreamUnknown
from library.sources.records import datasets as records
from library.sources.records import reading
from library.warehouse.batches import Decoded, Feed, Refused

RECORDS = "records"


def _record_of(kind: reading.RecordKind) -> Callable[[bytes], Decoded]:
    """Records have no time of their own: of two that tell the same thing the later one on the topic counts."""
    read = kind.read

    def decode(value: bytes) -> Decoded:
        try:
            return None, (read(value),)
        except reading.RecordRefused as refused:
            raise Refused(refused.reasons) from None

    return decode


class Topics(Mapping[str, Feed]):
    """The declared topics, by their names in the cluster."""

    def __init__(self, feeds: list[Feed]) -> None:
        self._feeds = {feed.topic: feed for feed in feeds}
        if len(self._feeds) < len(feeds):
            raise ValueError("two topics have one name")

    @classmethod
    def named(cls, *, patient: str, admissions: str, lab_results: str, bronze: tuple[str, ...] = ()) -> Self:
        """All that Wardflow reads.

        Args:
            patient: the topic of patients.
            admissions: that of admissions.
            lab_results: that of laboratory results.
            bronze: topics of which nothing is known: they go to the lake alone.
        """
        return cls(
            [
                Feed(patient, RECORDS, datasets=(records.PATIENT,), decode=_record_of(reading.PATIENT)),
                Feed(admissions, RECORDS, datasets=(records.ADMISSION,), decode=_record_of(reading.ADMISSION)),
                Feed(lab_results, RECORDS, datasets=(records.LAB_RESULT,), decode=_record_of(reading.LAB_RESULT)),
                *(Feed(topic, "bronze") for topic in bronze),
            ]
        )

    def __getitem__(self, topic: str) -> Feed:
        return self._feeds[topic]

    def __iter__(self) -> Iterator[str]:
        return iter(self._feeds)

    def __len__(self) -> int:
        return len(self._feeds)

    @property
    def drained(self) -> tuple[Feed, ...]:
        """Those that feed the warehouse."""
        return tuple(feed for feed in self._feeds.values() if feed.decode is not None)

    def feed(self, topic: str) -> Feed:
        """What a topic feeds in the warehouse.

        Raises:
            StreamUnknown: nothing.
        """
        found = self._feeds.get(topic)
        if found is None or found.decode is None:
            raise StreamUnknown("No topic of this name feeds the warehouse.")
        return found
