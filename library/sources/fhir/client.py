"""Calls of a FHIR server that stands in the settings: searches, their further pages, reads, files of an export.

The server's base is trusted as an origin, and nothing else is: a link that it gives is followed at that origin or not
at all, so that neither a request nor a token ever goes elsewhere. What a server says of an error is not passed on as
text (`diagnostics` quotes ids and names): errors have its severities and codes, which come from fixed lists.
"""

import asyncio
import re
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

import httpx

from config.fhir import FhirServerSettings, FhirSettings
from library.sources.fhir.contracts import (
    NDJSON,
    AnotherOrigin,
    PageTooLarge,
    PageUnreadable,
    SearchExpired,
    ServerBusy,
    ServerRefused,
)
from library.sources.fhir.page import issue_codes
from library.sources.fhir.tokens import Credentials
from library.web.guard import place_text
from library.web.hosts import split_place
from library.web.names import LOOK_AGAIN_AFTER, NAMES, does_not_resolve
from library.web.retry_after import is_busy, retry_after

JSON = "application/fhir+json"
MANIFEST = "application/json"

_LONGEST_URL = 8_000
"""Characters; servers take 8,190 or so. A longer search goes by POST."""
FILES_MAY_TAKE = 3_000.0
"""Seconds for the download of a file; its activity may take an hour."""
_OUTCOME_LIMIT = 256 * 1024
_GONE = frozenset({404, 410})
_DEFAULT_PORTS = {"https": 443, "http": 80}
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")

type Parameters = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Answer:
    """What a server answered with status 200.

    Attributes:
        date: its clock, as the answer's head has it.
        url: what was asked for, without what only a POST has: relative links start here.
    """

    body: bytes
    date: datetime | None
    url: str


class FhirClient:
    """One server. Its connections are kept, so one client serves all calls of a process."""

    def __init__(self, name: str, server: FhirServerSettings, settings: FhirSettings, *, ca_file: Path | None) -> None:
        self.name = name
        self._base = server.base_url.rstrip("/")
        self._server = server
        self._settings = settings
        self._http = httpx.AsyncClient(
            verify=str(ca_file) if ca_file else True,
            trust_env=False,
            timeout=httpx.Timeout(settings.read_timeout, connect=settings.connect_timeout),
            headers={"User-Agent": "wardflow", "Cache-Control": "no-cache", "Accept-Encoding": "gzip"},
        )
        self._credentials = Credentials(server, self._http)

    async def close(self) -> None:
        """Let the connections go."""
        await self._http.aclose()

    async def search(self, resource: str, parameters: Parameters) -> Answer:
        """The first page of a search.

        Raises:
            ServerRefused: a status that a repeat does not change: one below 500 that is none of the others', or 501.
        """
        query = "&".join(f"{quote(name)}={quote(value, safe=',:')}" for name, value in parameters)
        url = f"{self._base}/{resource}"
        if len(url) + 1 + len(query) <= _LONGEST_URL:
            return await self._fetch("GET", f"{url}?{query}")
        return await self._fetch("POST", f"{url}/_search", form=query)

    async def page(self, link: str) -> Answer:
        """A further page, by its link as `absolute` has made it.

        Raises:
            SearchExpired: the server does not know it any more.
        """
        try:
            return await self._fetch("GET", self.absolute(link))
        except ServerRefused as refusal:
            if refusal.status not in _GONE:
                raise
            raise SearchExpired(f"The server {self.name} does not know a page's link any more.") from None

    async def read(self, resource: str, id_: str) -> Answer | None:
        """A resource by its id; `None` where it is not there or not there any more."""
        if not _ID.fullmatch(id_) or id_ in (".", ".."):
            return None  # no id of FHIR's: nothing that an address could be made of
        try:
            return await self._fetch("GET", f"{self._base}/{resource}/{quote(id_, safe='')}")
        except ServerRefused as refusal:
            if refusal.status not in _GONE:
                raise
            return None

    def absolute(self, link: str, *, at: str = "") -> str:
        """Where a link of the server's leads: as given, but always at the base's origin.

        Args:
            link: absolute or relative.
            at: of the answer that has it; unless given, the base.

        Raises:
            AnotherOrigin: it leads elsewhere.
        """
        try:
            url = urljoin(at or f"{self._base}/", link)
        except ValueError:
            raise AnotherOrigin(f"The server {self.name} gave a link that is no URL.") from None
        if not self.is_own(url):
            raise AnotherOrigin(f"The server {self.name} gave a link to another origin, {_shown_origin(url)}.")
        base, parts = urlsplit(self._base), urlsplit(url)
        return urlunsplit((base.scheme, base.netloc, parts.path, parts.query, ""))

    def is_own(self, url: str) -> bool:
        """Whether a URL is at this server's origin."""
        return is_at(url, self._server)

    async def begin_export(self, url: str) -> str:
        """Ask for an export; returns where its state can be asked for.

        Raises:
            ServerRefused: the server does not export.
        """
        async with self._answer("GET", self.absolute(url), accept=JSON, prefer="respond-async") as response:
            location = response.headers.get("content-location")
            if response.status_code != httpx.codes.ACCEPTED or not location:
                raise ServerRefused(f"The server {self.name} did not begin an export.", status=response.status_code)
            return self.absolute(location)

    async def manifest(self, url: str) -> bytes:
        """What an export has made.

        Raises:
            ServerBusy: it is still at work; says when to ask again.
        """
        async with self._answer("GET", self.absolute(url), accept=MANIFEST) as response:
            if response.status_code == httpx.codes.ACCEPTED:
                wait = retry_after(response.headers.get("retry-after"), datetime.now(UTC))
                raise ServerBusy(f"The server {self.name} is still at work on the export.", retry_after=wait)
            return await self._body(response, self._settings.max_page_bytes)

    async def download(self, url: str, path: Path, progress: Callable[[int], object]) -> None:
        """A file of an export, inflated, into a file.

        Raises:
            PageTooLarge: it has more bytes than a file may have.
        """
        async with self._answer("GET", self.absolute(url), accept=NDJSON, deadline=FILES_MAY_TAKE) as response:
            with path.open("wb") as file:
                async for chunk in self._chunks(response, self._settings.max_file_bytes):
                    await asyncio.to_thread(file.write, chunk)
                    progress(len(chunk))

    async def _fetch(self, method: str, url: str, *, form: str | None = None) -> Answer:
        async with self._answer(method, url, accept=JSON, form=form) as response:
            body = await self._body(response, self._settings.max_page_bytes)
            return Answer(body, _moment(response.headers.get("date")), url.removesuffix("/_search"))

    @asynccontextmanager
    async def _answer(
        self,
        method: str,
        url: str,
        *,
        accept: str,
        form: str | None = None,
        prefer: str | None = None,
        deadline: float | None = None,
    ) -> AsyncIterator[httpx.Response]:
        """The head of an answer whose status is 200 or 202; its body is read inside of the context."""
        headers = {"Accept": accept, **await self._credentials.headers()}
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        if prefer is not None:
            headers["Prefer"] = prefer
        try:
            async with (
                asyncio.timeout(deadline or self._settings.deadline),
                self._http.stream(method, url, headers=headers, content=form, follow_redirects=False) as response,
            ):
                NAMES.resolved(urlsplit(url).hostname or "")
                await self._check(response)
                yield response
        except (httpx.TimeoutException, TimeoutError):
            raise ServerBusy(f"The server {self.name} did not answer in time.") from None
        except httpx.RemoteProtocolError:
            raise PageUnreadable(f"The answer of the server {self.name} was cut off.") from None
        except httpx.HTTPError as error:
            if does_not_resolve(error):
                host = urlsplit(url).hostname or ""
                NAMES.failed(host)
                raise ServerBusy(
                    f"The name {host} of the server {self.name} does not resolve.", retry_after=LOOK_AGAIN_AFTER
                ) from None
            raise ServerBusy(f"The server {self.name} cannot be reached: {type(error).__name__}.") from None
        except httpx.InvalidURL:
            raise ServerRefused(f"The server {self.name} gave a link that is no URL.") from None

    async def _check(self, response: httpx.Response) -> None:
        status = response.status_code
        if status in (httpx.codes.OK, httpx.codes.ACCEPTED):
            return
        if is_busy(status):
            wait = retry_after(response.headers.get("retry-after"), datetime.now(UTC))
            raise ServerBusy(f"The server {self.name} answered {status}.", retry_after=wait)
        if status == httpx.codes.UNAUTHORIZED and self._credentials.forget():
            raise ServerBusy(f"The server {self.name} does not take the token any more; a new one is asked for.")
        codes = issue_codes(await self._beginning(response))
        said = f" with {', '.join(codes)}" if codes else ""
        raise ServerRefused(f"The server {self.name} answered {status}{said}.", status=status)

    async def _beginning(self, response: httpx.Response) -> bytes:
        try:
            return await self._body(response, _OUTCOME_LIMIT)
        except (PageTooLarge, PageUnreadable):
            return b""

    async def _body(self, response: httpx.Response, limit: int) -> bytes:
        return b"".join([chunk async for chunk in self._chunks(response, limit)])

    async def _chunks(self, response: httpx.Response, limit: int) -> AsyncIterator[bytes]:
        """The body, inflated here and not by httpx, which has no bound for what a chunk becomes."""
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "gzip", "x-gzip", ""):
            raise PageUnreadable(f"The server {self.name} compressed its answer by {encoding[:20]}, unasked.")
        gzip = zlib.decompressobj(wbits=31) if "gzip" in encoding else None
        size = 0
        async for raw in response.aiter_raw():
            chunk = raw
            if gzip is not None:
                try:
                    chunk = gzip.decompress(raw, limit - size + 1)
                    # Several members are one body.
                    while gzip.eof and (rest := gzip.unused_data) and size + len(chunk) <= limit:
                        gzip = zlib.decompressobj(wbits=31)
                        chunk += gzip.decompress(rest, limit - size - len(chunk) + 1)
                except zlib.error:
                    raise PageUnreadable(f"The answer of the server {self.name} is damaged.") from None
            size += len(chunk)
            if size > limit:
                raise PageTooLarge(f"An answer of the server {self.name} has more than {limit:,} bytes.")
            yield chunk
        if gzip is not None and not gzip.eof:
            raise PageUnreadable(f"The answer of the server {self.name} was cut off.")


def origin(url: str) -> str:
    """Scheme, host and port of a URL, in one way for all that are the same.

    Raises:
        ValueError: it has none, or has credentials.
    """
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORTS or "@" in parts.netloc:
        raise ValueError("not a web address")
    host, port = split_place(parts.netloc)
    return f"{parts.scheme}://{place_text(host, port or _DEFAULT_PORTS[parts.scheme])}"


def _shown_origin(url: str) -> str:
    try:
        return origin(url)
    except ValueError:
        return "which has none of a web address"


def is_at(url: str, server: FhirServerSettings) -> bool:
    """Whether a URL is at a server's origin, by one of the names that it has."""
    try:
        return origin(url) in map(origin, (server.base_url, *server.next_origins))
    except ValueError:
        return False


def _moment(text: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text or "")
    except (ValueError, OverflowError):
        return None
    return moment.replace(tzinfo=moment.tzinfo or UTC)
