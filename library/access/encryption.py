"""Encryption of payloads: AES-256-GCM under a key ring that all processes share.

The ring is a JSON file: `{"current": "k1", "keys": {"k1": "<base64 of 32 bytes>"}}`. To change keys, add one to the
file everywhere first, and only then make it `current`: every process can then read what any of them writes.
"""

import base64
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from library.contracts.errors import ConfigurationError, WardflowError

_KEY_BYTES = 32
_NONCE_BYTES = 12


class UnreadablePayload(WardflowError):
    """A payload that was encrypted with a key that this process does not have, or that was altered."""

    default_advice = "Add the key that encrypted it to this process's key ring."


@dataclass(frozen=True)
class KeyRing:
    """Keys by name; `current` encrypts, all decrypt."""

    current: str
    keys: Mapping[str, bytes] = field(repr=False)

    def __post_init__(self) -> None:
        if self.current not in self.keys:
            raise ConfigurationError(f"The key ring's current key '{self.current}' is not among its keys.")
        if wrong := [name for name, key in self.keys.items() if len(key) != _KEY_BYTES]:
            raise ConfigurationError(f"Keys of the key ring do not have {_KEY_BYTES} bytes: {wrong}.")

    @classmethod
    def read(cls, file: Path) -> "KeyRing":
        """The ring in a file.

        Raises:
            ConfigurationError: there is none, or it is not of the form above.
        """
        try:
            ring = json.loads(file.read_text())
            return cls(ring["current"], {name: base64.b64decode(key) for name, key in ring["keys"].items()})
        except FileNotFoundError:
            raise ConfigurationError(
                f"There is no key ring at {file}.",
                advice="Run `wardflow migrate` to make one, or set WARDFLOW_ENCRYPTION__KEY_RING to the one in use.",
            ) from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(
                f"The key ring at {file} cannot be read: {type(error).__name__}.",
                advice="Restore it from a backup: without its keys, the histories of runs cannot be read any more.",
            ) from None

    @classmethod
    def read_or_make(cls, file: Path) -> "KeyRing":
        """The ring in a file, made with one new key where there is none; two processes at once make one ring."""
        if not file.exists():
            key = base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()
            name = f"k{secrets.token_hex(4)}"
            new = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as stream:
                json.dump({"current": name, "keys": {name: key}}, stream)
                stream.flush()
                os.fsync(stream.fileno())
            try:
                os.link(new, file)  # fails where the other process was first; a rename would replace its ring
            except FileExistsError:
                pass
            finally:
                new.unlink()
        return cls.read(file)

    def encrypt(self, plain: bytes, *, label: bytes = b"") -> tuple[str, bytes]:
        """The current key's name, and nonce and ciphertext; name and label are authenticated with them."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        bound = self.current.encode() + label
        return self.current, nonce + AESGCM(self.keys[self.current]).encrypt(nonce, plain, bound)

    def decrypt(self, name: str, sealed: bytes, *, label: bytes = b"") -> bytes:
        """What was encrypted under this label.

        Raises:
            UnreadablePayload: the key is not in the ring, or the bytes are not what it encrypted.
        """
        if name not in self.keys:
            raise UnreadablePayload(f"A payload was encrypted with the key '{name}', which is not in the key ring.")
        try:
            return AESGCM(self.keys[name]).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], name.encode() + label)
        except (InvalidTag, ValueError):  # the latter where there are fewer bytes than a nonce has
            raise UnreadablePayload(
                "A payload does not match its key: it was altered, or encrypted elsewhere."
            ) from None


class KeyRingFile:
    """The key ring as its file has it: read again when something names a key that was added since."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._ring = KeyRing.read(file)

    def encrypt(self, data: bytes, *, label: bytes = b"") -> tuple[str, bytes]:
        """As the ring does."""
        return self._ring.encrypt(data, label=label)

    def decrypt(self, name: str, sealed: bytes, *, label: bytes = b"") -> bytes:
        """As the ring does."""
        if name not in self._ring.keys:
            self._ring = KeyRing.read(self._file)
        return self._ring.decrypt(name, sealed, label=label)
