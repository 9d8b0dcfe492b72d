"""Downloads URLs that come from callers or documents.

It uses httpcore, the transport below httpx. httpcore accepts a network backend, so a connection can be pinned to a
checked address while TLS and the Host header keep the name; httpx has only a private attribute for this. Also, httpx
would add things that are not wanted here: cookies, logins from `.netrc`, proxies from the environment, redirects,
decoding, and a log line with the whole URL.

It is asynchronous, so one deadline limits everything, including slow name servers and slow headers, and a cancelled
activity ends at once. Only the writing to the file runs in a thread.
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
"""Called in the event loop with the number of bytes since the last call."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_WRITTEN_AT_ONCE = 1024 * 1024
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,60}/[a-z0-9!#$&^_.+-]{1,100}\Z")


@dataclass(frozen=True)
class Downloaded:
    """A downloaded file. It is complete if the server stated its length.

    Attributes:
        size: bytes.
        kind: the kind of file, from its first bytes.
        content_type: the server's media type, without parameters.
        url: the final URL, without its query.
        redirects: the URLs before it, without queries, in order.
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
    """Download a URL into a file. After an error the file is removed.

    Args:
        url: the URL of a caller or a document.
        path: the file; an existing one is overwritten.
        guard: the rules and limits.
        expect: the kinds of file to accept. The download of another kind is stopped.
        progress: called with the number of bytes, for heartbeats.
        resolver: resolves names, once for each redirect.
        backend: opens the sockets.

    Raises:
        UrlNotAllowed, AddressNotAllowed: this URL, or one that it redirects to, is not allowed.
        DownloadTooLarge, UnexpectedContent, DownloadRefused: a retry would not help.
        DownloadUnavailable: a retry may help; `retry_after` has the server's wish.
        HostNotResolved: the name of the host has not resolved for 15 seconds.
        OSError: the file cannot be written, for example when the disk is full.
    """
    hop = check_url(url, guard)
    trail: list[str] = []
    sockets = backend or httpcore.AnyIOBackend()
    try:
        async with asyncio.timeout(guard.deadline):
            while len(trail) <= guard.max_redirects:
                async with _request(hop, guard, resolver, sockets) as response:
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
async def _request(
    url: CheckedUrl, guard: Guard, resolver: Resolver, sockets: httpcore.AsyncNetworkBackend
) -> AsyncIterator[httpcore.Response]:
    """Send a request. The body of the response can be read inside of the context."""
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
    """The target of a redirect; `None` for an answer with a file.

    Raises:
        DownloadUnavailable, DownloadRefused, UnexpectedContent: the answer is neither of the two.
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
        # Nothing is decompressed here, so no file can grow past the limit.
        raise UnexpectedContent(f"{url.shown} was sent with a content encoding, which was not requested.")
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
        raise UnexpectedContent(f"{url.shown} answered with {kind} instead of {' or '.join(sorted(expect))}.")
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
    """The target file. Chunks are collected in the event loop and written in a thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb")
        self._chunks: list[bytes] = []
        self.head = b""
        self.size = 0
        self.waiting = 0

    def add(self, chunk: bytes) -> None:
        """Add a chunk."""
        if len(self.head) < HEAD:
            self.head += chunk[:HEAD]
        self._chunks.append(chunk)
        self.size += len(chunk)
        self.waiting += len(chunk)

    def write(self) -> None:
        """Write the collected chunks."""
        chunks, self._chunks, self.waiting = self._chunks, [], 0
        self._file.writelines(chunks)

    def finish(self) -> None:
        """Write the rest and close the file."""
        self.write()
        self._file.close()

    def discard(self) -> None:
        """Remove the file. A write that still runs in its thread fails, and its error is ignored."""
        with suppress(OSError):
            self._file.close()
        self._path.unlink(missing_ok=True)
