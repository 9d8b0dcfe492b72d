"""Settings of the FHIR source: the servers that are read, and the sandbox of the embedded stack."""

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from config.servers import MEBIBYTE, Section

HAPI = "https://hapi.fhir.org/baseR4"
_SERVER_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


def _regular(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"no regular expression: {error}") from None
    return pattern


class FhirServerSettings(Section):
    """A FHIR R4 server; its base is trusted as an origin, so that it may have a private address.

    Attributes:
        base_url: http(s)://host[:port][/path].
        token: a bearer token; or
        client_id, client_secret, token_url, scope: OAuth client credentials.
        next_origins: how the server calls itself behind its proxy, each as scheme://host[:port]: links of pages and
            files with such an origin are followed at the base's.
    """

    base_url: str = Field(pattern=r"^https?://[^/@?#\s]+(/[^?#\s]*)?$")
    token: SecretStr | None = None
    client_id: str | None = None
    client_secret: SecretStr | None = None
    token_url: str | None = None
    scope: str = "system/*.read"
    next_origins: tuple[str, ...] = ()


class FhirSettings(Section):
    """FHIR servers that are read, and how.

    Attributes:
        base_url: of a server named `default`, which is then the default one.
        servers: by name; `hapi`, HAPI's public one, is always there.
        default_server: the one that is asked where none is named; unless set: `default` if it has a base, else the
            only one of `servers`, else the embedded stack's sandbox, else `hapi`.
        sandbox_url: of the embedded stack's sandbox: the server `sandbox`.
        zipcode: what a zip code looks like.
        page_size: resources a page, as far as the server agrees.
        batch: patients that are asked for in one search for observations.
        window: searches that are under way at once.
        large_zipcode: patients from which on parts of an import become workflows of their own.
        part: searches that such a part has.
        history: events after which a workflow continues as new.
        rate: calls a second, over all workers.
        overlap: seconds that a search for what has changed reaches back before the last one: what a server commits
            late, it stamps early.
        max_page_bytes: of a page, inflated.
        max_file_bytes: of an NDJSON file.
        connect_timeout, read_timeout, deadline: seconds; the last one for a whole call.
    """

    base_url: str | None = Field(default=None, pattern=r"^https?://[^/@?#\s]+(/[^?#\s]*)?$")
    servers: dict[str, FhirServerSettings] = Field(default_factory=dict)
    default_server: str | None = None
    sandbox_url: str | None = None
    zipcode: Annotated[str, AfterValidator(_regular)] = r"[0-9]{5}(-[0-9]{4})?"
    page_size: int = Field(default=200, ge=1, le=10_000)
    batch: int = Field(default=20, ge=1, le=1_000)
    window: int = Field(default=5, ge=1, le=100)
    large_zipcode: int = Field(default=2_000, ge=1)
    part: int = Field(default=50, ge=1)
    history: int = Field(default=4_000, ge=20)
    rate: float = Field(default=20.0, gt=0)
    overlap: float = Field(default=300.0, ge=0)
    max_page_bytes: int = 64 * MEBIBYTE
    max_file_bytes: int = 2048 * MEBIBYTE
    connect_timeout: float = 10.0
    read_timeout: float = 60.0
    deadline: float = 180.0

    @cached_property
    def by_name(self) -> dict[str, FhirServerSettings]:
        """Every server that can be asked."""
        found = {"hapi": FhirServerSettings(base_url=HAPI)}
        if self.sandbox_url:
            found["sandbox"] = FhirServerSettings(base_url=self.sandbox_url)
        if self.base_url:
            found["default"] = FhirServerSettings(base_url=self.base_url)
        return found | self.servers

    @cached_property
    def default(self) -> str:
        """The name of the server that is asked where none is named."""
        if self.default_server:
            return self.default_server
        if self.base_url:
            return "default"
        if len(self.servers) == 1:
            return next(iter(self.servers))
        return "sandbox" if self.sandbox_url else "hapi"

    @model_validator(mode="after")
    def _names(self) -> Self:
        if wrong := [name for name in self.servers if not _SERVER_NAME.fullmatch(name) or name == "file"]:
            raise ValueError(f"not a name for a server: {', '.join(wrong)}")
        if self.default not in self.by_name:
            raise ValueError(f"fhir.default_server is none of {', '.join(self.by_name)}")
        return self


class SandboxSettings(Section):
    """The FHIR server with synthetic sample data, as a part of the embedded stack.

    Attributes:
        fhir_sandbox: whether it runs beside the others.
        fhir_sandbox_port: a port of your own; `None`: the one used last time if it is free, else any free one.
    """

    fhir_sandbox: bool = True
    fhir_sandbox_port: int | None = None


def from_stack(state: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the settings that a running stack gives: where its sandbox is."""
    return {"sandbox_url": state["fhir_sandbox"]["url"]} if "fhir_sandbox" in state else {}
