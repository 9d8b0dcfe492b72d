"""Activities of imports by zip code: pages of searches, and loading them.

Patients' ids, names and page links stay on this side: in the warehouse's bookkeeping and in the object store.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import msgspec
from pydantic import JsonValue
from temporalio import activity

from activities.beating import beating
from activities.loads import LoadActivities
from activities.staging import Stager
from config.sections import FhirSettings
from library.contracts.fhir import (
    FetchedPage,
    FetchPage,
    FinishImport,
    LoadPages,
    PageStaysUnreadable,
    PageUnreadable,
    Plan,
    PlanSearches,
    ServerRefused,
    UnknownServer,
)
from library.contracts.loads import DatasetCounts, LoadOutcome, LoadRequest
from library.contracts.objects import ObjectRef
from library.contracts.runs import RunTotals
from library.datasets.fhir import OBSERVATION, OBSERVATION_COMPONENT, PATIENT
from library.objects.links import LINKS, read_link, store_link
from library.objects.staged import upload
from library.objects.store import landed_key
from library.sources.fhir.page import Page, matching_patients, read_page, unreadable_patients
from library.sources.fhir.staging import SOURCE, StagedResources, fhir_identity, stage_ndjson
from library.warehouse import ledger
from library.warehouse.fhir_imports import Asked, FhirImports
from library.web.fhir import NDJSON, Answer, FhirClient

_UNREADABLE = 8
"""Tries after which an answer that cannot be read counts as what the server has to say."""


class FhirClients:
    """A client for each server of the settings; made when it is first asked for."""

    def __init__(self, settings: FhirSettings, *, ca_file: Path | None) -> None:
        self.settings = settings
        self._ca_file = ca_file
        self._made: dict[str, FhirClient] = {}

    def __getitem__(self, name: str) -> FhirClient:
        if name not in self._made:
            if name not in self.settings.by_name:
                raise UnknownServer(f"There is no FHIR server named {name!r} in this worker's settings.")
            server = self.settings.by_name[name]
            self._made[name] = FhirClient(name, server, self.settings, ca_file=self._ca_file)
        return self._made[name]

    def of_url(self, url: str, preferred: str) -> FhirClient | None:
        """The client of the server that a URL leads to: the preferred one, if it is its own; `None`: of no server."""
        names = sorted(self.settings.by_name, key=lambda name: name != preferred)
        return next((self[name] for name in names if self[name].is_own(url)), None)

    async def close(self) -> None:
        """Let all connections go."""
        for client in self._made.values():
            await client.close()


@asynccontextmanager
async def calling() -> AsyncIterator[None]:
    """Beat while a server is asked; an answer that stays unreadable ends the tries."""
    async with beating():
        try:
            yield
        except PageStaysUnreadable:
            raise
        except PageUnreadable as error:
            if activity.info().attempt >= _UNREADABLE:
                raise PageStaysUnreadable(f"{error.message} It stayed so over {_UNREADABLE} tries.") from None
            raise


@dataclass(frozen=True)
class FhirActivities:
    """Fetch a page, land its resources, stage their rows: one page, one activity."""

    stager: Stager
    clients: FhirClients
    imports: FhirImports

    @activity.defn(name="fetch_patient_page")
    async def fetch_patient_page(self, asked: FetchPage) -> FetchedPage:
        """A page of the patients of a zip code: kept are those with just this zip code in one of their addresses."""
        client = self.clients[asked.server]
        if asked.link is None:
            await self.stager.runs.enter_phase(asked.run_id, "patients")
        async with calling():
            answer = await self._answer(client, "Patient", [("address-postalcode", asked.zipcode)], asked.link)
            page = await asyncio.to_thread(read_page, answer.body)
            matching = matching_patients(page, asked.zipcode)
            await self.imports.enter_patients(asked.run_id, asked.server, [id_ for id_, _ in matching if id_])
            resources = [*(raw for _, raw in matching), *unreadable_patients(page)]
            return await self._kept(asked, client, answer, page, resources)

    @activity.defn(name="fetch_observation_page")
    async def fetch_observation_page(self, asked: FetchPage) -> FetchedPage:
        """A page of the observations of a search's patients, of those that changed where the others are known."""
        client = self.clients[asked.server]
        if asked.link is None:
            await self.stager.runs.enter_phase(asked.run_id, "observations")
        whom = await self._whom(asked) if asked.link is None else None
        if whom is not None and not whom.patients:
            return FetchedPage()  # done before a reset; a search for nobody would be one for everybody
        async with calling():
            try:
                answer = await self._answer(client, "Observation", self._of(whom) if whom else [], asked.link)
            except ServerRefused as refusal:
                if whom is not None and len(whom.patients) > 1 and refusal.status == 400:
                    return FetchedPage(alone=len(whom.patients))  # some servers take one patient a search
                raise
            page = await asyncio.to_thread(read_page, answer.body)
            return await self._kept(asked, client, answer, page, page.resources)

    @activity.defn(name="read_patients")
    async def read_patients(self, asked: FetchPage) -> FetchedPage:
        """Patients that the search for their zip code did not find any more: they may have moved."""
        client = self.clients[asked.server]
        whom = await self._whom(asked)
        found = []
        async with calling():
            for patient in whom.patients:
                if answer := await client.read("Patient", patient):
                    try:
                        found.append(msgspec.json.format(answer.body, indent=-1))
                    except msgspec.DecodeError:
                        raise PageUnreadable(f"A patient of the server {client.name} is no JSON.") from None
            staged = await self._staged(asked, found, datetime.now(UTC)) if found else None
        return FetchedPage(staged=staged, resources=len(found))

    async def _whom(self, asked: FetchPage) -> Asked:
        whom = await self.imports.asked(asked.run_id, asked.search or 0)
        return whom if asked.patient is None else whom.alone(asked.patient)

    def _of(self, whom: Asked) -> list[tuple[str, str]]:
        """Parameters of a search for the observations of patients."""
        parameters = [("patient", ",".join(map(_escaped, whom.patients)))]
        if whom.since is not None:
            since = whom.since.astimezone(UTC) - timedelta(seconds=self.clients.settings.overlap)
            parameters.append(("_lastUpdated", f"ge{since:%Y-%m-%dT%H:%M:%S}Z"))
        return parameters

    async def _answer(
        self, client: FhirClient, resource: str, parameters: list[tuple[str, str]], link: ObjectRef | None
    ) -> Answer:
        if link is None:
            return await client.search(resource, [*parameters, ("_count", str(self.clients.settings.page_size))])
        return await client.page(await asyncio.to_thread(read_link, self.stager.store, link))

    async def _kept(
        self, asked: FetchPage, client: FhirClient, answer: Answer, page: Page, resources: Sequence[bytes]
    ) -> FetchedPage:
        time = page.server_time or answer.date
        following = client.absolute(page.next_link, at=answer.url) if page.next_link else None
        staged, next_ = await asyncio.gather(
            self._staged(asked, resources, time or datetime.now(UTC)) if resources else _nothing(),
            asyncio.to_thread(store_link, self.stager.store, asked.run_id, following) if following else _nothing(),
        )
        content = _digest(page.resources)[:16] if page.resources else ""
        return FetchedPage(staged=staged, resources=len(page.resources), content=content, next=next_, server_time=time)

    async def _staged(self, asked: FetchPage, resources: Sequence[bytes], stamped: datetime) -> LoadRequest | None:
        """Land resources as NDJSON and stage their rows beside that; `None` where the ledger has their load already."""
        digest, size = _digest(resources), sum(map(len, resources)) + len(resources)
        key = landed_key(SOURCE, digest, compress=True)
        expected = ObjectRef(key=key, size=size, sha256=digest, content_type=NDJSON)
        store, identity = self.stager.store, fhir_identity(expected, asked.server)
        with tempfile.TemporaryDirectory(prefix="wardflow-page-") as name:
            folder = Path(name)
            page = folder / "page.ndjson"
            await asyncio.to_thread(_write, page, resources)

            def read() -> LoadRequest:
                reading = stage_ndjson(page, folder, server=asked.server, object_key=key, stamped=stamped)
                return upload(
                    store,
                    folder,
                    only_needed(reading),
                    identity=identity,
                    landed=expected,
                    run_id=asked.run_id,
                    report=reading.report,
                )

            async def stage() -> LoadRequest | None:
                if await ledger.find(self.stager.pool, identity.load_id):
                    return None
                return await asyncio.get_running_loop().run_in_executor(self.stager.threads, read)

            landing = asyncio.to_thread(store.land, SOURCE, page, content_type=NDJSON, compress=True)
            landed, request = await asyncio.gather(landing, stage())
        return request and request.model_copy(update={"landed": landed})


@dataclass(frozen=True)
class FhirImportActivities:
    """What an import does beside its calls: plan, load, close."""

    imports: FhirImports
    loads: LoadActivities
    settings: FhirSettings

    @activity.defn(name="plan_searches")
    async def plan_searches(self, asked: PlanSearches) -> Plan:
        """Part the patients that were found into searches for their observations."""
        return await self.imports.plan(asked.run_id, asked.server, asked.zipcode, batch=self.settings.batch)

    @activity.defn(name="load_pages")
    async def load_pages(self, asked: LoadPages) -> None:
        """Load staged pages, a transaction each; searches that ended with them are complete then."""
        for request in asked.requests:
            await self.loads.load(request)
        await self.loads.remove_staged(asked.requests)
        await self.imports.complete(asked.run_id, asked.complete)
        counts = await self.loads.runs.totals(asked.run_id)
        patients, remaining = await self.imports.counts(asked.run_id)
        report: dict[str, JsonValue] = {
            "patients": patients,
            "observations": _written(counts),
            "remaining": remaining,
        }
        await self.loads.runs.enter_progress(asked.run_id, counts, report, pages=asked.pages)

    @activity.defn(name="finish_import")
    async def finish_import(self, asked: FinishImport) -> RunTotals:
        """Sum up a run; of an import by zip code, keep that it was done, and remove what only the run needed."""
        store = self.loads.store
        counts = await self.loads.runs.totals(asked.run_id)
        report = dict(asked.report)
        if asked.zipcode:
            patients, _ = await self.imports.counts(asked.run_id)
            report |= {"patients": patients, "observations": _written(counts), "remaining": 0}
            kept = {name: value for name, value in report.items() if isinstance(value, int)}
            await self.imports.finish(asked.run_id, asked.server, asked.zipcode, kept)
        await asyncio.to_thread(
            lambda: store.remove(store.keys_older_than(f"{LINKS}{asked.run_id}/", datetime.max.replace(tzinfo=UTC)))
        )
        await self.loads.runs.enter_progress(asked.run_id, counts, report)
        outcome = LoadOutcome.LOADED if counts else LoadOutcome.ALREADY_LOADED
        return RunTotals(outcome=outcome, counts=counts, report=report)


def _written(counts: Mapping[str, DatasetCounts]) -> int:
    """Observations that are new or newer."""
    observations = counts.get(OBSERVATION.name, DatasetCounts())
    return observations.inserted + observations.updated


def only_needed(reading: StagedResources) -> dict[str, int]:
    """The datasets that something was staged for: most pages have observations alone, and each dataset costs a COPY."""
    rows = reading.rows
    if reading.report["refused"]:
        return rows  # a rejection may be of any of them
    families = [(PATIENT.name,), (OBSERVATION.name, OBSERVATION_COMPONENT.name)]
    found = {name: rows[name] for family in families if rows[family[0]] for name in family}
    return found or rows


def _digest(lines: Sequence[bytes]) -> str:
    """The sha256 of lines as their file has them; a page may be too large to be joined once more."""
    digest = sha256()
    for line in lines:
        digest.update(line)
        digest.update(b"\n")
    return digest.hexdigest()


def _write(path: Path, lines: Sequence[bytes]) -> None:
    with path.open("wb") as file:
        for line in lines:
            file.write(line)
            file.write(b"\n")


async def _nothing() -> None:
    return None


def _escaped(value: str) -> str:
    """A value in a list of a search's parameter."""
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("|", "\\|").replace("$", "\\$")
