"""Resolves host names, and checks which addresses a download may connect to."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from library.contracts.web import AddressNotAllowed, DownloadUnavailable
from library.web.hosts import IpAddress
from library.web.names import LOOK_AGAIN_AFTER, NAMES

type Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the addresses of a host name, in the order in which they are tried."""

_GLOBAL_UNICAST = IPv6Network("2000::/3")  # without it, `is_global` would take ::7f00:1 for a public address
_NAT64 = IPv6Network("64:ff9b::/96")
_RELAYS = IPv4Network("192.88.99.0/24")  # relays of 6to4, no longer in use
_PRIVATE = (
    IPv4Network("127.0.0.0/8"),
    IPv4Network("10.0.0.0/8"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.168.0.0/16"),
    IPv6Network("::1/128"),
    IPv6Network("fc00::/7"),
)
_LOOK_UP_MAY_TAKE = 10.0
"""Time limit of one look-up, in seconds. The system's resolver can wait much longer."""
_METADATA = ip_address("fd00:ec2::254")  # a cloud's metadata server; it is in a private range


def address_allowed(address: IpAddress, *, private: bool) -> bool:
    """Whether a download may connect to an address.

    Args:
        address: the address. An IPv4 address inside an IPv6 one is checked as IPv4.
        private: also allow private and loopback addresses, for a listed private origin. Link-local addresses, where
            clouds have their metadata servers, are never allowed.
    """
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if private and address != _METADATA and any(address in network for network in _PRIVATE):
        return True
    if isinstance(address, IPv4Address):
        return _is_public(address)
    if address in _NAT64:
        return _is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
    if address.sixtofour or address.teredo:
        return False  # old tunnels, whose relay can be anywhere
    return address in _GLOBAL_UNICAST and address.is_global and not address.is_multicast


def checked_addresses(host: str, answers: Sequence[str], *, private: bool) -> list[IpAddress]:
    """All addresses of a host, each of them checked.

    One private address among public ones refuses the host, since any of them could be used.

    Raises:
        AddressNotAllowed: one of the addresses is not allowed.
        DownloadUnavailable: the host has no address.
    """
    found = list(dict.fromkeys(ip_address(answer) for answer in answers))
    if not found:
        raise DownloadUnavailable(f"The host {host} has no address.")
    if not all(address_allowed(address, private=private) for address in found):
        raise AddressNotAllowed(f"The host {host} resolves to an address that is not public.")
    return found


async def system_resolver(host: str, port: int) -> Sequence[str]:
    """Resolve a name with the system's resolver, including `/etc/hosts`.

    Raises:
        DownloadUnavailable: the name does not resolve now, or the resolver does not answer.
        HostNotResolved: the name has not resolved for 15 seconds.
    """
    try:
        async with asyncio.timeout(_LOOK_UP_MAY_TAKE):
            answers = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        NAMES.failed(host)
        raise DownloadUnavailable(
            f"The name of the host {host} does not resolve.", retry_after=LOOK_AGAIN_AFTER
        ) from None
    NAMES.resolved(host)
    return [str(answer[4][0]) for answer in answers]


def _is_public(address: IPv4Address) -> bool:
    return address.is_global and not address.is_multicast and address not in _RELAYS
