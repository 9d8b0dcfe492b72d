"""Writes hosts in one canonical form, so that the host that is checked is the host that is used."""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

type IpAddress = IPv4Address | IPv6Address

_NAME = re.compile(r"(?=.{1,253}\Z)(?:(?!-)[a-z0-9_-]{1,63}(?<!-)\.)*(?!-)[a-z0-9_-]{1,63}(?<!-)\Z")
_NUMBER = re.compile(r"0x[0-9a-f]*\Z|[0-9]+\Z")
_PLACE = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[^\[\]:@%]+))(?::(?P<port>[0-9]{0,5}))?\Z")


def canonical_host(text: str) -> str:
    """A host name in lower case, as ASCII, without the last dot; or an address in its usual form, IPv6 without [].

    Numeric forms are read as the C library and browsers do: `2130706433`, `0x7f.1` and `127.1` are `127.0.0.1`. An
    IPv4 address inside an IPv6 one (`::ffff:…`) becomes the IPv4 address.

    Raises:
        ValueError: the text is not a host.
    """
    if ":" in text:
        six = IPv6Address(text)
        if six.scope_id is not None:
            raise ValueError("an address with a zone")
        return str(six.ipv4_mapped or six)
    name = text.lower() if text.isascii() else text.encode("idna").decode("ascii").lower()
    name = name.removesuffix(".")
    if not _NAME.match(name):
        raise ValueError("not a host name")
    return str(_numeric(name)) if _NUMBER.match(name.rpartition(".")[2]) else name


def split_place(text: str) -> tuple[str, int | None]:
    """The canonical host and the port of `host`, `host:port` or `[IPv6]:port`.

    Raises:
        ValueError: the text has another form, for example with credentials.
    """
    found = _PLACE.match(text)
    if found is None:
        raise ValueError("not a host with a port")
    port = int(found["port"]) if found["port"] else None
    if port is not None and not 0 < port < 1 << 16:
        raise ValueError("no such port")
    return canonical_host(found["six"] or found["name"]), port


def literal_address(host: str) -> IpAddress | None:
    """The address if a canonical host is one, or `None` for a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def _numeric(name: str) -> IPv4Address:
    """Read one to four numbers. The last one fills the remaining bytes: `127.1`, `0177.0.0.1`, `0x7f000001`."""
    parts = name.split(".")
    if len(parts) > 4 or not all(_NUMBER.match(part) for part in parts):
        raise ValueError("not an address")
    *first, last = (_number(part) for part in parts)
    if any(number > 0xFF for number in first) or last >= 1 << (8 * (4 - len(first))):
        raise ValueError("not an address")
    return IPv4Address(last + sum(number << (8 * (3 - place)) for place, number in enumerate(first)))


def _number(text: str) -> int:
    if text.startswith("0x"):
        return int(text[2:] or "0", 16)
    return int(text, 8 if len(text) > 1 and text.startswith("0") else 10)
