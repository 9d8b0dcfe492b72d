"""Calls of FHIR servers: pages of searches, landed.

Patients' ids, names and page links stay on this side: in the warehouse's bookkeeping and in the object store.
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

from activities.beating import beating
from config.fhir import FhirSettings
from library.contracts.objects import ObjectRef
from library.objects.store import ObjectStore
from library.sources.fhir.client import Answer, FhirClient
from library.sources.fhir.contracts import (
    NDJSON,
    FetchedPage,
    FetchPage,
    PageStaysUnreadable,
    PageUnreadable,
    ServerRefused,
    UnknownServer,
)
from library.sources.fhir.imports import Asked, FhirImports
from library.sources.fhir.links import read_link, store_link
from library.sources.fhir.page import Page, matching_patients, on_one_line, read_page, unreadable_patients
from library.sources.fhir.staging import SOURCE
from library.warehouse.runs import RunLog

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
    """Fetch a page and land its resources: one page, one activity, and the next page waits for nothing else."""

    store: ObjectStore
    runs: RunLog
    clients: FhirClients
    imports: FhirImports

    @activity.defn(name="fetch_patient_page")
    async def fetch_patient_page(self, asked: FetchPage) -> FetchedPage:
        """A page of the patients of a zip code: kept are those with just this zip code in one of their addresses."""
        client = self.clients[asked.server]
        if asked.link is None:
            await self.runs.enter_phase(asked.run_id, "patients")
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
            await self.runs.enter_phase(asked.run_id, "observations")
        whom = await self._whom(asked) if asked.link is None else None
        if whom is not None and not whom.patients:
            return FetchedPage()  # done before a reset; a search for nobody would be one for everybody
        async with calling():
            try:
                answer = await self._answer(client, "Observation", self._of(whom) if whom else [], asked.link)
                page = await asyncio.to_thread(read_page, answer.body)
            except ServerRefused as refusal:
                # Some servers take one patient a search, and say so by whatever status. If it was something else that
                # they did not like, the searches for single patients are refused as well, and say it.
                if whom is not None and len(whom.patients) > 1 and refusal.status != HTTPStatus.UNAUTHORIZED:
                    return FetchedPage(alone=len(whom.patients))
                raise
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
                        found.append(on_one_line(answer.body))
                    except msgspec.DecodeError:
                        raise PageUnreadable(f"A patient of the server {client.name} is no JSON.") from None
            landed = await self._landed(found)
        return FetchedPage(landed=landed, at=datetime.now(UTC), resources=len(found))

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
        return await client.page(await asyncio.to_thread(read_link, self.store, link))

    async def _kept(
        self, asked: FetchPage, client: FhirClient, answer: Answer, page: Page, resources: Sequence[bytes]
    ) -> FetchedPage:
        following = client.absolute(page.next_link, at=answer.url) if page.next_link else None
        landed, next_ = await asyncio.gather(
            self._landed(resources),
            asyncio.to_thread(store_link, self.store, asked.run_id, following) if following else _nothing(),
        )
        time = page.server_time or answer.date
        return FetchedPage(
            landed=landed,
            at=time or datetime.now(UTC),
            resources=len(page.resources),
            content=_digest(page.resources)[:16] if page.resources else "",
            next=next_,
            server_time=time,
        )

    async def _landed(self, resources: Sequence[bytes]) -> ObjectRef | None:
        """Land resources as NDJSON; `None` where there are none."""
        return await asyncio.to_thread(_land, self.store, resources) if resources else None


def _land(store: ObjectStore, resources: Sequence[bytes]) -> ObjectRef:
    with tempfile.NamedTemporaryFile(prefix="wardflow-page-") as page:
        for resource in resources:
            page.write(resource)
            page.write(b"\n")
        page.flush()
        return store.land(SOURCE, Path(page.name), content_type=NDJSON, compress=True)


def _digest(lines: Sequence[bytes]) -> str:
    """The sha256 of lines as their file has them; a page may be too large to be joined once more."""
    digest = sha256()
    for line in lines:
        digest.update(line)
        digest.update(b"\n")
    return digest.hexdigest()


async def _nothing() -> None:
    return None


def _escaped(value: str) -> str:
    """A value in a list of a search's parameter."""
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("|", "\\|").replace("$", "\\$")
