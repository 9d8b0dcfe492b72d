"""What imports of zip codes remember: a run's patients, and how far the observations of each are known."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from library.sources.fhir.contracts import CompleteSearch, Plan
from library.warehouse.pool import Pool


@dataclass(frozen=True)
class Asked:
    """Whom a search asks for.

    Attributes:
        patients: their ids, in one order for all tries.
        since: what has changed from then on is enough; `None` where all is needed.
    """

    patients: tuple[str, ...]
    since: datetime | None

    def alone(self, number: int) -> "Asked":
        """One of the patients."""
        return Asked(self.patients[number : number + 1], self.since)


@dataclass(frozen=True)
class FhirImports:
    """The tables `fhir.import_patient`, `fhir.patient_import` and `fhir.zipcode_import`.

    Attributes:
        reader_version: of the reader at work. What an older one has read completely is asked for again, whole: the
            server does not change what was read wrongly.
    """

    pool: Pool
    reader_version: int

    async def enter_patients(self, run_id: str, server: str, patients: Sequence[str]) -> None:
        """Keep the patients that a run has found."""
        await self.pool.execute(
            "INSERT INTO fhir.import_patient (run_id, server, patient_id) SELECT $1, $2, unnest($3::text[]) "
            "ON CONFLICT DO NOTHING",
            run_id,
            server,
            list(patients),
        )

    async def plan(self, run_id: str, server: str, zipcode: str, *, batch: int) -> Plan:
        """Part the run's patients into searches, once.

        Patients whose observations were never read completely have searches of their own: those ask for all of them.
        The others are batched by how far theirs are known, since a search has to reach back to the earliest. Patients
        of the zip code whom the search for patients did not find are read by id, each by itself: a call is an activity,
        or the rate of calls would not hold.
        """
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"plan {run_id}")
            patients = await connection.fetchval(
                "SELECT count(*) FROM fhir.import_patient WHERE run_id = $1 AND coalesce(search, 0) >= 0", run_id
            )
            if not await connection.fetchval(
                "SELECT EXISTS (SELECT FROM fhir.import_patient WHERE run_id = $1 AND search IS NOT NULL)", run_id
            ):
                await connection.execute(
                    """
                    INSERT INTO fhir.import_patient (run_id, server, patient_id, search)
                    SELECT $1, $2, id, -row_number() OVER (ORDER BY id)
                    FROM fhir.patient p WHERE server = $2 AND postal_codes @> ARRAY[$3::text] AND NOT EXISTS
                        (SELECT FROM fhir.import_patient i WHERE i.run_id = $1 AND i.patient_id = p.id)
                    """,
                    run_id,
                    server,
                    zipcode,
                )
                await connection.execute(
                    """
                    WITH known AS (
                        SELECT i.patient_id, p.observations_complete_through AS through
                        FROM fhir.import_patient i LEFT JOIN fhir.patient_import p
                        ON p.server = i.server AND p.patient_id = i.patient_id AND p.reader_version >= $3
                        WHERE i.run_id = $1 AND i.search IS NULL
                    ), new AS (
                        SELECT patient_id, (row_number() OVER (ORDER BY patient_id) - 1) / $2 AS search
                        FROM known WHERE through IS NULL
                    ), later AS (
                        SELECT patient_id, (SELECT coalesce(max(search) + 1, 0) FROM new)
                            + (row_number() OVER (ORDER BY through, patient_id) - 1) / $2 AS search
                        FROM known WHERE through IS NOT NULL
                    )
                    UPDATE fhir.import_patient i SET search = planned.search
                    FROM (SELECT * FROM new UNION ALL SELECT * FROM later) planned
                    WHERE i.run_id = $1 AND i.patient_id = planned.patient_id
                    """,
                    run_id,
                    batch,
                    self.reader_version,
                )
            numbers = await connection.fetchrow(
                "SELECT -least(min(search), 0) AS missing, coalesce(max(search), -1) + 1 AS searches "
                "FROM fhir.import_patient WHERE run_id = $1",
                run_id,
            )
        return Plan(patients=patients, missing=numbers["missing"] or 0, searches=max(numbers["searches"], 0))

    async def asked(self, run_id: str, search: int) -> Asked:
        """Whom a search of the plan asks for, and from when on."""
        rows = await self.pool.fetch(
            "SELECT i.patient_id, p.observations_complete_through AS through FROM fhir.import_patient i "
            "LEFT JOIN fhir.patient_import p "
            "ON p.server = i.server AND p.patient_id = i.patient_id AND p.reader_version >= $3 "
            "WHERE i.run_id = $1 AND i.search = $2 ORDER BY i.patient_id",
            run_id,
            search,
            self.reader_version,
        )
        through = [row["through"] for row in rows]
        since = min(through) if through and None not in through else None
        return Asked(tuple(row["patient_id"] for row in rows), since)

    async def complete(self, run_id: str, searches: Sequence[CompleteSearch]) -> None:
        """Take down what the patients of ended searches are complete through; the searches are done then.

        A newer reader's time stands instead of an older one's, be it earlier; an older one's says nothing to a newer.
        """
        numbers = [each.search for each in searches]
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute(
                """
                INSERT INTO fhir.patient_import AS known
                    (server, patient_id, observations_complete_through, reader_version)
                SELECT i.server, i.patient_id, ended.began, $4
                FROM fhir.import_patient i
                JOIN unnest($2::int[], $3::timestamptz[]) ended (search, began) USING (search)
                WHERE i.run_id = $1 AND i.search >= 0 AND ended.began IS NOT NULL ORDER BY 1, 2
                ON CONFLICT (server, patient_id) DO UPDATE SET
                    reader_version = excluded.reader_version,
                    observations_complete_through = CASE WHEN known.reader_version < excluded.reader_version
                        THEN excluded.observations_complete_through
                        ELSE greatest(known.observations_complete_through, excluded.observations_complete_through) END
                WHERE known.reader_version <= excluded.reader_version
                """,
                run_id,
                numbers,
                [each.began for each in searches],
                self.reader_version,
            )
            # Those that were read by id are none of the patients that the run has found.
            await connection.execute(
                "DELETE FROM fhir.import_patient WHERE run_id = $1 AND search < 0 AND search = ANY ($2)",
                run_id,
                numbers,
            )
            await connection.execute(
                "UPDATE fhir.import_patient SET search = NULL WHERE run_id = $1 AND search = ANY ($2)", run_id, numbers
            )

    async def counts(self, run_id: str) -> tuple[int, int]:
        """How many patients a run has found, and how many of its searches are left."""
        row = await self.pool.fetchrow(
            "SELECT count(*) FILTER (WHERE coalesce(search, 0) >= 0), count(DISTINCT search) "
            "FROM fhir.import_patient WHERE run_id = $1",
            run_id,
        )
        return row[0], row[1]

    async def patients(self, run_id: str, server: str, zipcode: str) -> int:
        """How many patients a run has found, also after `finish`."""
        found: int = await self.pool.fetchval(
            "SELECT coalesce((SELECT (counts ->> 'patients')::bigint FROM fhir.zipcode_import "
            "WHERE zipcode = $3 AND server = $2 AND last_run_id = $1), (SELECT count(*) FROM fhir.import_patient "
            "WHERE run_id = $1 AND coalesce(search, 0) >= 0))",
            run_id,
            server,
            zipcode,
        )
        return found

    async def finish(self, run_id: str, server: str, zipcode: str, counts: dict[str, int]) -> None:
        """Enter that a zip code was imported; what the run remembered goes."""
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute(
                "INSERT INTO fhir.zipcode_import (zipcode, server, last_run_id, counts, imported_at) "
                "VALUES ($1, $2, $3, $4, now()) ON CONFLICT (zipcode, server) DO UPDATE SET "
                "last_run_id = excluded.last_run_id, counts = excluded.counts, imported_at = excluded.imported_at",
                zipcode,
                server,
                run_id,
                counts,
            )
            await connection.execute("DELETE FROM fhir.import_patient WHERE run_id = $1", run_id)

    async def open_runs(self) -> set[str]:
        """Runs that may still need what they remember."""
        rows = await self.pool.fetch("SELECT id FROM ingest.run WHERE state = 'running' AND source = 'fhir'")
        return {row["id"] for row in rows}

    async def forget_closed(self) -> None:
        """Remove what runs have remembered that ended on the way."""
        await self.pool.execute(
            "DELETE FROM fhir.import_patient i WHERE NOT EXISTS "
            "(SELECT FROM ingest.run r WHERE r.id = i.run_id AND r.state = 'running')"
        )
