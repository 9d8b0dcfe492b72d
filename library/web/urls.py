"""What a URL shows by itself, without any network: the check that the API does before it takes a run on."""

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from library.contracts.web import UrlNotAllowed
from library.web.addresses import address_allowed
from library.web.guard import Guard, place_text
from library.web.hosts import Address, literal_address, split_place

_DEFAULT_PORTS = {"https": 443, "http": 80}
_LONGEST = 4_096
_SHOWN = 300
# Parsers disagree about these, or drop them silently: a backslash, blanks and controls (also those above ASCII).
_AMBIGUOUS = re.compile(r"[\x00-\x20\x7f-\xa0\\\u2028\u2029\ufeff]")
_PATH = "/%:@!$&'()*+,;=~"
_QUERY = _PATH + "?[]"


@dataclass(frozen=True)
class CheckedUrl:
    """A URL that may be asked for, in the parts that are then used: nothing is parsed a second time.

    Attributes:
        host: canonical, IPv6 without brackets.
        target: path and query, in ASCII.
        private: whether it is one of the listed private origins.
        address: the host, where it is an address.
    """

    scheme: str
    host: str
    port: int
    target: str
    private: bool
    address: Address | None

    @property
    def place(self) -> str:
        """Host and port as a Host header has them."""
        return place_text(self.host, None if self.port == _DEFAULT_PORTS[self.scheme] else self.port)

    @property
    def shown(self) -> str:
        """The URL as people, logs and errors see it: without its query, and cut."""
        return f"{self.scheme}://{self.place}{self.target.partition('?')[0]}"[:_SHOWN]


def check_url(url: str, guard: Guard) -> CheckedUrl:
    """Check scheme, credentials, host, port, and the address where the host is one.

    Raises:
        UrlNotAllowed: the URL must not be asked for. Nothing of it but its host is in the text.
    """
    parts = _split(url)
    if parts.scheme not in guard.schemes:
        raise UrlNotAllowed(f"Only URLs that begin with {' or '.join(sorted(guard.schemes))}:// are downloaded.")
    if "@" in parts.netloc:
        raise UrlNotAllowed("The URL holds credentials.", advice="Give the URL without a user name or password.")
    try:
        host, port = split_place(parts.netloc)
    except ValueError:
        raise UrlNotAllowed("The URL names no host, or one that cannot be.") from None
    port = port or _DEFAULT_PORTS[parts.scheme]
    private, address = guard.is_private_origin(host, port), literal_address(host)
    if not private and not guard.allows_host(host):
        raise UrlNotAllowed(f"The host {host} is not one of those that files are downloaded from.")
    if not private and port not in guard.ports:
        raise UrlNotAllowed(f"Port {port} of {host} is not one that files are downloaded from.")
    if address is not None and not address_allowed(address, private=private):
        raise UrlNotAllowed(f"The address {host} is not a public one.")
    target = quote(parts.path or "/", safe=_PATH) + ("?" + quote(parts.query, safe=_QUERY) if parts.query else "")
    return CheckedUrl(parts.scheme, host, port, target, private, address)


def redirected(here: CheckedUrl, location: str, guard: Guard) -> CheckedUrl:
    """Where a redirect leads, checked like any other URL, and that it leads to nothing less safe.

    Raises:
        UrlNotAllowed: it must not be followed.
    """
    try:
        # Blanks in a path are common in the wild, and no danger in a place that is quoted anyway.
        there = check_url(urljoin(_absolute(here), location.strip(" ").replace(" ", "%20")), guard)
    except UrlNotAllowed as error:
        raise UrlNotAllowed(f"{here.shown} redirects to a URL that is not allowed. {error.message}") from None
    except ValueError:
        raise UrlNotAllowed(f"{here.shown} redirects to something that is no URL.") from None
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
        raise UrlNotAllowed("The URL holds a blank, a control character or a backslash.")
    try:
        url.encode()
        return urlsplit(url)
    except ValueError:
        raise UrlNotAllowed("This is no URL.") from None
