"""What a URL shows by itself."""

import ipaddress
import string
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from library.contracts.web import UrlNotAllowed
from library.web.guard import Guard
from library.web.urls import CheckedUrl, check_url, redirected

GUARD = Guard(hosts=("www.example.org", ".files.example.org", "münchen.example", "8.8.8.8", "127.0.0.1", "10.1.2.3"))
BOTH = Guard(hosts=GUARD.hosts, schemes=("https", "http"), ports=(443, 80), private_origins=("10.0.0.5:8080",))


def refusal(url: str, guard: Guard = GUARD) -> str:
    with pytest.raises(UrlNotAllowed) as caught:
        check_url(url, guard)
    return caught.value.message


@pytest.mark.parametrize(
    ("url", "host", "target"),
    [
        ("https://www.example.org/a/b.xlsx?c=d&e=%20#f", "www.example.org", "/a/b.xlsx?c=d&e=%20"),
        ("https://www.example.org", "www.example.org", "/"),
        ("https://www.example.org?c", "www.example.org", "/?c"),
        ("HTTPS://WWW.Example.ORG:443/A", "www.example.org", "/A"),
        ("https://www.example.org./", "www.example.org", "/"),
        ("https://www.example.org:/", "www.example.org", "/"),
        ("https://one.two.files.example.org/", "one.two.files.example.org", "/"),
        ("https://MÜNCHEN.example/", "xn--mnchen-3ya.example", "/"),
        ("https://xn--mnchen-3ya.example/", "xn--mnchen-3ya.example", "/"),
        ("https://\uff57\uff57\uff57\u3002example\u3002org/", "www.example.org", "/"),
        ("https://www.example.org/Größe/ä?ö=ü", "www.example.org", "/Gr%C3%B6%C3%9Fe/%C3%A4?%C3%B6=%C3%BC"),
        ("https://8.8.8.8/", "8.8.8.8", "/"),
        ("https://0x08080808/", "8.8.8.8", "/"),
    ],
)
def test_an_allowed_host_passes_however_it_is_written(url: str, host: str, target: str) -> None:
    checked = check_url(url, GUARD)
    assert (checked.host, checked.port, checked.target, checked.private) == (host, 443, target, False)


@pytest.mark.parametrize(
    "host",
    [
        "example.org",
        "evil.org",
        "www.example.org.evil.org",
        "evilwww.example.org",
        "files.example.org",  # a suffix is what stands below it
        "evilfiles.example.org",
        "www.example.org%2eevil.org",
        "www.example.org\uff0fevil.org",
        "www..example.org",
        ".www.example.org",
        "-.files.example.org",
        "a" * 64 + ".files.example.org",
        "a." * 130 + "files.example.org",
        "ä" * 300 + ".files.example.org",
        "localhost",
        "",
        ".",
        "[www.example.org]",
        "[::1]www.example.org",
        "[v1.a]",
    ],
)
def test_a_host_that_is_not_listed_does_not_pass(host: str) -> None:
    refusal(f"https://{host}/")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0X7F.1",
        "127.1",
        "127.0.1",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.1.",
        "\uff11\uff12\uff17.0.0.1",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:FFFF:7F00:0001]",
        "10.1.2.3",
        "10.66051",
    ],
)
def test_a_listed_address_that_is_private_does_not_pass_in_any_form(host: str) -> None:
    assert "not public" in refusal(f"https://{host}/")


@pytest.mark.parametrize(
    "host",
    [
        "[::1]",
        "[::]",
        "0",
        "0.0.0.0",  # noqa: S104 - an address, not a bind
        "169.254.169.254",
        "[fe80::1]",
        "[fe80::1%25eth0]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[::7f00:1]",
        "256.0.0.1",
        "1.2.3.4.5",
        "0x100000000",
        "4294967296",
        "08.8.8.8",
        "8.8.8.8.0x",
        "a.1",
    ],
)
def test_other_forms_of_addresses_are_no_way_in(host: str) -> None:
    refusal(f"https://{host}/")
    refusal(f"http://{host}/", BOTH)


@pytest.mark.parametrize("number", [0x7F000001, 0x0A010203])
def test_every_numeric_form_of_a_private_address_is_that_address(number: int) -> None:
    quads = number.to_bytes(4)
    forms = [f"{number}", f"{number:#x}", f"0{number:o}", f"{quads[0]}.{number & 0xFFFFFF}"]
    forms += [f"{quads[0]:#x}.0{quads[1]:o}.{number & 0xFFFF}", ".".join(f"0{quad:o}" for quad in quads)]
    for form in forms:
        assert "not public" in refusal(f"https://{form}/"), form


@pytest.mark.parametrize(
    "url",
    [
        "http://www.example.org/",
        "ftp://www.example.org/",
        "file:///etc/passwd",
        "//www.example.org/",
        "www.example.org/a",
        "javascript:alert(1)",
        "",
        "https:www.example.org",
        "https:///www.example.org",
        "https:\\\\www.example.org/",
        "https://evil.org\\@www.example.org/",
        "https://www.example.org\t/",
        "https://www.exam\nple.org/",
        " https://www.example.org/",
        "https://www.example.org/a b",
        "https://www.example.org/\x00",
        "https://www.example.org/\ud800",
        "https://[::1/",
        "https://www.example.org/" + "a" * 5_000,
    ],
)
def test_what_is_no_https_url_or_can_be_read_in_two_ways_does_not_pass(url: str) -> None:
    refusal(url)


@pytest.mark.parametrize("port", ["80", "8443", "0", "65536", "99999", "-1", "+443", "4٤3", "443:443", "a"])
def test_a_port_that_is_not_listed_does_not_pass(port: str) -> None:
    refusal(f"https://www.example.org:{port}/")


def test_credentials_are_named_as_the_reason() -> None:
    assert refusal("https://user:secret@www.example.org/") == "The URL contains credentials."


@pytest.mark.parametrize(
    "url",
    [
        "https://user:secret@www.example.org/",
        "https://secret@www.example.org/",
        "https://@www.example.org/",
        "https://www.example.org@evil.org/secret",
        "https://evil.org/?token=secret",
        "https://evil.org:99/secret#secret",
        "https://www.example.org:secret/",
        "secret:secret@www.example.org",
        "https://www.example.org/ secret",
    ],
)
def test_the_refusal_quotes_neither_credentials_nor_query(url: str) -> None:
    assert "secret" not in refusal(url)


def test_a_private_origin_passes_with_its_very_port_alone() -> None:
    assert check_url("http://10.0.0.5:8080/", BOTH).private
    assert check_url("http://0x0a.5:8080/", BOTH).private
    for other in ("http://10.0.0.5/", "http://10.0.0.5:80/", "http://10.0.0.6:8080/", "https://user@10.0.0.5:8080/"):
        refusal(other, BOTH)


def test_a_private_origin_is_asked_by_an_allowed_scheme_alone() -> None:
    refusal("http://10.0.0.5:8080/", Guard(hosts=(), private_origins=("10.0.0.5:8080",)))


def test_a_metadata_address_does_not_pass_even_as_a_private_origin() -> None:
    listed = Guard(hosts=(), schemes=("http",), private_origins=("169.254.169.254:80", "[fd00:ec2::254]:80"))
    assert "not public" in refusal("http://169.254.169.254/", listed)
    assert "not public" in refusal("http://[fd00:ec2::254]/", listed)


HERE = check_url("https://www.example.org/a/b?token=secret", BOTH)


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("c.xlsx", "https://www.example.org/a/c.xlsx"),
        ("/d e.xlsx?x=y", "https://www.example.org/d%20e.xlsx"),
        ("//a.files.example.org/", "https://a.files.example.org/"),
        ("https://WWW.example.org:443/f", "https://www.example.org/f"),
    ],
)
def test_a_redirect_is_resolved_and_checked_like_any_url(location: str, shown: str) -> None:
    assert redirected(HERE, location, BOTH).shown == shown


@pytest.mark.parametrize(
    "location",
    [
        "https://evil.org/",
        "//evil.org/",
        "http://169.254.169.254/latest/meta-data/",
        "https://user:pass@www.example.org/",
        "https://[::1",
        "file:///etc/passwd",
        "https://www.example.org/\ud800",
    ],
)
def test_a_redirect_to_what_is_not_allowed_is_not_followed(location: str) -> None:
    with pytest.raises(UrlNotAllowed, match=r"redirects to a URL|not a URL") as caught:
        redirected(HERE, location, BOTH)
    assert "secret" not in caught.value.message


def test_a_redirect_never_leads_from_https_to_http() -> None:
    with pytest.raises(UrlNotAllowed, match="from https to http"):
        redirected(HERE, "http://www.example.org/", BOTH)
    plain = check_url("http://www.example.org/", BOTH)
    assert redirected(plain, "https://www.example.org/", BOTH).scheme == "https"


def test_a_redirect_never_leads_from_a_public_host_to_a_private_origin() -> None:
    plain = check_url("http://www.example.org/", BOTH)
    with pytest.raises(UrlNotAllowed, match="private server"):
        redirected(plain, "http://10.0.0.5:8080/", BOTH)
    assert redirected(check_url("http://10.0.0.5:8080/", BOTH), "/there", BOTH).private


HOSTS = st.one_of(
    st.sampled_from(["www.example.org", "a.files.example.org", "münchen.example", "evil.org", "127.1", "[::1]", ""]),
    st.text(max_size=12),
    st.text(alphabet="0123456789abcdefx.:[]%-", max_size=20),
    st.ip_addresses().map(lambda address: f"[{address}]" if address.version == 6 else str(address)),
    st.integers(min_value=0, max_value=2**33).map(str),
)
PIECES = st.text(alphabet=string.printable + "äß\u3002\uff0f\uff20\u200b\ud800", max_size=12)
SCHEMES = st.sampled_from(["https://", "http://", "HTTPS://", "https:/", ""])
AFTER_HOST = st.sampled_from(["", ":443", ":80", ":", ":0", "@www.example.org", "\\", "."])
BEFORE_HOST = st.sampled_from(["@", ".", "/", "\\", ""])
AFTER_PLACE = st.sampled_from(["/", "?", "#", ""])
URLS = st.one_of(
    st.text(max_size=40),
    st.builds("{}{}{}{}{}".format, SCHEMES, HOSTS, AFTER_HOST, AFTER_PLACE, PIECES),
    st.builds("https://{}{}www.example.org{}{}".format, PIECES, BEFORE_HOST, AFTER_HOST, PIECES),
)


def assert_allowed(checked: CheckedUrl) -> None:
    assert checked.scheme == "https"
    assert checked.port == 443
    assert not checked.private
    assert checked.host in GUARD.hosts or checked.host.endswith(".files.example.org")
    assert checked.address is None or ipaddress.ip_address(checked.host).is_global
    assert checked.target.startswith("/")
    assert set(checked.target) <= set(string.ascii_letters + string.digits + string.punctuation) - set('\\"<>^`{|}#')


@given(URLS)
def test_no_url_passes_that_is_not_allowed_and_other_parsers_read_what_passes_alike(url: str) -> None:
    try:
        checked = check_url(url, GUARD)
    except UrlNotAllowed:
        return
    assert_allowed(checked)
    again = f"https://{checked.place}{checked.target}"
    assert httpx.URL(again).host in (checked.host, "münchen.example")
    assert urlsplit(again).hostname == checked.host


@given(URLS)
def test_no_redirect_leads_to_what_is_not_allowed(location: str) -> None:
    here = check_url("https://www.example.org/a/b", GUARD)
    try:
        assert_allowed(redirected(here, location, GUARD))
    except UrlNotAllowed:
        return
