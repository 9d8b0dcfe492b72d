"""Checks URLs without any network. The API does this before it starts a run."""

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from library.contracts.web import UrlNotAllowed
from library.web.addresses import address_allowed
from library.web.guard import Guard, place_text
from library.web.hosts import IpAddress, literal_address, split_place

_DEFAULT_PORTS = {"https": 443, "http": 80}
_LONGEST = 4_096
_SHOWN = 300
# URL parsers treat these differently or drop them: backslashes, blanks, control characters (also above ASCII).
_AMBIGUOUS = re.compile(r"[\x00-\x20\x7f-\xa0\\\u2028\u2029\ufeff]")
_PATH = "/%:@!$&'()*+,;=~"
_QUERY = _PATH + "?[]"


@dataclass(frozen=True)
class CheckedUrl:
    """An allowed URL, in parts. The request uses these parts, so the URL is parsed only once.

    Attributes:
        host: the canonical host, IPv6 without brackets.
        target: path and query, in ASCII.
        private: whether the origin is one of the listed private origins.
        address: the host's address, if the host is one.
    """

    scheme: str
    host: str
    port: int
    target: str
    private: bool
    address: IpAddress | None

    @property
    def place(self) -> str:
        """Host and port as in a Host header."""
        return place_text(self.host, None if self.port == _DEFAULT_PORTS[self.scheme] else self.port)

    @property
    def shown(self) -> str:
        """The URL for people, logs and errors: without its query, and shortened."""
        return f"{self.scheme}://{self.place}{self.target.partition('?')[0]}"[:_SHOWN]


def check_url(url: str, guard: Guard) -> CheckedUrl:
    """Check a URL: scheme, credentials, host, port, and the address if the host is one.

    Raises:
        UrlNotAllowed: the URL is not allowed. The text contains only its host.
    """
    parts = _split(url)
    if parts.scheme not in guard.schemes:
        raise UrlNotAllowed(f"Only URLs that begin with {' or '.join(sorted(guard.schemes))}:// are downloaded.")
    if "@" in parts.netloc:
        raise UrlNotAllowed("The URL contains credentials.", advice="Give the URL without a user name or password.")
    try:
        host, port = split_place(parts.netloc)
    except ValueError:
        raise UrlNotAllowed("The URL has no host, or a host that is not valid.") from None
    port = port or _DEFAULT_PORTS[parts.scheme]
    private, address = guard.is_private_origin(host, port), literal_address(host)
    if not private and not guard.allows_host(host):
        raise UrlNotAllowed(f"The host {host} is not one of the allowed hosts.")
    if not private and port not in guard.ports:
        raise UrlNotAllowed(f"Port {port} of {host} is not one of the allowed ports.")
    if address is not None and not address_allowed(address, private=private):
        raise UrlNotAllowed(f"The address {host} is not public.")
    target = quote(parts.path or "/", safe=_PATH) + ("?" + quote(parts.query, safe=_QUERY) if parts.query else "")
    return CheckedUrl(parts.scheme, host, port, target, private, address)


def redirected(here: CheckedUrl, location: str, guard: Guard) -> CheckedUrl:
    """Check the target of a redirect as any URL, and that it is not less safe than the URL before it.

    Raises:
        UrlNotAllowed: the redirect must not be followed.
    """
    try:
        # Servers often send blanks in a path. They are safe here, since the path is quoted.
        there = check_url(urljoin(_absolute(here), location.strip(" ").replace(" ", "%20")), guard)
    except UrlNotAllowed as error:
        raise UrlNotAllowed(f"{here.shown} redirects to a URL that is not allowed. {error.message}") from None
    except ValueError:
        raise UrlNotAllowed(f"{here.shown} redirects to something that is not a URL.") from None
    if here.scheme == "https" and there.scheme != "https":
        raise UrlNotAllowed(f"{here.shown} redirects from https to http.")
    if there.private and not here.private:
        raise UrlNotAllowed(f"{here.shown} redirects to a private server, {there.place}.")
    return there


def _absolute(url: CheckedUrl) -> str:
    return f"{url.scheme}://{url.place}{url.target}"


def _split(url: str) -> SplitResult:
    if len(url) > _LONGEST:
        raise UrlNotAllowed(f"The URL has more than {_LONGEST:,} characters.")
    if _AMBIGUOUS.search(url):
        raise UrlNotAllowed("The URL contains a blank, a control character or a backslash.")
    try:
        url.encode()
        return urlsplit(url)
    except ValueError:
        raise UrlNotAllowed("This is not a URL.") from None
