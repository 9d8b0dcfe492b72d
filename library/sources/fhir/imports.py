"""The bookkeeping of imports by zip code: a run's patients, and until when each one's observations are loaded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from library.sources.fhir.contracts import CompleteSearch, Plan
from library.sources.fhir.errors import PlanRemoved
from library.sources.fhir.zipcodes import comparable
from library.warehouse.pool import Pool

_FIVE_DIGITS = 3
"""The first reader whose imports compare the zip codes of the USA by five digits."""


@dataclass(frozen=True)
class PatientSearch:
    """A search for the observations of some patients.

    Attributes:
        patients: the patients' ids, always in the same order.
        since: ask only for observations that changed since then; `None`: ask for all.
    """

    patients: tuple[str, ...]
    since: datetime | None

    def only(self, number: int) -> "PatientSearch":
        """The same search for one of its patients."""
        return PatientSearch(self.patients[number : number + 1], self.since)


@dataclass(frozen=True)
class FhirImports:
    """The tables `fhir.import_patient`, `fhir.patient_import` and `fhir.zipcode_import`.

    Attributes:
        reader_version: the reader's version. Observations that an older version loaded are asked for again, all of
            them, since it may have read them wrongly.
        reader_settings: by server, a digest of the reader's settings. Observations that were loaded with other
            settings are asked for again too.
    """

    pool: Pool
    reader_version: int
    reader_settings: Mapping[str, str] = field(default_factory=dict)

    async def enter_patients(self, run_id: str, server: str, patients: Sequence[str]) -> None:
        """Store the patients that a run has found."""
        await self.pool.execute(
            "INSERT INTO fhir.import_patient (run_id, server, patient_id) SELECT $1, $2, unnest($3::text[]) "
            "ON CONFLICT DO NOTHING",
            run_id,
            server,
            list(patients),
        )

    async def plan(self, run_id: str, server: str, zipcode: str, *, batch: int) -> Plan:
        """Divide the run's patients into searches, once.

        Patients whose observations were never loaded completely come first; their searches ask for all observations.
        The other patients are sorted by the time of their last complete search, since a search must ask from the
        earliest of these times. Stored patients of the zip code that the server did not return are read by id, one for
        each activity, so that the limit of calls a second holds.
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
                    FROM fhir.patient p WHERE server = $2 AND compared_postal_codes @> ARRAY[$3::text] AND NOT EXISTS
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
                        AND p.reader_settings = coalesce($4::jsonb ->> p.server, '')
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
                    dict(self.reader_settings),
                )
            numbers = await connection.fetchrow(
                "SELECT -least(min(search), 0) AS missing, coalesce(max(search), -1) + 1 AS searches "
                "FROM fhir.import_patient WHERE run_id = $1",
                run_id,
            )
        return Plan(patients=patients, missing=numbers["missing"] or 0, searches=max(numbers["searches"], 0))

    async def search(self, run_id: str, search: int) -> PatientSearch:
        """The patients of a search of the plan, and the time to ask from. A search that is done has none.

        Raises:
            PlanRemoved: the run has ended long ago, and its patients are no longer stored.
        """
        rows = await self.pool.fetch(
            "SELECT i.patient_id, p.observations_complete_through AS through FROM fhir.import_patient i "
            "LEFT JOIN fhir.patient_import p "
            "ON p.server = i.server AND p.patient_id = i.patient_id AND p.reader_version >= $3 "
            "AND p.reader_settings = coalesce($4::jsonb ->> p.server, '') "
            "WHERE i.run_id = $1 AND i.search = $2 ORDER BY i.patient_id",
            run_id,
            search,
            self.reader_version,
            dict(self.reader_settings),
        )
        if not rows and not await self.pool.fetchval(
            "SELECT EXISTS (SELECT FROM fhir.import_patient WHERE run_id = $1)", run_id
        ):
            raise PlanRemoved("The patients that this run has found are no longer stored.")
        through = [row["through"] for row in rows]
        since = min(through) if through and None not in through else None
        return PatientSearch(tuple(row["patient_id"] for row in rows), since)

    async def complete(self, run_id: str, searches: Sequence[CompleteSearch]) -> None:
        """Store until when the patients of ended searches are complete, and mark the searches as done.

        The time of a newer reader version replaces that of an older one, even if it is earlier, and never the reverse.
        Of two settings of the reader, the later one replaces the other.
        """
        numbers = [each.search for each in searches]
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute(
                """
                INSERT INTO fhir.patient_import AS known
                    (server, patient_id, observations_complete_through, reader_version, reader_settings)
                SELECT i.server, i.patient_id, ended.began, $4, coalesce($7::jsonb ->> i.server, '')
                FROM (
                    SELECT *, row_number() OVER (PARTITION BY search ORDER BY patient_id) - 1 AS place
                    FROM fhir.import_patient WHERE run_id = $1 AND search = ANY ($2)
                ) i
                JOIN unnest($2::int[], $3::timestamptz[]) ended (search, began) USING (search)
                LEFT JOIN unnest($5::int[], $6::int[]) unsure (search, place) USING (search, place)
                WHERE i.search >= 0 AND ended.began IS NOT NULL AND unsure.place IS NULL ORDER BY 1, 2
                ON CONFLICT (server, patient_id) DO UPDATE SET
                    reader_version = excluded.reader_version, reader_settings = excluded.reader_settings,
                    observations_complete_through = CASE WHEN known.reader_version < excluded.reader_version
                            OR known.reader_settings <> excluded.reader_settings
                        THEN excluded.observations_complete_through
                        ELSE greatest(known.observations_complete_through, excluded.observations_complete_through) END
                WHERE known.reader_version <= excluded.reader_version
                """,
                run_id,
                numbers,
                [each.began for each in searches],
                self.reader_version,
                [each.search for each in searches for _ in each.unsure],
                [place for each in searches for place in each.unsure],
                dict(self.reader_settings),
            )
            # Patients that were read by id do not count as found by this run.
            await connection.execute(
                "DELETE FROM fhir.import_patient WHERE run_id = $1 AND search < 0 AND search = ANY ($2)",
                run_id,
                numbers,
            )
            await connection.execute(
                "UPDATE fhir.import_patient SET search = NULL WHERE run_id = $1 AND search = ANY ($2)", run_id, numbers
            )

    async def counts(self, run_id: str) -> tuple[int, int]:
        """The number of patients that a run has found, and of its searches that are not done."""
        row = await self.pool.fetchrow(
            "SELECT count(*) FILTER (WHERE coalesce(search, 0) >= 0), count(DISTINCT search) "
            "FROM fhir.import_patient WHERE run_id = $1",
            run_id,
        )
        return row[0], row[1]

    async def patients(self, run_id: str, server: str, zipcode: str) -> int:
        """The number of patients that a run has found. It also works after `finish`."""
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
        """Store that a zip code was imported, and remove the run's patients."""
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute(
                "INSERT INTO fhir.zipcode_import (zipcode, server, last_run_id, counts, reader_version, imported_at) "
                "VALUES ($1, $2, $3, $4, $5, now()) ON CONFLICT (zipcode, server) DO UPDATE SET "
                "last_run_id = excluded.last_run_id, counts = excluded.counts, imported_at = excluded.imported_at, "
                "reader_version = excluded.reader_version",
                zipcode,
                server,
                run_id,
                counts,
                self.reader_version,
            )
            await connection.execute("DELETE FROM fhir.import_patient WHERE run_id = $1", run_id)

    async def compared_otherwise(self) -> list[str]:
        """Zip codes whose last import left out patients with a code of nine digits, each with its server."""
        rows = await self.pool.fetch("SELECT zipcode, server, reader_version FROM fhir.zipcode_import")
        newest: dict[tuple[str, str], int] = {}
        for zipcode, server, version in rows:
            place = comparable(zipcode), server
            newest[place] = max(version, newest.get(place, 0))
        return [f"{zipcode} at {server}" for (zipcode, server), v in sorted(newest.items()) if v < _FIVE_DIGITS]

    async def repeatable_runs(self, since: datetime) -> list[str]:
        """The ids of the runs that have not ended, or that failed since a time."""
        rows = await self.pool.fetch(
            "SELECT id FROM ingest.run "
            "WHERE source = 'fhir' AND (state = 'running' OR (state = 'failed' AND finished_at > $1))",
            since,
        )
        return [row["id"] for row in rows]

    async def forget(self, since: datetime) -> None:
        """Remove the patients of runs that ended, except of those that failed since a time.

        These keep them as long as Temporal keeps their history. So their workflow can be reset to a search.
        """
        await self.pool.execute(
            "DELETE FROM fhir.import_patient i WHERE NOT EXISTS (SELECT FROM ingest.run r WHERE r.id = i.run_id "
            "AND (r.state = 'running' OR (r.state = 'failed' AND r.finished_at > $1)))",
            since,
        )
