"""Credentials for FHIR servers: a bearer token of the settings, or one that is asked for with client credentials."""

import asyncio
import time
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx
import msgspec

from config.fhir import FhirServerSettings
from library.contracts.errors import ConfigurationError
from library.sources.fhir.contracts import ServerBusy, ServerRefused
from library.web.names import LOOK_AGAIN_AFTER, NAMES, does_not_resolve
from library.web.retry_after import is_busy, retry_after

_EARLY = 30.0
"""Seconds before its end in which a token counts as used up."""
_YOUNG = 10.0
"""Seconds in which a token that is refused was never good: another one would not be either."""
_UNSAID = 300.0
"""Seconds that a token counts for where its server does not say."""


class _Granted(msgspec.Struct):
    access_token: str
    expires_in: float = _UNSAID


class Credentials:
    """The Authorization header of one server."""

    def __init__(self, server: FhirServerSettings, http: httpx.AsyncClient) -> None:
        if server.client_id and not (server.token_url and server.client_secret):
            raise ConfigurationError("A FHIR server's client_id needs client_secret and token_url beside it.")
        self._server = server
        self._http = http
        self._granted = ""
        self._since = self._until = 0.0
        self._asking = asyncio.Lock()

    async def headers(self) -> dict[str, str]:
        """What a request carries.

        Raises:
            ServerRefused: no token is granted.
            ServerBusy: not now.
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
        """Give up a granted token that is not taken; returns whether asking for another can help."""
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
                    f"The name {host} of the server of tokens does not resolve.", retry_after=LOOK_AGAIN_AFTER
                ) from None
            raise ServerBusy(f"The server of tokens cannot be reached: {type(error).__name__}.") from None
        NAMES.resolved(urlsplit(server.token_url or "").hostname or "")
        if is_busy(answer.status_code):
            wait = retry_after(answer.headers.get("retry-after"), datetime.now(UTC))
            raise ServerBusy(f"The server of tokens answered {answer.status_code}.", retry_after=wait)
        try:
            granted = msgspec.json.decode(answer.content, type=_Granted)
        except msgspec.MsgspecError:
            raise ServerRefused(
                f"The server of tokens answered {answer.status_code}, without a token.",
                status=answer.status_code,
                advice="Check client_id, client_secret, token_url and scope of the FHIR server in the settings.",
            ) from None
        self._granted = granted.access_token
        self._since = time.monotonic()
        self._until = self._since + max(granted.expires_in - _EARLY, 1.0)
