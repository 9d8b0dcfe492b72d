"""What a download may reach and how much it may take. Made from the settings once; every check asks it."""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from library.contracts.errors import ConfigurationError
from library.web.hosts import canonical_host, literal_address, split_place

_SCHEMES = frozenset({"https", "http"})


@dataclass(frozen=True, kw_only=True)
class Guard:
    """Limits of downloads.

    Attributes:
        hosts: allowed ones: `www.example.org` is that host alone, `.example.org` all below it, but not itself.
        schemes: `http` only where it is said; a redirect never leads from https to http.
        ports: at allowed hosts. `http` at its usual place needs 80 here too.
        private_origins: `host:port` that may have private or loopback addresses: these and no others. Only a caller's
            URL leads there, never a redirect from elsewhere, and never through the proxy.
        max_bytes: of the file.
        max_redirects: before it counts as endless.
        connect_timeout: seconds for one address, and for TLS.
        read_timeout: seconds without a single byte.
        deadline: seconds for all of it: names, redirects and the last byte.
        proxy: http(s) URL, with credentials if need be, of the egress proxy that everything but private origins goes
            through. Names are then resolved and addresses checked there, not here.
        ca_file: PEM of authorities to trust beside the usual ones, such as an inspecting proxy's.

    Raises:
        ConfigurationError: a value that would allow nothing, or something else than it says.
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
            raise ConfigurationError("Downloads know the schemes https and http, and no others.")
        if min(self.max_bytes, self.connect_timeout, self.read_timeout, self.deadline) <= 0 or self.max_redirects < 0:
            raise ConfigurationError("Limits and time-outs of downloads are numbers above 0.")
        if self.proxy is not None:
            _check_proxy(self.proxy)

    def allows_host(self, host: str) -> bool:
        """Whether a canonical host is listed, or stands below a listed suffix."""
        if host in self.hosts:
            return True
        if literal_address(host):
            return False
        return any(host.endswith(listed) for listed in self.hosts if listed.startswith("."))

    def is_private_origin(self, host: str, port: int) -> bool:
        """Whether a canonical host with this very port is listed as a private origin."""
        return place_text(host, port) in self.private_origins


def place_text(host: str, port: int | None) -> str:
    """`host:port`, with brackets around IPv6; without a port where there is none."""
    name = f"[{host}]" if ":" in host else host
    return name if port is None else f"{name}:{port}"


def _pattern(text: str) -> str:
    dot, name = ("." if text.startswith(".") else ""), text.removeprefix(".")
    try:
        host = canonical_host(name)
    except ValueError as error:
        raise ConfigurationError(f"The allowed host {text!r} is no host: {error}.") from None
    if dot and ("." not in host or literal_address(host)):
        raise ConfigurationError(f"The allowed host {text!r} is a suffix of too much: at least two labels are needed.")
    return dot + host


def _private_origin(text: str) -> str:
    try:
        host, port = split_place(text)
    except ValueError as error:
        raise ConfigurationError(f"The private origin {text!r} is not host:port: {error}.") from None
    if port is None:
        raise ConfigurationError(f"The private origin {text!r} names no port.")
    return place_text(host, port)


def _check_proxy(url: str) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in _SCHEMES and bool(parts.hostname) and (parts.port or 80) > 0
    except ValueError:
        good = False
    if not good:  # without the URL, which may hold a password
        raise ConfigurationError("The proxy of downloads is no http(s) URL.")
