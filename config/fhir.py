"""Settings of the FHIR source: the servers, and the sandbox of the embedded stack."""

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from config.servers import MEBIBYTE, Section

HAPI = "https://hapi.fhir.org/baseR4"
_BASE_URL = r"^https?://[^/@?#\s]+(/[^?#\s]*)?$"
_SERVER_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


def _regular(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return pattern


class FhirServerSettings(Section):
    """A FHIR R4 server. Its base URL is trusted, so it may have a private address.

    Attributes:
        base_url: http(s)://host[:port][/path].
        token: a bearer token; or
        client_id, client_secret, token_url, scope: OAuth client credentials.
        next_origins: other origins in the server's links, each as scheme://host[:port], as behind a proxy. Such links
            are followed at the origin of `base_url`.
        own_bases: other base URLs by which references name this server's own resources. References by `base_url`, and
            by its path at each of `next_origins`, are its own already. Any other one leads to another server.
    """

    base_url: str = Field(pattern=_BASE_URL)
    token: SecretStr | None = None
    client_id: str | None = None
    client_secret: SecretStr | None = None
    token_url: str | None = None
    scope: str = "system/*.read"
    next_origins: tuple[str, ...] = ()
    own_bases: tuple[Annotated[str, Field(pattern=_BASE_URL)], ...] = ()


class FhirSettings(Section):
    """The FHIR servers, and how they are read.

    Attributes:
        base_url: the base URL of the server `default`, which is then the default server.
        servers: servers by name. `hapi`, HAPI's public server, always exists.
        default_server: the server that is used if none is named. If it is not set: `default` if `base_url` is set, else
            the only one of `servers`, else the embedded stack's sandbox, else `hapi`.
        sandbox_url: the URL of the embedded stack's sandbox, the server `sandbox`.
        harmless_modifiers: URLs of `modifierExtension` and `implicitRules` that do not change the meaning of what is
            read. A resource with any other one is refused.
        zipcode: a regular expression for zip codes.
        page_size: resources of a page. A server may send fewer.
        batch: patients in one search for observations.
        window: searches that run at once.
        large_zipcode: an import with more patients than this is divided among child workflows.
        part: searches of such a child workflow.
        history: events after which a workflow continues as new.
        rate: calls a second, over all workers.
        overlap: seconds that a search for changes begins before the last one's start. A server may commit a resource
            later than the time in it.
        max_page_bytes: the largest page, decompressed.
        max_file_bytes: the largest NDJSON file, decompressed.
        connect_timeout, read_timeout, deadline: seconds; the last one for a whole call.
    """

    base_url: str | None = Field(default=None, pattern=_BASE_URL)
    servers: dict[str, FhirServerSettings] = Field(default_factory=dict)
    default_server: str | None = None
    sandbox_url: str | None = None
    harmless_modifiers: tuple[str, ...] = ()
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
        """All servers by name."""
        found = {"hapi": FhirServerSettings(base_url=HAPI)}
        if self.sandbox_url:
            found["sandbox"] = FhirServerSettings(base_url=self.sandbox_url)
        if self.base_url:
            found["default"] = FhirServerSettings(base_url=self.base_url)
        return found | self.servers

    @cached_property
    def default(self) -> str:
        """The name of the server that is used if none is named."""
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
            raise ValueError(f"not allowed as the name of a server: {', '.join(wrong)}")
        if self.default not in self.by_name:
            raise ValueError(f"fhir.default_server must be one of {', '.join(self.by_name)}")
        return self


class SandboxSettings(Section):
    """The FHIR server with synthetic data in the embedded stack.

    Attributes:
        fhir_sandbox: whether it is part of the stack.
        fhir_sandbox_port: a fixed port; `None`: the port of last time if it is free, else any free port.
    """

    fhir_sandbox: bool = True
    fhir_sandbox_port: int | None = None


def from_stack(state: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The settings of a running stack: the URL of its sandbox."""
    return {"sandbox_url": state["fhir_sandbox"]["url"]} if "fhir_sandbox" in state else {}
