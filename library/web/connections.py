"""Connects to exactly the addresses that were checked, and translates network errors."""

import asyncio
import ssl
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpcore

from library.contracts.errors import ConfigurationError
from library.contracts.web import AddressNotAllowed, DownloadRefused, DownloadUnavailable
from library.web.guard import Guard
from library.web.hosts import IpAddress
from library.web.urls import CheckedUrl

_FAILURES = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.ConnectionNotAvailable,
    OSError,  # includes ssl.SSLError, which httpcore does not translate during a read
)


class PinnedBackend(httpcore.AsyncNetworkBackend):
    """Connects to addresses that were checked before, even if the name resolves to others by now.

    TLS still checks the name, since only the address of the socket is replaced.
    """

    def __init__(self, url: CheckedUrl, addresses: Sequence[IpAddress], inner: httpcore.AsyncNetworkBackend) -> None:
        self._url = url
        self._addresses = addresses
        self._inner = inner

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that answers, and check the peer's address before any data is sent."""
        if (host, port) != (self._url.host, self._url.port):
            raise AddressNotAllowed(f"A connection to another host or port than {self._url.place} was requested.")
        failure: Exception = httpcore.ConnectError()
        for address in self._addresses:
            try:
                stream = await self._inner.connect_tcp(str(address), port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
                continue
            peer = stream.get_extra_info("server_addr")
            if not peer or ip_address(peer[0]) != address:
                await stream.aclose()
                raise AddressNotAllowed(f"The connection to {self._url.place} leads to another address.")
            return stream
        raise failure

    async def sleep(self, seconds: float) -> None:
        """Wait between two tries; httpcore calls it."""
        await asyncio.sleep(seconds)


def connection_pool(
    guard: Guard, backend: httpcore.AsyncNetworkBackend, *, direct: bool
) -> httpcore.AsyncConnectionPool:
    """The connections of one request: direct to checked addresses, or through the egress proxy."""
    if direct or guard.proxy is None:
        return httpcore.AsyncConnectionPool(ssl_context=_tls(guard.ca_file), network_backend=backend)
    proxy = urlsplit(guard.proxy)
    return httpcore.AsyncHTTPProxy(
        proxy_url=f"{proxy.scheme}://{proxy.netloc.rpartition('@')[2]}",
        proxy_auth=(unquote(proxy.username), unquote(proxy.password or "")) if proxy.username else None,
        ssl_context=_tls(guard.ca_file),
        proxy_ssl_context=_tls(guard.ca_file) if proxy.scheme == "https" else None,
        network_backend=backend,
    )


@contextmanager
def named_failures(url: CheckedUrl) -> Iterator[None]:
    """Translate network errors. Their texts are dropped, since they may quote received data."""
    try:
        yield
    except _FAILURES as error:
        if invalid := _certificate_error(error):
            raise DownloadRefused(
                f"The certificate of {url.place} is not valid for it: {invalid.verify_message}.",
                advice="Check the server's certificate. An authority of your own must be named in the settings.",
            ) from None
        raise DownloadUnavailable(f"{url.shown} could not be downloaded: {type(error).__name__}.") from None


def _certificate_error(error: BaseException) -> ssl.SSLCertVerificationError | None:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause
        cause = cause.__cause__ or cause.__context__
    return None


@lru_cache(maxsize=4)
def _tls(ca_file: Path | None) -> ssl.SSLContext:
    """The TLS settings. They are cached, since reading the authorities takes tens of milliseconds."""
    context = httpcore.default_ssl_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:
            raise ConfigurationError(
                f"The file of authorities {ca_file} cannot be read: {type(error).__name__}."
            ) from None
    return context
