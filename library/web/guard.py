"""The rules and limits of downloads. They are made from the settings once."""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from library.contracts.errors import ConfigurationError
from library.web.hosts import canonical_host, literal_address, split_place

_SCHEMES = frozenset({"https", "http"})


@dataclass(frozen=True, kw_only=True)
class Guard:
    """The rules and limits of downloads.

    Attributes:
        hosts: allowed hosts. `www.example.org` is one host; `.example.org` is all hosts below it, without itself.
        schemes: allowed schemes. A redirect from https to http is never followed.
        ports: allowed ports of these hosts. For `http`, add 80.
        private_origins: `host:port` of servers that may have private or loopback addresses. They are reached only by a
            caller's URL, never by a redirect from another host, and never through the proxy.
        max_bytes: the largest file.
        max_redirects: the most redirects.
        connect_timeout: seconds for the connection to one address, and for TLS.
        read_timeout: seconds without any data.
        deadline: seconds for the whole download, including names and redirects.
        proxy: http(s) URL of the egress proxy, with credentials if needed. All downloads except those from private
            origins use it. The proxy then resolves names and checks addresses.
        ca_file: a PEM file with more authorities to trust, such as that of an inspecting proxy.

    Raises:
        ConfigurationError: a value is not valid.
    """

    hosts: Collection[str]
    schemes: Collection[str] = ("https",)
    ports: Collection[int] = (443,)
    private_origins: Collection[str] = ()
    max_bytes: int = 50 * 1024 * 1024
    max_redirects: int = 5
    connect_timeout: float = 10.0
    read_timeout: float = 30.0
    deadline: float = 300.0
    proxy: str | None = field(default=None, repr=False)
    ca_file: Path | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "hosts", frozenset(_pattern(host) for host in self.hosts))
        object.__setattr__(self, "private_origins", frozenset(_private_origin(place) for place in self.private_origins))
        object.__setattr__(self, "schemes", frozenset(self.schemes))
        object.__setattr__(self, "ports", frozenset(self.ports))
        if not _SCHEMES.issuperset(self.schemes):
            raise ConfigurationError("Downloads support only the schemes https and http.")
        if min(self.max_bytes, self.connect_timeout, self.read_timeout, self.deadline) <= 0 or self.max_redirects < 0:
            raise ConfigurationError("Limits and time-outs of downloads must be greater than 0.")
        if self.proxy is not None:
            _check_proxy(self.proxy)

    def allows_host(self, host: str) -> bool:
        """Whether a canonical host is listed, or is below a listed suffix."""
        if host in self.hosts:
            return True
        if literal_address(host):
            return False
        return any(host.endswith(listed) for listed in self.hosts if listed.startswith("."))

    def is_private_origin(self, host: str, port: int) -> bool:
        """Whether a canonical host with this port is listed as a private origin."""
        return place_text(host, port) in self.private_origins


def place_text(host: str, port: int | None) -> str:
    """`host:port`, or only the host. IPv6 addresses get brackets."""
    name = f"[{host}]" if ":" in host else host
    return name if port is None else f"{name}:{port}"


def _pattern(text: str) -> str:
    dot, name = ("." if text.startswith(".") else ""), text.removeprefix(".")
    try:
        host = canonical_host(name)
    except ValueError as error:
        raise ConfigurationError(f"The allowed host {text!r} is not a host: {error}.") from None
    if dot and ("." not in host or literal_address(host)):
        raise ConfigurationError(f"The suffix {text!r} allows too many hosts. It needs at least two labels.")
    return dot + host


def _private_origin(text: str) -> str:
    try:
        host, port = split_place(text)
    except ValueError as error:
        raise ConfigurationError(f"The private origin {text!r} is not host:port: {error}.") from None
    if port is None:
        raise ConfigurationError(f"The private origin {text!r} has no port.")
    return place_text(host, port)


def _check_proxy(url: str) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in _SCHEMES and bool(parts.hostname) and (parts.port or 80) > 0
    except ValueError:
        good = False
    if not good:  # the message does not quote the URL, which may contain a password
        raise ConfigurationError("The proxy of downloads is not an http(s) URL.")
