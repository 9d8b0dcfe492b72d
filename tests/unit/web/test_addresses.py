"""Which addresses may be connected to."""

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from library.contracts.web import AddressNotAllowed, DownloadUnavailable
from library.web.addresses import address_allowed, checked_addresses, system_resolver

NOT_PUBLIC = [
    "0.0.0.0",  # noqa: S104 - an address, not a bind
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.2.1",
    "192.168.0.1",
    "192.88.99.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
]
NOT_PUBLIC_6 = [
    "::",
    "::1",
    "::7f00:1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "ff0e::1",
    "2001:db8::1",
    "2001:0:5ef5:79fd::1",
    "5f00::1",
    "100::1",
    "64:ff9b:1::7f00:1",
    "2002:808:808::1",
]


@pytest.mark.parametrize("address", NOT_PUBLIC + NOT_PUBLIC_6)
def test_an_address_that_is_not_public_is_not_connected_to(address: str) -> None:
    with pytest.raises(AddressNotAllowed):
        checked_addresses("name", [address], private=False)


@pytest.mark.parametrize("inside", NOT_PUBLIC)
def test_an_address_that_hides_in_another_is_not_connected_to(inside: str) -> None:
    number = int(IPv4Address(inside))
    for outside in (0xFFFF << 32, 0, 0x64_FF9B << 96, 0x2002 << 112 | number << 80):
        assert not address_allowed(IPv6Address(outside | number), private=False)


@pytest.mark.parametrize("address", ["8.8.8.8", "::ffff:8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_a_public_address_is_connected_to(address: str) -> None:
    assert checked_addresses("name", [address], private=False) == [ip_address(address)]


@given(st.ip_addresses())
def test_what_may_be_connected_to_is_global_and_for_one(address: IPv4Address | IPv6Address) -> None:
    if address_allowed(address, private=False):
        assert address.is_global
        assert not address.is_multicast


@pytest.mark.parametrize("answers", [["8.8.8.8", "10.0.0.1"], ["::1", "8.8.8.8"], ["8.8.8.8", "::ffff:127.0.0.1"]])
def test_one_private_address_among_public_ones_refuses_them_all(answers: list[str]) -> None:
    with pytest.raises(AddressNotAllowed):
        checked_addresses("name", answers, private=False)


def test_a_name_without_any_address_is_unavailable() -> None:
    with pytest.raises(DownloadUnavailable):
        checked_addresses("name", [], private=False)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "::1", "fd00::1", "8.8.8.8"])
def test_a_listed_private_origin_may_be_private(address: str) -> None:
    assert address_allowed(ip_address(address), private=True)


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "fe80::1", "fd00:ec2::254", "::ffff:169.254.169.254", "100.100.100.200", "224.0.0.1", "::",
     "0.0.0.0", "64:ff9b::7f00:1"],  # noqa: S104 - an address, not a bind
)  # fmt: skip
def test_not_even_a_listed_private_origin_may_be_a_metadata_address(address: str) -> None:
    assert not address_allowed(ip_address(address), private=True)


async def test_the_system_resolves_names(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "127.0.0.1" in await system_resolver("localhost", 80)

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(DownloadUnavailable, match="does not resolve"):
        await system_resolver("nowhere.example.org", 80)
