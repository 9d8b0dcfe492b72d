"""Sessions of browsers: a text that seals a token's id, never the token, and says until when it counts."""

import base64
import json
import time
from typing import Any
from uuid import UUID

from library.access.encryption import KeyRing, KeyRingFile, UnreadablePayload

_LABEL = b"|session"
"""Authenticated with what is sealed: no payload of Temporal's can pass as a session, and no session as a payload."""


class Sessions:
    """Seals and opens sessions; all processes that share the key ring know each other's.

    Attributes:
        seconds: how long a session lasts at most; it ends at once when its token is revoked.
    """

    def __init__(self, ring: KeyRing | KeyRingFile, *, seconds: float) -> None:
        self._ring = ring
        self.seconds = seconds

    def seal(self, token_id: UUID) -> str:
        """Begin a session."""
        told = json.dumps({"token": str(token_id), "until": time.time() + self.seconds}).encode()
        name, sealed = self._ring.encrypt(told, label=_LABEL)
        return f"{name}.{base64.urlsafe_b64encode(sealed).decode()}"

    def token_id(self, session: str) -> UUID | None:
        """Whose session it is; `None` for one that was not sealed here, or is over."""
        name, _, sealed = session.partition(".")
        try:
            told: dict[str, Any] = json.loads(self._ring.decrypt(name, base64.urlsafe_b64decode(sealed), label=_LABEL))
        except (UnreadablePayload, ValueError):
            return None
        return UUID(told["token"]) if told["until"] > time.time() else None
