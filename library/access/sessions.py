"""Browser sessions: an encrypted text with a token's id (never the token) and the time when the session ends."""

import base64
import json
import time
from typing import Any
from uuid import UUID

from library.access.encryption import KeyRing, KeyRingFile, UnreadablePayload

_LABEL = b"|session"
"""The label of the encryption. It makes sure that a payload of Temporal cannot be used as a session, or the reverse."""


class Sessions:
    """Encrypts and decrypts sessions. Processes with the same key ring accept each other's sessions.

    Attributes:
        seconds: how long a session lasts. It ends sooner when its token is revoked.
    """

    def __init__(self, ring: KeyRing | KeyRingFile, *, seconds: float) -> None:
        self._ring = ring
        self.seconds = seconds

    def seal(self, token_id: UUID) -> str:
        """Begin a session, and return its text."""
        content = json.dumps({"token": str(token_id), "until": time.time() + self.seconds}).encode()
        name, sealed = self._ring.encrypt(content, label=_LABEL)
        return f"{name}.{base64.urlsafe_b64encode(sealed).decode()}"

    def token_id(self, session: str) -> UUID | None:
        """The id of the session's token; `None`: the session is not valid, or has ended."""
        name, _, sealed = session.partition(".")
        try:
            plain = self._ring.decrypt(name, base64.urlsafe_b64decode(sealed), label=_LABEL)
            content: dict[str, Any] = json.loads(plain)
        except (UnreadablePayload, ValueError):
            return None
        return UUID(content["token"]) if content["until"] > time.time() else None
