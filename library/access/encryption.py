"""Encryption of payloads: AES-256-GCM with a key ring that all processes share.

The ring is a JSON file: `{"current": "k1", "keys": {"k1": "<base64 of 32 bytes>"}}`. To change keys, first add the new
key to the file on every machine. Then make it `current`. So every process can always read what another one wrote.
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
    """A payload cannot be decrypted: this process does not have its key, or the payload was changed."""

    default_advice = "Add the key that encrypted it to this process's key ring."


@dataclass(frozen=True)
class KeyRing:
    """Keys by name. `current` encrypts; all keys decrypt."""

    current: str
    keys: Mapping[str, bytes] = field(repr=False)

    def __post_init__(self) -> None:
        if self.current not in self.keys:
            raise ConfigurationError(f"The key ring's current key '{self.current}' is not among its keys.")
        if wrong := [name for name, key in self.keys.items() if len(key) != _KEY_BYTES]:
            raise ConfigurationError(f"Keys of the key ring do not have {_KEY_BYTES} bytes: {wrong}.")

    @classmethod
    def read(cls, file: Path) -> "KeyRing":
        """Read the ring from a file.

        Raises:
            ConfigurationError: the file is missing, or does not have the form above.
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
                advice="Restore it from a backup. Without its keys, the histories of runs can no longer be read.",
            ) from None

    @classmethod
    def read_or_make(cls, file: Path) -> "KeyRing":
        """Read the ring from a file, or create it with one new key. Two processes at once create one ring."""
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
                os.link(new, file)  # fails if another process was first; a rename would replace that process's ring
            except FileExistsError:
                pass
            finally:
                new.unlink()
        return cls.read(file)

    def encrypt(self, plain: bytes, *, label: bytes = b"") -> tuple[str, bytes]:
        """Encrypt with the current key.

        Returns:
            The key's name, and the nonce with the ciphertext. Name and label are authenticated, too.
        """
        nonce = secrets.token_bytes(_NONCE_BYTES)
        bound = self.current.encode() + label
        return self.current, nonce + AESGCM(self.keys[self.current]).encrypt(nonce, plain, bound)

    def decrypt(self, name: str, sealed: bytes, *, label: bytes = b"") -> bytes:
        """Decrypt bytes that were encrypted with this label.

        Raises:
            UnreadablePayload: the key is not in the ring, or the bytes or the label do not match.
        """
        if name not in self.keys:
            raise UnreadablePayload(f"A payload was encrypted with the key '{name}', which is not in the key ring.")
        try:
            return AESGCM(self.keys[name]).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], name.encode() + label)
        except (InvalidTag, ValueError):  # ValueError: the bytes are shorter than a nonce
            raise UnreadablePayload(
                "A payload does not match its key: it was changed, or encrypted with another key of this name."
            ) from None


class KeyRingFile:
    """A key ring that reads its file again when a payload names an unknown key."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._ring = KeyRing.read(file)

    def encrypt(self, data: bytes, *, label: bytes = b"") -> tuple[str, bytes]:
        """See `KeyRing.encrypt`."""
        return self._ring.encrypt(data, label=label)

    def decrypt(self, name: str, sealed: bytes, *, label: bytes = b"") -> bytes:
        """See `KeyRing.decrypt`."""
        if name not in self._ring.keys:
            self._ring = KeyRing.read(self._file)
        return self._ring.decrypt(name, sealed, label=label)
