"""Activities that call FHIR servers: they fetch the pages of searches and land them.

Patients' ids, names and page links never go to Temporal. They are in the warehouse and in the object store.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path

import msgspec
from temporalio import activity

from activities.heartbeats import regular_heartbeats
from config.fhir import FhirSettings
from library.contracts.errors import WardflowError
from library.contracts.objects import ObjectRef
from library.contracts.runs import RunError
from library.objects.store import ObjectStore
from library.sources.fhir.client import FhirClient, ServerAnswer
from library.sources.fhir.contracts import NDJSON, SOURCE, FetchedPage, FetchPage
from library.sources.fhir.errors import PageStaysUnreadable, PageUnreadable, ServerRefused, UnknownServer
from library.sources.fhir.imports import FhirImports, PatientSearch
from library.sources.fhir.links import read_link, store_link
from library.sources.fhir.page import BundlePage, matching_patients, on_one_line, read_page, unreadable_patients
from library.warehouse.runs import RunLog

_UNREADABLE = 8
"""After this many tries, an answer that cannot be read is an error that is not retried."""


class FhirClients:
    """One client for each server of the settings, created at its first use."""

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
        """The client of the server that a URL belongs to, the preferred one first; `None`: no server's."""
        names = sorted(self.settings.by_name, key=lambda name: name != preferred)
        return next((self[name] for name in names if self[name].is_own(url)), None)

    async def close(self) -> None:
        """Close all connections."""
        for client in self._made.values():
            await client.close()


@asynccontextmanager
async def server_call() -> AsyncIterator[None]:
    """Send heartbeats during a call of a server. After `_UNREADABLE` tries an unreadable answer is final."""
    async with regular_heartbeats():
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
    """Each activity fetches one page and lands its resources. The next page needs only this page's link."""

    store: ObjectStore
    runs: RunLog
    clients: FhirClients
    imports: FhirImports

    @activity.defn(name="fetch_patient_page")
    async def fetch_patient_page(self, request: FetchPage) -> FetchedPage:
        """Fetch a page of patients, and keep those who have exactly this zip code in one of their addresses."""
        client = self.clients[request.server]
        if request.link is None:
            await self.runs.enter_phase(request.run_id, "patients")
        async with server_call():
            answer = await self._fetch(client, "Patient", [("address-postalcode", request.zipcode)], request.link)
            page = await asyncio.to_thread(read_page, answer.body)
            matching = matching_patients(page, request.zipcode)
            await self.imports.enter_patients(request.run_id, request.server, [id_ for id_, _ in matching if id_])
            resources = [*(raw for _, raw in matching), *unreadable_patients(page)]
            landed = await self._land_page(request, client, answer, page, resources)
        return landed.model_copy(update={"left_out": len(page.resources) - len(resources)})

    @activity.defn(name="fetch_observation_page")
    async def fetch_observation_page(self, request: FetchPage) -> FetchedPage:
        """Fetch a page of observations of a search's patients: all of them, or those that changed since last time."""
        client = self.clients[request.server]
        if request.link is None:
            await self.runs.enter_phase(request.run_id, "observations")
        search = await self._search(request) if request.link is None else None
        if search is not None and not search.patients:
            # The search was done before the workflow was reset. Without patients it would ask for all patients.
            return FetchedPage()
        async with server_call():
            if search is None:
                return await self._observations(request, client, [])
            since = None if request.everything else search.since
            try:
                return await self._observations(request, client, self._observation_parameters(search, since))
            except ServerRefused as refusal:
                if refusal.status == HTTPStatus.UNAUTHORIZED:
                    raise
                refused = refusal
            if since is not None:  # some servers do not support `_lastUpdated`
                try:
                    fetched = await self._observations(request, client, self._observation_parameters(search, None))
                    return fetched.model_copy(update={"everything": True})
                except ServerRefused as refusal:
                    refused = refusal
            # Some servers allow one patient in a search, with various statuses. So ask for each patient alone; if the
            # reason was another one, those searches are refused too.
            if len(search.patients) > 1:
                return FetchedPage(alone=len(search.patients))
            return FetchedPage(refusal=_described(refused))

    async def _observations(
        self, request: FetchPage, client: FhirClient, parameters: list[tuple[str, str]]
    ) -> FetchedPage:
        answer = await self._fetch(client, "Observation", parameters, request.link)
        page = await asyncio.to_thread(read_page, answer.body)
        return await self._land_page(request, client, answer, page, page.resources)

    @activity.defn(name="read_patients")
    async def read_patients(self, request: FetchPage) -> FetchedPage:
        """Read patients by id if the search for their zip code no longer finds them: they may have moved."""
        client = self.clients[request.server]
        search = await self._search(request)
        found = []
        async with server_call():
            for patient in search.patients:
                try:
                    answer = await client.read("Patient", patient)
                except ServerRefused as refusal:
                    if refusal.status == HTTPStatus.UNAUTHORIZED:
                        raise
                    return FetchedPage(refusal=_described(refusal))
                if answer:
                    try:
                        found.append(on_one_line(answer.body))
                    except msgspec.DecodeError:
                        raise PageUnreadable(f"A patient of the server {client.name} is not JSON.") from None
            landed = await self._land(found)
        return FetchedPage(landed=landed, at=datetime.now(UTC), resources=len(found))

    async def _search(self, request: FetchPage) -> PatientSearch:
        search = await self.imports.search(request.run_id, request.search or 0)
        return search if request.patient is None else search.only(request.patient)

    def _observation_parameters(self, search: PatientSearch, since: datetime | None) -> list[tuple[str, str]]:
        """The query parameters of a search for the patients' observations."""
        parameters = [("patient", ",".join(map(_escaped, search.patients)))]
        if since is not None:
            begin = since.astimezone(UTC) - timedelta(seconds=self.clients.settings.overlap)
            parameters.append(("_lastUpdated", f"ge{begin:%Y-%m-%dT%H:%M:%S}Z"))
        return parameters

    async def _fetch(
        self, client: FhirClient, resource: str, parameters: list[tuple[str, str]], link: ObjectRef | None
    ) -> ServerAnswer:
        if link is None:
            return await client.search(resource, [*parameters, ("_count", str(self.clients.settings.page_size))])
        return await client.page(await asyncio.to_thread(read_link, self.store, link))

    async def _land_page(
        self, request: FetchPage, client: FhirClient, answer: ServerAnswer, page: BundlePage, resources: Sequence[bytes]
    ) -> FetchedPage:
        following = client.absolute(page.next_link, at=answer.url) if page.next_link else None
        landed, next_ = await asyncio.gather(
            self._land(resources),
            asyncio.to_thread(store_link, self.store, request.run_id, following) if following else _nothing(),
        )
        time = page.server_time or answer.date
        return FetchedPage(
            landed=landed,
            at=time or datetime.now(UTC),
            resources=len(page.resources),
            content=_digest(page.resources)[:16] if page.resources else "",
            next=next_,
            server_time=time,
            total=page.total,
            failures=page.failures,
        )

    async def _land(self, resources: Sequence[bytes]) -> ObjectRef | None:
        """Land resources as NDJSON; `None` if there are none."""
        return await asyncio.to_thread(_land, self.store, resources) if resources else None


def _land(store: ObjectStore, resources: Sequence[bytes]) -> ObjectRef:
    with tempfile.NamedTemporaryFile(prefix="wardflow-page-") as page:
        for resource in resources:
            page.write(resource)
            page.write(b"\n")
        page.flush()
        return store.land(SOURCE, Path(page.name), content_type=NDJSON, compress=True)


def _digest(lines: Sequence[bytes]) -> str:
    """The sha256 of the lines as one file. They are not joined, to save memory."""
    digest = sha256()
    for line in lines:
        digest.update(line)
        digest.update(b"\n")
    return digest.hexdigest()


def _described(error: WardflowError) -> RunError:
    return RunError(type=type(error).__name__, message=error.message, advice=error.advice)


async def _nothing() -> None:
    return None


def _escaped(value: str) -> str:
    """Escape a value for a comma-separated search parameter."""
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("|", "\\|").replace("$", "\\$")
