"""Credentials for FHIR servers: a bearer token of the settings, or one from a token server (client credentials)."""

import asyncio
import time
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx
import msgspec

from config.fhir import FhirServerSettings
from library.contracts.errors import ConfigurationError
from library.sources.fhir.errors import ServerBusy, ServerRefused
from library.web.names import LOOK_AGAIN_AFTER, NAMES, does_not_resolve
from library.web.retry_after import is_busy, retry_after

_EARLY = 30.0
"""A token is replaced this many seconds before it expires."""
_YOUNG = 10.0
"""If a token is refused in its first seconds, a new one would be refused too."""
_DEFAULT_LIFETIME = 300.0
"""Seconds that a token is used if its server does not state a lifetime."""


class _Granted(msgspec.Struct):
    access_token: str
    expires_in: float = _DEFAULT_LIFETIME


class ServerCredentials:
    """Makes the Authorization header for one server."""

    def __init__(self, server: FhirServerSettings, http: httpx.AsyncClient) -> None:
        if server.client_id and not (server.token_url and server.client_secret):
            raise ConfigurationError("A FHIR server's client_id needs client_secret and token_url beside it.")
        self._server = server
        self._http = http
        self._granted = ""
        self._since = self._until = 0.0
        self._asking = asyncio.Lock()

    async def headers(self) -> dict[str, str]:
        """The headers to add to a request.

        Raises:
            ServerRefused: the token server grants no token.
            ServerBusy: the token server does not answer now.
        """
        if self._server.token is not None:
            return {"Authorization": f"Bearer {self._server.token.get_secret_value()}"}
        if not self._server.client_id:
            return {}
        async with self._asking:
            if time.monotonic() >= self._until:
                await self._ask()
        return {"Authorization": f"Bearer {self._granted}"}

    def forget(self) -> bool:
        """Drop a token that was refused, and return whether a new one may help."""
        self._until = 0.0
        return bool(self._granted) and time.monotonic() - self._since > _YOUNG

    async def _ask(self) -> None:
        server = self._server
        secret = server.client_secret.get_secret_value() if server.client_secret else ""
        try:
            answer = await self._http.post(
                server.token_url or "",
                data={"grant_type": "client_credentials", "scope": server.scope},
                auth=(server.client_id or "", secret),
                headers={"Accept": "application/json"},
            )
        except httpx.HTTPError as error:
            if does_not_resolve(error):
                host = urlsplit(server.token_url or "").hostname or ""
                NAMES.failed(host)
                raise ServerBusy(
                    f"The name {host} of the token server does not resolve.", retry_after=LOOK_AGAIN_AFTER
                ) from None
            raise ServerBusy(f"The token server cannot be reached: {type(error).__name__}.") from None
        NAMES.resolved(urlsplit(server.token_url or "").hostname or "")
        if is_busy(answer.status_code):
            wait = retry_after(answer.headers.get("retry-after"), datetime.now(UTC))
            raise ServerBusy(f"The token server answered {answer.status_code}.", retry_after=wait)
        try:
            granted = msgspec.json.decode(answer.content, type=_Granted)
        except msgspec.MsgspecError:
            raise ServerRefused(
                f"The token server answered {answer.status_code} without a token.",
                status=answer.status_code,
                advice="Check client_id, client_secret, token_url and scope of the FHIR server in the settings.",
            ) from None
        self._granted = granted.access_token
        self._since = time.monotonic()
        self._until = self._since + max(granted.expires_in - _EARLY, 1.0)
