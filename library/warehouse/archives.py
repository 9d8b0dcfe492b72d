"""The positions of topics in the lake (`ingest.archive_position`), for people only. Nothing depends on them."""

from collections.abc import Iterable, Mapping

from library.contracts.lake import Archived, ArchiveStatus
from library.warehouse.pool import Pool
from library.warehouse.queries.pages import fetch_rows
from library.warehouse.queries.streams import ARCHIVES


class Archives:
    """Stores and shows the positions of archives."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def enter(self, done: Archived) -> None:
        """Store the positions of an archive. A lower position never replaces a higher one."""
        await self._pool.execute(
            """
            INSERT INTO ingest.archive_position AS known (topic, partition, incarnation, next_offset, reason)
            SELECT $1, place, $2, next_offset, reason
            FROM unnest($3::int[], $4::bigint[], $5::text[]) said (place, next_offset, reason)
            ON CONFLICT (topic, partition) DO UPDATE SET incarnation = excluded.incarnation,
                next_offset = excluded.next_offset, reason = excluded.reason, updated_at = now()
            WHERE (excluded.incarnation, excluded.next_offset) >= (known.incarnation, known.next_offset)
            """,
            done.topic,
            done.incarnation,
            list(done.positions),
            list(done.positions.values()),
            [done.stopped.get(partition) for partition in done.positions],
        )

    async def status(self, topics: Iterable[str], ends: Mapping[tuple[str, int], int]) -> list[ArchiveStatus]:
        """All partitions of some topics.

        Args:
            topics: the names of the topics.
            ends: the end offsets of the partitions, if known.
        """
        rows = await fetch_rows(self._pool, ARCHIVES.ask(topics=list(topics)))
        found = [ArchiveStatus.model_validate(dict(row)) for row in rows]
        known = [(each, ends.get((each.topic, each.partition))) for each in found]
        return [
            each if end is None else each.model_copy(update={"lag": max(0, end - each.next_offset)})
            for each, end in known
        ]
