from collections.abc import Iterator

import httpx
import pytest

from tests.support.sandbox import NO_TLS, RunningSandbox


@pytest.fixture
def sandbox(fhir_sandbox: RunningSandbox) -> RunningSandbox:
    return fhir_sandbox


@pytest.fixture
def client(sandbox: RunningSandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sandbox.url, trust_env=False, verify=NO_TLS, timeout=20) as made:
        yield made
