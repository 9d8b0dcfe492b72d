import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from library.access.encryption import KeyRing, UnreadablePayload
from library.contracts.errors import ConfigurationError

KEYS = {"old": b"a" * 32, "new": b"b" * 32}


def test_what_was_encrypted_before_a_change_of_keys_stays_readable() -> None:
    name, sealed = KeyRing("old", KEYS).encrypt(b"secret")
    assert name == "old"
    assert b"secret" not in sealed
    assert KeyRing("new", KEYS).decrypt(name, sealed) == b"secret"


def test_the_same_bytes_are_never_encrypted_the_same() -> None:
    ring = KeyRing("old", KEYS)
    assert ring.encrypt(b"x") != ring.encrypt(b"x")


def test_a_payload_under_an_unknown_key_says_which_key_is_missing() -> None:
    name, sealed = KeyRing("old", KEYS).encrypt(b"x")
    with pytest.raises(UnreadablePayload, match="'old'"):
        KeyRing("new", {"new": KEYS["new"]}).decrypt(name, sealed)


def test_an_altered_payload_or_key_name_is_refused() -> None:
    ring = KeyRing("old", KEYS | {"same": KEYS["old"]})
    name, sealed = ring.encrypt(b"x")
    with pytest.raises(UnreadablePayload):
        ring.decrypt(name, sealed[:-1] + bytes([sealed[-1] ^ 1]))
    with pytest.raises(UnreadablePayload):
        ring.decrypt("same", sealed)
    for short in (b"", sealed[:3], sealed[:12]):
        with pytest.raises(UnreadablePayload):
            ring.decrypt(name, short)


def test_processes_that_make_the_ring_at_once_share_one(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "keys.json"
    with ThreadPoolExecutor(8) as threads:
        rings = list(threads.map(lambda _: KeyRing.read_or_make(file), range(8)))
    assert len({ring.current for ring in rings}) == 1
    assert len({ring.keys[ring.current] for ring in rings}) == 1
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"current": "a", "keys": {}}', json.dumps({"current": "a", "keys": {"a": "c2hvcnQ="}})],
)
def test_a_damaged_ring_is_refused_with_a_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / "keys.json").write_text(content)
    with pytest.raises(ConfigurationError):
        KeyRing.read(tmp_path / "keys.json")


def test_a_missing_ring_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        KeyRing.read(tmp_path / "keys.json")
    assert "wardflow migrate" in refusal.value.advice


def test_keys_are_in_no_text_of_the_ring() -> None:
    assert "aaaa" not in repr(KeyRing("old", KEYS))
