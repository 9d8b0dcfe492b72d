"""The client of a FHIR server of the settings: searches, pages, reads, files of an export.

Links are followed only at the origin of the server's base URL, so that no token goes to another server. Errors contain
the severities and codes of the server's answer, which come from fixed lists, but not its texts: `diagnostics` quotes
ids and names.
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
from library.sources.fhir.contracts import NDJSON
from library.sources.fhir.errors import (
    AnotherOrigin,
    PageTooLarge,
    PageUnreadable,
    SearchExpired,
    ServerBusy,
    ServerRefused,
)
from library.sources.fhir.page import issue_codes
from library.sources.fhir.tokens import ServerCredentials
from library.web.guard import place_text
from library.web.hosts import split_place
from library.web.names import LOOK_AGAIN_AFTER, NAMES, does_not_resolve
from library.web.retry_after import is_busy, retry_after

JSON = "application/fhir+json"
MANIFEST = "application/json"

_LONGEST_URL = 8_000
"""Longest URL in characters. Servers accept about 8,190. A longer search is sent with POST."""
FILES_MAY_TAKE = 3_000.0
"""Longest download of a file, in seconds. Its activity may take an hour."""
_OUTCOME_LIMIT = 256 * 1024
_GONE = frozenset({404, 410})
_DEFAULT_PORTS = {"https": 443, "http": 80}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")

_LOOPING = "The server's redirects lead in a circle. Check its base_url: the scheme, and whether it ends with a slash."

type Parameters = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class ServerAnswer:
    """An answer of a server with status 200.

    Attributes:
        date: the header `Date`, the server's clock.
        url: the URL of the request, without `/_search`. Relative links are resolved against it.
    """

    body: bytes
    date: datetime | None
    url: str


class FhirClient:
    """The client of one server. It keeps connections open, so a process has one client for each server."""

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
        self._credentials = ServerCredentials(server, self._http)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def search(self, resource: str, parameters: Parameters) -> ServerAnswer:
        """Fetch the first page of a search.

        Raises:
            ServerRefused: the status is 501, or one below 500 that a retry does not change.
        """
        query = "&".join(f"{quote(name)}={quote(value, safe=',:')}" for name, value in parameters)
        url = f"{self._base}/{resource}"
        if len(url) + 1 + len(query) <= _LONGEST_URL:
            return await self._fetch("GET", f"{url}?{query}")
        return await self._fetch("POST", f"{url}/_search", form=query)

    async def page(self, link: str) -> ServerAnswer:
        """Fetch a further page by a link that `absolute` returned.

        Raises:
            SearchExpired: the server no longer knows the link.
        """
        try:
            return await self._fetch("GET", self.absolute(link))
        except ServerRefused as refusal:
            if refusal.status not in _GONE:
                raise
            raise SearchExpired(f"The server {self.name} no longer knows the link of a page.") from None

    async def read(self, resource: str, id_: str) -> ServerAnswer | None:
        """Read a resource by its id; `None`: it does not exist, or was deleted."""
        if not _ID.fullmatch(id_) or id_ in (".", ".."):
            return None  # FHIR does not allow this id, and it may not be safe in a URL
        try:
            return await self._fetch("GET", f"{self._base}/{resource}/{quote(id_, safe='')}")
        except ServerRefused as refusal:
            if refusal.status not in _GONE:
                raise
            return None

    def absolute(self, link: str, *, at: str = "") -> str:
        """Make a link of the server absolute, always at the origin of the base URL.

        Args:
            link: absolute or relative.
            at: the URL of the answer with the link; the default is the base URL.

        Raises:
            AnotherOrigin: the link leads to another origin.
        """
        try:
            url = urljoin(at or f"{self._base}/", link)
        except ValueError:
            raise AnotherOrigin(f"The server {self.name} sent a link that is not a URL.") from None
        if not self.is_own(url):
            raise AnotherOrigin(f"The server {self.name} sent a link to another origin, {_shown_origin(url)}.")
        base, parts = urlsplit(self._base), urlsplit(url)
        return urlunsplit((base.scheme, base.netloc, parts.path, parts.query, ""))

    def is_own(self, url: str) -> bool:
        """Whether a URL belongs to this server."""
        return is_at(url, self._server)

    async def begin_export(self, url: str) -> str:
        """Start an export, and return the URL of its status.

        Raises:
            ServerRefused: the server does not support exports.
        """
        async with self._request("GET", self.absolute(url), accept=JSON, prefer="respond-async") as response:
            location = response.headers.get("content-location")
            if response.status_code != httpx.codes.ACCEPTED or not location:
                raise ServerRefused(f"The server {self.name} did not start an export.", status=response.status_code)
            return self.absolute(location)

    async def manifest(self, url: str) -> bytes:
        """Fetch the manifest of an export.

        Raises:
            ServerBusy: the export is not ready; `retry_after` states when to ask again.
        """
        async with self._request("GET", self.absolute(url), accept=MANIFEST) as response:
            if response.status_code == httpx.codes.ACCEPTED:
                wait = retry_after(response.headers.get("retry-after"), datetime.now(UTC))
                raise ServerBusy(f"The export of the server {self.name} is not ready yet.", retry_after=wait)
            return await self._body(response, self._settings.max_page_bytes)

    async def download(self, url: str, path: Path, progress: Callable[[int], object]) -> None:
        """Download a file of an export, and decompress it.

        Raises:
            PageTooLarge: the file is larger than the limit.
        """
        async with self._request("GET", self.absolute(url), accept=NDJSON, deadline=FILES_MAY_TAKE) as response:
            with path.open("wb") as file:
                async for chunk in self._chunks(response, self._settings.max_file_bytes):
                    await asyncio.to_thread(file.write, chunk)
                    progress(len(chunk))

    async def _fetch(self, method: str, url: str, *, form: str | None = None) -> ServerAnswer:
        async with self._request(method, url, accept=JSON, form=form) as response:
            body = await self._body(response, self._settings.max_page_bytes)
            return ServerAnswer(body, _moment(response.headers.get("date")), str(response.url).removesuffix("/_search"))

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        url: str,
        *,
        accept: str,
        form: str | None = None,
        prefer: str | None = None,
        deadline: float | None = None,
    ) -> AsyncIterator[httpx.Response]:
        """Send a request. The status of the response is 200 or 202; read its body inside of the context.

        Redirects are followed at the server's own origin, where the token may go.

        Raises:
            ServerRefused: the server redirects elsewhere (`redirect` has the URL), or too often.
        """
        for _ in range(_MOST_REDIRECTS + 1):
            async with self._send(method, url, accept=accept, form=form, prefer=prefer, deadline=deadline) as response:
                location = response.headers.get("location") if response.status_code in _REDIRECTS else None
                if not location:
                    yield response
                    return
                status = response.status_code
            url = self._redirected(url, location, status)
            if status == httpx.codes.SEE_OTHER:
                method, form = "GET", None
        raise ServerRefused(
            f"The server {self.name} redirects more than {_MOST_REDIRECTS} times.", status=status, advice=_LOOPING
        )

    def _redirected(self, url: str, location: str, status: int) -> str:
        """The target of a redirect, if it is at the server's own origin."""
        try:
            target = urljoin(url, location)
        except ValueError:
            raise ServerRefused(f"The server {self.name} redirects to no URL.", status=status) from None
        if self.is_own(target):
            return self.absolute(target)
        place = _shown_origin(target)
        is_safe = not (url.startswith("https:") and target.startswith("http:"))
        raise ServerRefused(
            f"The server {self.name} answered {status} and redirects to another origin, {place}.",
            status=status,
            redirect=target if is_safe else "",
            advice=f"If this is the same server, use {place} in its base_url, or list it in its next_origins. Files of "
            "exports elsewhere are downloaded if their host is listed (downloads.hosts), from https only by https.",
        )

    @asynccontextmanager
    async def _send(
        self,
        method: str,
        url: str,
        *,
        accept: str,
        form: str | None,
        prefer: str | None,
        deadline: float | None,
    ) -> AsyncIterator[httpx.Response]:
        """Send a request. The status is 200 or 202, or the response redirects."""
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
            raise ServerRefused(f"The server {self.name} sent a link that is not a URL.") from None

    async def _check(self, response: httpx.Response) -> None:
        status = response.status_code
        if status in (httpx.codes.OK, httpx.codes.ACCEPTED):
            return
        if status in _REDIRECTS and response.headers.get("location"):
            return
        if is_busy(status):
            wait = retry_after(response.headers.get("retry-after"), datetime.now(UTC))
            raise ServerBusy(f"The server {self.name} answered {status}.", retry_after=wait)
        if status == httpx.codes.UNAUTHORIZED and self._credentials.forget():
            raise ServerBusy(f"The server {self.name} no longer accepts the token. A new one is requested.")
        codes = issue_codes(await self._outcome(response))
        reason = f" with {', '.join(codes)}" if codes else ""
        raise ServerRefused(f"The server {self.name} answered {status}{reason}.", status=status)

    async def _outcome(self, response: httpx.Response) -> bytes:
        try:
            return await self._body(response, _OUTCOME_LIMIT)
        except (PageTooLarge, PageUnreadable):
            return b""

    async def _body(self, response: httpx.Response, limit: int) -> bytes:
        return b"".join([chunk async for chunk in self._chunks(response, limit)])

    async def _chunks(self, response: httpx.Response, limit: int) -> AsyncIterator[bytes]:
        """Read and decompress the body. httpx could do it, but has no limit for the size of a decompressed chunk."""
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "gzip", "x-gzip", ""):
            raise PageUnreadable(f"The server {self.name} compressed its answer with {encoding[:20]}, not gzip.")
        gzip = zlib.decompressobj(wbits=31) if "gzip" in encoding else None
        size = 0
        async for raw in response.aiter_raw():
            chunk = raw
            if gzip is not None:
                try:
                    chunk = gzip.decompress(raw, limit - size + 1)
                    # A gzip body may have several members.
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
    """Scheme, host and port of a URL, in one canonical form.

    Raises:
        ValueError: the URL is not http(s), has no host, or has credentials.
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
        return "not a web address"


def is_at(url: str, server: FhirServerSettings) -> bool:
    """Whether a URL is at the origin of a server: of its base URL, or one of its `next_origins`."""
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
