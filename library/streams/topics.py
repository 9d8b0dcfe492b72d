"""The declared topics: the decoder of each, and the datasets of its rows."""

from collections.abc import Iterable, Iterator, Mapping

from library.contracts.drains import StreamUnknown
from library.warehouse.batches import Feed


class Topics(Mapping[str, Feed]):
    """The declared topics, by their names in the cluster."""

    def __init__(self, feeds: Iterable[Feed]) -> None:
        self._feeds: dict[str, Feed] = {}
        for feed in feeds:
            if feed.topic in self._feeds:
                raise ValueError(f"two topics have the name {feed.topic}")
            self._feeds[feed.topic] = feed

    def __getitem__(self, topic: str) -> Feed:
        return self._feeds[topic]

    def __iter__(self) -> Iterator[str]:
        return iter(self._feeds)

    def __len__(self) -> int:
        return len(self._feeds)

    @property
    def drained(self) -> tuple[Feed, ...]:
        """The topics that are drained into the warehouse."""
        return tuple(feed for feed in self._feeds.values() if feed.decode is not None)

    def feed(self, topic: str) -> Feed:
        """The feed of a topic that is drained into the warehouse.

        Raises:
            StreamUnknown: there is no such topic, or it is not drained.
        """
        found = self._feeds.get(topic)
        if found is None or found.decode is None:
            raise StreamUnknown("There is no topic of this name that is drained into the warehouse.")
        return found
