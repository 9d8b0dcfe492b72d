"""Downloads by URLs that a caller or a document gives.

Written on httpcore, the transport below httpx. Its connection pool takes a network backend as a public argument, so a
connection can be pinned to an address that was checked while TLS and the Host header keep the name; with httpx that
takes a private attribute. And what httpx would add has to be kept out here: cookies, authentication from `.netrc`,
proxies from the environment, redirects, decoding, and a log line at INFO with the whole URL.

Asynchronous, so that one deadline ends everything, also a name that does not resolve and headers that come a byte at a
time, and a cancelled activity lets go at once. Only writing to the file happens on a thread.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import httpcore

from library.contracts.web import DownloadRefused, DownloadTooLarge, DownloadUnavailable, UnexpectedContent
from library.web.addresses import Resolver, checked_addresses, system_resolver
from library.web.connections import PinnedBackend, connection_pool, named_failures
from library.web.guard import Guard
from library.web.kinds import HEAD, Kind, sniff
from library.web.retry_after import is_busy, retry_after
from library.web.urls import CheckedUrl, check_url, redirected

type Progress = Callable[[int], object]
"""Called on the event loop with the number of bytes that arrived since the last call."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_WRITTEN_AT_ONCE = 1024 * 1024
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,60}/[a-z0-9!#$&^_.+-]{1,100}\Z")


@dataclass(frozen=True)
class Downloaded:
    """A file that arrived whole, as far as its server said how long it is.

    Attributes:
        size: bytes.
        kind: by its first bytes.
        content_type: as the server states it, without parameters.
        url: where it came from in the end, without the query.
        redirects: the URLs that led there, without queries, the one that was asked for first.
    """

    size: int
    kind: Kind
    content_type: str | None
    url: str
    redirects: tuple[str, ...]


async def download(
    url: str,
    path: Path,
    guard: Guard,
    *,
    expect: Collection[Kind],
    progress: Progress = lambda _: None,
    resolver: Resolver = system_resolver,
    backend: httpcore.AsyncNetworkBackend | None = None,
) -> Downloaded:
    """Fetch a URL into a file. Where it raises, a file it had begun is gone.

    Args:
        url: as given by a caller or a document.
        path: of the file, which is overwritten.
        guard: what is allowed.
        expect: the kinds of file to take; what begins like anything else is not read on.
        progress: for heartbeats.
        resolver: how names become addresses; each name is asked for once a hop.
        backend: what opens the sockets.

    Raises:
        UrlNotAllowed, AddressNotAllowed: this URL, or one that it redirects to, must not be asked for.
        DownloadTooLarge, UnexpectedContent, DownloadRefused: asking again would not help.
        DownloadUnavailable: it may. `retry_after` says when, if the server did.
        HostNotResolved: the name of the host has not resolved for 15 seconds.
        OSError: of the file, as when the disk is full.
    """
    hop = check_url(url, guard)
    trail: list[str] = []
    sockets = backend or httpcore.AnyIOBackend()
    try:
        async with asyncio.timeout(guard.deadline):
            while len(trail) <= guard.max_redirects:
                async with _answer(hop, guard, resolver, sockets) as response:
                    location = _location(response, hop)
                    if location is None:
                        size, kind = await _receive(response, hop, path, guard, expect, progress)
                        return Downloaded(size, kind, _content_type(response), hop.shown, tuple(trail))
                trail.append(hop.shown)
                hop = redirected(hop, location, guard)
    except TimeoutError:
        raise DownloadUnavailable(f"{hop.shown} took longer than {guard.deadline:g} seconds.") from None
    raise DownloadRefused(f"{trail[0]} redirects more than {guard.max_redirects} times.")


@asynccontextmanager
async def _answer(
    url: CheckedUrl, guard: Guard, resolver: Resolver, sockets: httpcore.AsyncNetworkBackend
) -> AsyncIterator[httpcore.Response]:
    """The head of an answer; its body is read, if at all, inside of the context."""
    direct = url.private or guard.proxy is None
    backend = sockets
    if direct:
        answers = [str(url.address)] if url.address else await resolver(url.host, url.port)
        addresses = checked_addresses(url.host, answers, private=url.private)
        backend = PinnedBackend(url, addresses, sockets)
    request = httpcore.Request(
        "GET",
        httpcore.URL(
            scheme=url.scheme.encode(), host=url.host.encode(), port=url.port, target=url.target.encode("ascii")
        ),
        headers={
            "Host": url.place,
            "User-Agent": "wardflow",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Connection": "close",
        },
        extensions={
            "timeout": {
                "connect": guard.connect_timeout,
                "read": guard.read_timeout,
                "write": guard.read_timeout,
                "pool": guard.connect_timeout,
            }
        },
    )
    async with connection_pool(guard, backend, direct=direct) as pool:
        with named_failures(url):
            response = await pool.handle_async_request(request)
        try:
            yield response
        finally:
            await response.aclose()


def _location(response: httpcore.Response, url: CheckedUrl) -> str | None:
    """Where a redirect leads; `None` for an answer whose body is wanted.

    Raises:
        DownloadUnavailable, DownloadRefused, UnexpectedContent: neither of the two.
    """
    status = response.status
    if status == 200:
        return None
    if status in _REDIRECTS and (location := _header(response, b"location")):
        return location
    if is_busy(status):
        raise DownloadUnavailable(
            f"{url.shown} answered {status}.",
            status=status,
            retry_after=retry_after(_header(response, b"retry-after"), datetime.now(UTC)),
        )
    if 400 <= status < 500:
        raise DownloadRefused(f"{url.shown} answered {status}.", status=status)
    raise UnexpectedContent(f"{url.shown} answered {status}, without a file.")


async def _receive(
    response: httpcore.Response,
    url: CheckedUrl,
    path: Path,
    guard: Guard,
    expect: Collection[Kind],
    progress: Progress,
) -> tuple[int, Kind]:
    encoding = (_header(response, b"content-encoding") or "identity").strip().lower()
    if encoding != "identity":
        # Nothing is inflated here, so nothing can inflate past the limit.
        raise UnexpectedContent(f"{url.shown} came compressed for its transport, which was not asked for.")
    _check_size(int(_header(response, b"content-length") or 0), url, guard)
    target = _Target(path)
    kind: Kind | None = None
    try:
        async with aclosing(cast("AsyncGenerator[bytes]", response.aiter_stream())) as chunks:
            while (chunk := await _next(chunks, url)) is not None:
                target.add(chunk)
                _check_size(target.size, url, guard)
                if kind is None and target.size >= HEAD:
                    kind = _expected(target.head, url, expect)
                if target.waiting >= _WRITTEN_AT_ONCE:
                    await asyncio.to_thread(target.write)
                progress(len(chunk))
        kind = kind or _expected(target.head, url, expect)
        await asyncio.to_thread(target.finish)
    except BaseException:
        target.discard()
        raise
    return target.size, kind


async def _next(chunks: AsyncGenerator[bytes], url: CheckedUrl) -> bytes | None:
    with named_failures(url):
        return await anext(chunks, None)


def _expected(head: bytes, url: CheckedUrl, expect: Collection[Kind]) -> Kind:
    kind = sniff(head)
    if kind not in expect:
        raise UnexpectedContent(f"{url.shown} answered with {kind}, and not with {' or '.join(sorted(expect))}.")
    return kind


def _check_size(size: int, url: CheckedUrl, guard: Guard) -> None:
    if size > guard.max_bytes:
        raise DownloadTooLarge(f"{url.shown} has more than the {guard.max_bytes:,} bytes that are allowed.")


def _content_type(response: httpcore.Response) -> str | None:
    stated = (_header(response, b"content-type") or "").partition(";")[0].strip().lower()
    return stated if _MEDIA_TYPE.match(stated) else None


def _header(response: httpcore.Response, name: bytes) -> str | None:
    for key, value in response.headers:
        if key.lower() == name:
            try:
                return value.decode()
            except UnicodeDecodeError:
                return value.decode("latin-1")
    return None


class _Target:
    """The file: chunks are gathered on the event loop and written, some at a time, on a thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb")
        self._chunks: list[bytes] = []
        self.head = b""
        self.size = 0
        self.waiting = 0

    def add(self, chunk: bytes) -> None:
        """Take what arrived."""
        if len(self.head) < HEAD:
            self.head += chunk[:HEAD]
        self._chunks.append(chunk)
        self.size += len(chunk)
        self.waiting += len(chunk)

    def write(self) -> None:
        """Write what waits."""
        chunks, self._chunks, self.waiting = self._chunks, [], 0
        self._file.writelines(chunks)

    def finish(self) -> None:
        """Write the rest; the file is whole."""
        self.write()
        self._file.close()

    def discard(self) -> None:
        """The file is of no use. A write that still runs on its thread ends with an error that nobody hears."""
        with suppress(OSError):
            self._file.close()
        self._path.unlink(missing_ok=True)
