"""Settings that would allow something else than they say."""

from typing import Any

import pytest

from library.contracts.errors import ConfigurationError
from library.web.guard import Guard


@pytest.mark.parametrize(
    "wrong",
    [
        {"hosts": ("*",)},
        {"hosts": ("",)},
        {"hosts": (".",)},
        {"hosts": (".uk",)},
        {"hosts": (".0.0.1",)},
        {"hosts": ("https://www.example.org",)},
        {"hosts": ("www.example.org:443",)},
        {"hosts": ("*.example.org",)},
        {"schemes": ("https", "ftp")},
        {"private_origins": ("localhost",)},
        {"private_origins": ("http://localhost:80",)},
        {"private_origins": ("10.0.0.0/8:80",)},
        {"private_origins": ("*:80",)},
        {"max_bytes": 0},
        {"deadline": 0},
        {"read_timeout": -1},
        {"max_redirects": -1},
        {"proxy": "proxy:3128"},
        {"proxy": "socks5://proxy:3128"},
        {"proxy": "http://proxy:99999"},
    ],
)
def test_a_guard_is_not_made_of_what_it_cannot_check(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Guard(**{"hosts": (), **wrong})


def test_the_proxys_password_is_in_no_text() -> None:
    assert "secret" not in repr(Guard(hosts=(), proxy="http://me:secret@proxy:3128"))
    with pytest.raises(ConfigurationError) as caught:
        Guard(hosts=(), proxy="ftp://me:secret@proxy")
    assert "secret" not in caught.value.message


def test_listed_hosts_are_compared_in_one_form() -> None:
    guard = Guard(hosts=("WWW.Example.ORG.", ".Files.example.org"), private_origins=("[::1]:80", "LOCALHOST:81"))
    assert guard.allows_host("www.example.org")
    assert guard.allows_host("a.files.example.org")
    assert guard.is_private_origin("::1", 80)
    assert guard.is_private_origin("localhost", 81)
    assert not guard.is_private_origin("localhost", 80)
