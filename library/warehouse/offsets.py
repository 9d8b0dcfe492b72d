"""Offsets of drained partitions (`ingest.stream_offset`): the only answer to "how far is it loaded?"."""

from collections.abc import Iterable, Mapping

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Integer,
    Text,
    any_,
    bindparam,
    case,
    cast,
    func,
    select,
    update,
)

from library.contracts.drains import StreamPosition, StreamStatus
from library.datasets.fields import table_of
from library.datasets.ingest import StreamOffset
from library.warehouse.batches import Batch
from library.warehouse.pool import Connection, Pool
from library.warehouse.queries.pages import fetch_rows
from library.warehouse.queries.statement import Statement
from library.warehouse.queries.streams import STREAMS

_OFFSET = table_of(StreamOffset).c
_COLUMNS = [_OFFSET[name] for name in StreamPosition.model_fields]

_FIND = Statement(
    select(*_COLUMNS).where(_OFFSET.topic == bindparam("topic"), _OFFSET.partition == bindparam("partition"))
)
_OF_TOPICS = Statement(
    select(*_COLUMNS)
    .where(_OFFSET.topic == any_(cast(bindparam("topics"), ARRAY(Text))))
    .order_by(_OFFSET.topic, _OFFSET.partition)
)


def _rewind() -> Statement:
    """Begins a new generation of some partitions. Another id of the topic begins a new incarnation too."""
    topic_id = bindparam("new_topic_id", type_=Text)
    wanted = (
        func.unnest(cast(bindparam("partitions"), ARRAY(Integer)), cast(bindparam("targets"), ARRAY(BigInteger)))
        .table_valued("place", "target")
        .render_derived("wanted")
    )
    return Statement(
        update(table_of(StreamOffset))
        .values(
            generation=_OFFSET.generation + 1,
            next_offset=wanted.c.target,
            state="draining",
            reason=None,
            topic_id=topic_id,
            incarnation=_OFFSET.incarnation + case((_OFFSET.topic_id == topic_id, 0), else_=1),
            updated_at=func.now(),
        )
        .where(_OFFSET.topic == bindparam("of_topic"), _OFFSET.partition == wanted.c.place)
        .returning(*_COLUMNS)
    )


_REWIND = _rewind()


class Offsets:
    """Reads and moves the offsets."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def begin(self, topic: str, partition: int, *, topic_id: str, beginning: int) -> StreamPosition:
        """The position to continue at. A partition that was never drained begins at its oldest record.

        A new partition of a topic whose other partitions are all paused is paused too.
        """
        await self._pool.execute(
            "INSERT INTO ingest.stream_offset "
            "(topic, partition, topic_id, incarnation, generation, next_offset, paused) "
            "SELECT $1, $2, coalesce(max(topic_id), $3), coalesce(max(incarnation), 1), 1, $4, "
            "coalesce(bool_and(paused), false) "
            "FROM ingest.stream_offset WHERE topic = $1 ON CONFLICT DO NOTHING",
            topic,
            partition,
            topic_id,
            beginning,
        )
        found = await self.find(topic, partition)
        if found is None:
            raise LookupError(f"{topic}/{partition} went as soon as it was there")
        return found

    async def find(self, topic: str, partition: int) -> StreamPosition | None:
        """The position of a partition; `None`: it was never drained."""
        rows = await _FIND.fetch(self._pool, topic=topic, partition=partition)
        return StreamPosition.model_validate(dict(rows[0])) if rows else None

    async def of(self, topics: Iterable[str]) -> list[StreamPosition]:
        """All partitions of some topics, in their order."""
        rows = await _OF_TOPICS.fetch(self._pool, topics=list(topics))
        return [StreamPosition.model_validate(dict(row)) for row in rows]

    async def holds(self, position: StreamPosition) -> bool:
        """Whether a drain may continue at this position: it was not paused, stopped, rewound or moved since.

        If so, the reason of an earlier failure is removed.
        """
        found = await self._pool.fetchrow(
            "SELECT reason FROM ingest.stream_offset WHERE topic = $1 AND partition = $2 AND generation = $3 "
            "AND next_offset = $4 AND NOT paused AND state = 'draining'",
            position.topic,
            position.partition,
            position.generation,
            position.next_offset,
        )
        if found is not None and found["reason"] is not None:
            await self._pool.execute(
                "UPDATE ingest.stream_offset SET reason = NULL "
                "WHERE topic = $1 AND partition = $2 AND state = 'draining' AND reason = $3",
                position.topic,
                position.partition,
                found["reason"],
            )
        return found is not None

    async def stop(self, position: StreamPosition, reason: str) -> bool:
        """Stop a partition at a position; returns false if the position was moved since."""
        stopped = await self._pool.fetchval(
            "UPDATE ingest.stream_offset SET state = 'stopped', reason = $5 "
            "WHERE topic = $1 AND partition = $2 AND generation = $3 AND next_offset = $4 RETURNING true",
            position.topic,
            position.partition,
            position.generation,
            position.next_offset,
            reason,
        )
        return bool(stopped)

    async def note(self, topic: str, partition: int, reason: str) -> None:
        """Store the reason why a drain fails. The next drain that works removes it."""
        await self._pool.execute(
            "UPDATE ingest.stream_offset SET reason = $3 WHERE topic = $1 AND partition = $2 AND state = 'draining'",
            topic,
            partition,
            reason,
        )

    async def look(self, topic: str, ends: Mapping[int, int]) -> None:
        """Store the current end offsets of partitions."""
        await self._pool.execute(
            "UPDATE ingest.stream_offset o SET end_offset = e.end_offset, looked_at = now() "
            "FROM unnest($2::int[], $3::bigint[]) e (partition, end_offset) "
            "WHERE o.topic = $1 AND o.partition = e.partition",
            topic,
            list(ends),
            list(ends.values()),
        )

    async def pause(self, topic: str, *, paused: bool) -> list[StreamPosition]:
        """Pause all partitions of a topic, or resume them."""
        await self._pool.execute("UPDATE ingest.stream_offset SET paused = $2 WHERE topic = $1", topic, paused)
        return await self.of([topic])

    async def status(self, topics: Iterable[str]) -> list[StreamStatus]:
        """All partitions of some topics, with their lag and their rate."""
        rows = await fetch_rows(self._pool, STREAMS.ask(topics=list(topics)))
        return [StreamStatus.model_validate(dict(row)) for row in rows]

    async def rewind(self, topic: str, *, topic_id: str, to: Mapping[int, int]) -> list[StreamPosition]:
        """Begin a new generation of partitions, each at an offset. Drains of the old one can no longer commit.

        If the topic was created again, this also begins a new incarnation.
        """
        rows = await _REWIND.fetch(
            self._pool, of_topic=topic, new_topic_id=topic_id, partitions=list(to), targets=list(to.values())
        )
        return sorted(
            (StreamPosition.model_validate(dict(row)) for row in rows), key=lambda position: position.partition
        )


async def advance(connection: Connection, batch: Batch) -> bool:
    """Move a partition's offset past a batch. Waits for another batch; returns `False` if that one moved it."""
    place = batch.place
    moved = await connection.fetchval(
        "UPDATE ingest.stream_offset SET next_offset = $5, reached_at = coalesce($6, reached_at), end_offset = $7, "
        "looked_at = now(), updated_at = now(), reason = NULL "
        "WHERE topic = $1 AND partition = $2 AND generation = $3 AND next_offset = $4 "
        "AND NOT paused AND state = 'draining' RETURNING true",
        place.topic,
        place.partition,
        place.generation,
        batch.first,
        batch.following,
        batch.reached_at,
        batch.end,
    )
    return bool(moved)
