"""Temporal's Web UI shows decoded payloads to who may see them, and nothing to others."""

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio
from google.protobuf.json_format import MessageToDict
from temporalio.api.common.v1 import Payload
from temporalio.converter import WorkflowSerializationContext

from config.settings import Settings
from library.access.encryption import KeyRing
from library.access.sessions import Sessions
from library.contracts.scopes import Scope
from library.sources.beds.names import READ_BEDS
from library.warehouse.pool import Pool
from service.temporal import encryption_codec
from tests.integration.api.conftest import TWO, Client
from tests.support.runs import Workbooks

SECRET = b'{"rows": 4711}'


@dataclass(frozen=True)
class Ui:
    """What the Web UI's page sends: content type, namespace, origin and, from its own origin, cookies."""

    http: httpx.AsyncClient
    origin: str = "http://api"

    async def decode(self, *payloads: dict[str, Any], **headers: str) -> httpx.Response:
        """Ask as `codeServerRequest` of the Web UI 2.54 does."""
        return await self.http.post(
            "/codec/decode?preserveStorageRefs=true",
            json={"payloads": payloads},
            headers={"X-Namespace": "wardflow", "Origin": self.origin, **headers},
        )


@pytest_asyncio.fixture
async def ui(api: Client) -> Ui:
    return Ui(api.http)


async def sign_in(api: Client, *scopes: str) -> httpx.Response:
    _, token = await api.tokens.create("browser", scopes)
    return await api.http.post("/codec", data={"token": token})


async def encrypted(settings: Settings, workflow_id: str) -> dict[str, Any]:
    """A payload of a workflow, as the Web UI's server hands it out."""
    context = WorkflowSerializationContext("wardflow", settings.worker.queue_prefix + workflow_id)
    codec = encryption_codec(settings).with_context(context)
    (sealed,) = await codec.encode([Payload(metadata={"encoding": b"json/plain"}, data=SECRET)])
    return MessageToDict(sealed)


async def shows(answer: httpx.Response) -> bool:
    assert answer.status_code == 200, answer.text
    (payload,) = answer.json()["payloads"]
    return bool(payload["metadata"]["encoding"] == "anNvbi9wbGFpbg==" and payload["data"] == "eyJyb3dzIjogNDcxMX0=")


async def test_inputs_and_results_of_a_run_are_shown_to_a_browser_that_signed_in(
    api: Client, ui: Ui, sent: Workbooks
) -> None:
    assert (await sign_in(api, Scope.OPERATE)).status_code == 303
    run = await sent.ingest(TWO[0])
    history = await sent.client.get_workflow_handle(run.workflow_id, run_id=run.id).fetch_history()
    given = history.events[0].workflow_execution_started_event_attributes.input.payloads[0]
    assert b"sha256" not in given.data
    (decoded,) = (await ui.decode(MessageToDict(given))).json()["payloads"]
    assert run.object_key is not None
    assert run.object_key in base64.b64decode(decoded["data"]).decode()


async def test_nothing_is_shown_without_a_session_or_a_token(api: Client, ui: Ui, settings: Settings) -> None:
    payload = await encrypted(settings, "workbook-1")
    assert (await ui.decode(payload)).status_code == 401
    assert (await ui.decode(payload, Cookie="wardflow_session=k.AAAA")).status_code == 401
    assert (await ui.decode(payload, Authorization="Bearer wf_wrong")).status_code == 401
    assert (await sign_in(api, READ_BEDS, Scope.READ_PATIENTS)).status_code == 401
    assert not api.http.cookies
    assert (await ui.decode(payload, **await api.bearing(READ_BEDS))).status_code == 403
    assert await shows(await ui.decode(payload, **await api.bearing(Scope.OPERATE)))


async def test_a_session_ends_with_its_time_and_with_its_token(
    api: Client, ui: Ui, settings: Settings, pool: Pool
) -> None:
    payload = await encrypted(settings, "workbook-1")
    signed_in = await sign_in(api, Scope.OPERATE)
    cookie = signed_in.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert await shows(await ui.decode(payload))
    await pool.execute("UPDATE access.token SET revoked_at = now()")
    assert (await ui.decode(payload)).status_code == 401
    api.http.cookies.clear()
    token_id, _ = await api.tokens.create("t", [Scope.OPERATE], expires_at=datetime.now(UTC) + timedelta(hours=1))
    over = Sessions(KeyRing.read(settings.key_ring_file), seconds=-1).seal(token_id)
    assert (await ui.decode(payload, Cookie=f"wardflow_session={over}")).status_code == 401
    lasting = Sessions(KeyRing.read(settings.key_ring_file), seconds=60).seal(token_id)
    assert await shows(await ui.decode(payload, Cookie=f"wardflow_session={lasting}"))


@pytest.mark.parametrize("workflow_id", ["zipcode-hapi-02139", "hospital-general", "anything-else"])
async def test_payloads_that_may_concern_patients_need_the_scope_for_patients_too(
    api: Client, ui: Ui, settings: Settings, workflow_id: str
) -> None:
    payload = await encrypted(settings, workflow_id)
    untouched = await ui.decode(payload, **await api.bearing(Scope.OPERATE))
    assert untouched.json()["payloads"] == [payload]
    assert await shows(await ui.decode(payload, **await api.bearing(Scope.OPERATE, Scope.READ_PATIENTS)))
    # The label is authenticated: who forges it gets nothing.
    forged = {**payload, "metadata": {**payload["metadata"], "about": "bm8tcGF0aWVudHM="}}
    assert (await ui.decode(forged, **await api.bearing(Scope.OPERATE))).json()["payloads"] == [forged]


async def test_other_pages_cannot_use_a_browsers_session(api: Client, settings: Settings) -> None:
    await sign_in(api, Scope.OPERATE)
    payload = await encrypted(settings, "workbook-1")
    for origin in ("http://evil.example", "http://api:81", "null"):
        refused = await Ui(api.http, origin).decode(payload)
        assert refused.status_code == 403
        assert "access-control-allow-origin" not in refused.headers
        asked = await api.http.options("/codec/decode", headers={"Origin": origin})
        assert "access-control-allow-origin" not in asked.headers
    assert settings.temporal.ui_url is not None
    parts = urlsplit(settings.temporal.ui_url)
    its_own = f"{parts.scheme}://{parts.netloc}"
    answer = await Ui(api.http, its_own).decode(payload)
    assert await shows(answer)
    assert answer.headers["access-control-allow-origin"] == its_own
    assert answer.headers["access-control-allow-credentials"] == "true"


@pytest.mark.parametrize(
    "payload", [{"data": "A"}, {"metadata": {"encoding": 1}}, {"other": 1}, {"metadata": "x"}, {"data": {}}]
)
async def test_what_is_no_payload_is_refused(api: Client, ui: Ui, payload: dict[str, Any]) -> None:
    assert (await ui.decode(payload, **await api.bearing(Scope.ADMIN))).status_code == 422


async def test_what_nobody_here_can_read_stays_as_it_is(api: Client, ui: Ui) -> None:
    headers = await api.bearing(Scope.ADMIN)
    encoding = "YmluYXJ5L2Flcy0yNTYtZ2Nt"
    for metadata in (
        {"encoding": encoding},
        {"encoding": encoding, "key": "azE="},
        {"encoding": encoding, "key": "/w=="},
    ):
        payload = {"metadata": metadata, "data": "AAAA"}
        assert (await ui.decode(payload, **headers)).json()["payloads"] == [payload]


async def test_the_web_ui_is_served_to_who_signed_in_and_asks_us_to_decode(api: Client, pool: Pool) -> None:
    page = {"Accept": "text/html"}
    led = await api.http.get("/temporal/namespaces/wardflow/workflows", headers=page)
    assert (led.status_code, led.headers["location"]) == (
        303,
        "/codec?following=/temporal/namespaces/wardflow/workflows",
    )
    assert (await api.http.get("/temporal/api/v1/settings")).status_code == 401
    assert "<form" in (await api.http.get("/codec")).text
    await sign_in(api, Scope.OPERATE)
    assert "<html" in (await api.http.get("/temporal/", headers=page)).text
    assert (await api.http.get("/temporal/api/v1/settings")).json()["Codec"]["Endpoint"] == "/codec"
    assert (await api.http.post("/temporal/api/v1/none", headers={"Origin": "http://evil.example"})).status_code == 403
    await api.http.post("/temporal/api/v1/none", headers={"Origin": "http://api"})
    audited = await pool.fetch("SELECT action, subject FROM access.audit WHERE action <> 'refused' ORDER BY id")
    assert [tuple(row) for row in audited] == [
        ("sign_in", "temporal_ui"),
        ("temporal_ui", "POST /temporal/api/v1/none"),
    ]


async def test_a_sign_in_leads_nowhere_but_to_the_web_ui(api: Client) -> None:
    _, token = await api.tokens.create("browser", [Scope.OPERATE])
    for following, expected in (
        ("/temporal/namespaces", "/temporal/namespaces"),
        ("https://evil.example", "/temporal"),
        ("//evil.example/temporal/", "/temporal"),
        ("/temporal.evil.example/", "/temporal"),
    ):
        answer = await api.http.post("/codec", params={"following": following}, data={"token": token})
        assert answer.headers["location"] == expected
