"""Names that lead elsewhere: by a redirect, by DNS, by DNS at the second look, by the network."""

import datetime as dt
import ipaddress
import ssl
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from library.contracts.errors import ConfigurationError
from library.contracts.web import AddressNotAllowed, DownloadRefused, DownloadUnavailable, UrlNotAllowed
from library.web.connections import PinnedBackend
from library.web.download import download
from library.web.guard import Guard
from library.web.urls import check_url
from tests.unit.web.server import (
    PUBLIC,
    ZIP,
    Answers,
    Internet,
    Server,
    answer,
    everything_leads_to,
    redirect,
    serving,
)
from tests.unit.web.test_download import WORKBOOKS, fails

NAME = "files.example.org"


async def test_redirects_are_followed_and_told(server: Server, guard: Guard, tmp_path: Path) -> None:
    server.answers |= {"/1": redirect("2?token=secret", 301), "/2": redirect(server.url("/3"), 308), "/3": answer(ZIP)}
    done = await download(server.url("/1?secret"), tmp_path / "file", guard, expect=WORKBOOKS)
    assert done.redirects == (server.url("/1"), server.url("/2"))
    assert done.url == server.url("/3")
    assert server.paths == ["/1?secret", "/2?token=secret", "/3"]


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/?secret",
        "http://127.0.0.1:1/",
        "http://10.0.0.1/",
        "https://[::ffff:10.0.0.1]/",
        "http://2852039166/",
        "https://evil.org/?secret",
        "file:///etc/passwd",
    ],
)
async def test_a_redirect_elsewhere_is_not_followed(
    server: Server, guard: Guard, tmp_path: Path, location: str
) -> None:
    server.answers["/"] = redirect(location)
    await fails(UrlNotAllowed, server.url("/?secret"), tmp_path / "file", guard)
    assert len(server.requests) == 1


async def test_redirects_in_a_circle_end(server: Server, guard: Guard, tmp_path: Path) -> None:
    server.answers |= {"/1": redirect("/2"), "/2": redirect("/1?secret")}
    error = await fails(DownloadRefused, server.url("/1"), tmp_path / "file", guard)
    assert "more than 3 times" in error.message
    assert len(server.requests) == 4


async def test_no_redirect_at_all_is_followed_where_none_is_allowed(
    server: Server, guard: Guard, tmp_path: Path
) -> None:
    server.answers |= {"/1": redirect("/2"), "/2": answer(ZIP)}
    await fails(DownloadRefused, server.url("/1"), tmp_path / "file", replace(guard, max_redirects=0))
    assert server.paths == ["/1"]


async def test_a_public_host_does_not_redirect_to_a_listed_private_origin(
    server: Server, guard: Guard, tmp_path: Path
) -> None:
    server.answers |= {"/1": redirect(server.url("/2")), "/2": answer(ZIP)}
    here = {"resolver": everything_leads_to(PUBLIC), "backend": Internet(server)}
    await fails(UrlNotAllowed, f"http://{NAME}/1", tmp_path / "file", guard, **here)
    assert server.paths == ["/1"]


@pytest.mark.parametrize(
    "answers", [["10.0.0.1"], ["169.254.169.254"], [PUBLIC, "127.0.0.1"], ["::1"], ["64:ff9b::a00:1"], ["100.64.0.1"]]
)
async def test_a_name_with_any_private_address_is_not_connected_to(
    server: Server, guard: Guard, tmp_path: Path, answers: list[str]
) -> None:
    internet = Internet(server)
    here = {"resolver": everything_leads_to(*answers), "backend": internet}
    await fails(AddressNotAllowed, f"https://{NAME}/?secret", tmp_path / "file", guard, **here)
    assert internet.connected == []


async def test_a_listed_private_origin_by_name_is_resolved_and_checked_too(
    server: Server, guard: Guard, tmp_path: Path
) -> None:
    listed = replace(guard, private_origins=(f"localhost:{server.port}",))
    server.answers["/"] = answer(ZIP)
    url = f"http://localhost:{server.port}/"
    loopback = everything_leads_to("127.0.0.1")
    await download(url, tmp_path / "file", listed, expect=WORKBOOKS, resolver=loopback)
    metadata = everything_leads_to("169.254.169.254")
    await fails(AddressNotAllowed, url, tmp_path / "other", listed, resolver=metadata)


async def test_a_name_is_resolved_once_and_the_checked_address_is_the_connected_one(
    server: Server, guard: Guard, tmp_path: Path
) -> None:
    server.answers["/"] = answer(ZIP)
    internet, rebinding = Internet(server), Answers([PUBLIC], ["127.0.0.1"])
    await download(f"http://{NAME}/", tmp_path / "file", guard, expect=WORKBOOKS, resolver=rebinding, backend=internet)
    assert rebinding.asked == [NAME]
    assert internet.connected == [PUBLIC]
    assert f"Host: {NAME}\r\n" in server.requests[0]


async def test_a_name_that_leads_elsewhere_after_a_redirect_is_checked_again(
    server: Server, guard: Guard, tmp_path: Path
) -> None:
    server.answers |= {"/1": redirect("/2"), "/2": answer(ZIP)}
    internet, rebinding = Internet(server), Answers([PUBLIC], ["127.0.0.1"])
    here = {"resolver": rebinding, "backend": internet}
    await fails(AddressNotAllowed, f"http://{NAME}/1", tmp_path / "file", guard, **here)
    assert internet.connected == [PUBLIC]
    assert server.paths == ["/1"]


async def test_the_next_address_is_tried_where_one_is_down(server: Server, guard: Guard, tmp_path: Path) -> None:
    server.answers["/"] = answer(ZIP)
    internet = Internet(server, down=("2606:4700::1111", "2606:4700::1112"))
    addresses = everything_leads_to("2606:4700::1111", PUBLIC, PUBLIC)
    url = f"http://{NAME}/"
    await download(url, tmp_path / "file", guard, expect=WORKBOOKS, resolver=addresses, backend=internet)
    assert internet.connected == ["2606:4700::1111", PUBLIC]
    down = {"resolver": everything_leads_to("2606:4700::1111", "2606:4700::1112"), "backend": internet}
    await fails(DownloadUnavailable, url, tmp_path / "other", guard, **down)


@pytest.mark.parametrize("peer", ["127.0.0.1", "8.8.8.8", "::1"])
async def test_nothing_is_sent_where_a_connection_ends_at_another_address(
    server: Server, guard: Guard, tmp_path: Path, peer: str
) -> None:
    here = {"resolver": everything_leads_to(PUBLIC), "backend": Internet(server, peer=peer)}
    await fails(AddressNotAllowed, f"http://{NAME}/", tmp_path / "file", guard, **here)
    assert server.requests == []


async def test_a_connection_to_another_place_than_the_checked_one_is_not_made(server: Server, guard: Guard) -> None:
    internet = Internet(server)
    pinned = PinnedBackend(check_url(f"https://{NAME}/", guard), [ipaddress.ip_address(PUBLIC)], internet)
    for host, port in (("evil.org", 443), (NAME, 80)):
        with pytest.raises(AddressNotAllowed):
            await pinned.connect_tcp(host, port)
    assert internet.connected == []


async def test_a_proxy_gets_the_name_and_its_own_credentials_and_resolves_by_itself(
    server: Server, guard: Guard, tmp_path: Path
) -> None:
    url = f"http://{NAME}/a?b"
    proxied = replace(guard, proxy=f"http://me:s%40cret@{server.origin}")
    server.answers[f"http://{NAME}:80/a"] = answer(ZIP)
    asked = everything_leads_to(PUBLIC)
    await download(url, tmp_path / "file", proxied, expect=WORKBOOKS, resolver=asked)
    assert asked.asked == []
    assert f"GET http://{NAME}:80/a?b HTTP/1.1\r\nHost: {NAME}\r\n" in server.requests[0]
    assert "Proxy-Authorization: Basic bWU6c0BjcmV0" in server.requests[0]
    await fails(UrlNotAllowed, "https://evil.org/", tmp_path / "other", proxied)


async def test_a_proxy_that_lets_nothing_through_is_a_typed_error(server: Server, guard: Guard, tmp_path: Path) -> None:
    proxied = replace(guard, proxy=f"http://{server.origin}")
    server.answers[f"{NAME}:443"] = answer(b"", status=403)
    await fails(DownloadUnavailable, f"https://{NAME}/?secret", tmp_path / "file", proxied)
    assert server.requests[0].startswith(f"CONNECT {NAME}:443 HTTP/1.1")


async def test_a_private_origin_is_never_asked_through_the_proxy(server: Server, guard: Guard, tmp_path: Path) -> None:
    server.answers["/"] = answer(ZIP)
    proxied = replace(guard, proxy="http://127.0.0.1:1")
    await download(server.url("/"), tmp_path / "file", proxied, expect=WORKBOOKS)
    assert server.paths == ["/"]


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, Path]:
    """A server's side of TLS for a name, and the authority to trust for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
                key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
            ),
            critical=True,
        )
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    file = folder / f"{name}.pem"
    file.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context, file


async def test_tls_verifies_the_name_on_a_pinned_connection(guard: Guard, tmp_path: Path) -> None:
    tls, authority = certificate(tmp_path, NAME)
    asked_for: list[str | None] = []
    tls.sni_callback = lambda _socket, name, _context: asked_for.append(name)
    async with serving(tls) as server:
        server.answers |= {"/": answer(ZIP), "/down": redirect(f"http://{NAME}/")}
        here = {"resolver": everything_leads_to(PUBLIC), "backend": Internet(server)}
        trusting = replace(guard, hosts=(NAME, "other.example.org"), ca_file=authority)
        done = await download(
            f"https://{NAME}/", tmp_path / "file", trusting, expect=WORKBOOKS,
            resolver=everything_leads_to(PUBLIC), backend=Internet(server),
        )  # fmt: skip
        assert done.url == f"https://{NAME}/"
        assert asked_for == [NAME]
        other = await fails(DownloadRefused, "https://other.example.org/?secret", tmp_path / "1", trusting, **here)
        assert "not valid" in other.message
        await fails(DownloadRefused, f"https://{NAME}/", tmp_path / "2", guard, **here)
        assert len(server.requests) == 1
        await fails(UrlNotAllowed, f"https://{NAME}/down", tmp_path / "3", trusting, **here)


async def test_a_server_without_tls_is_unavailable_by_https(server: Server, guard: Guard, tmp_path: Path) -> None:
    here = {"resolver": everything_leads_to(PUBLIC), "backend": Internet(server)}
    await fails(DownloadUnavailable, f"https://{NAME}/", tmp_path / "file", replace(guard, connect_timeout=0.3), **here)


async def test_a_file_of_authorities_that_is_missing_is_a_matter_of_settings(guard: Guard, tmp_path: Path) -> None:
    wrong = replace(guard, ca_file=tmp_path / "missing.pem")
    await fails(ConfigurationError, f"https://{NAME}/", tmp_path / "file", wrong, resolver=everything_leads_to(PUBLIC))
