"""`/docs` is whole by itself: nothing of it comes from elsewhere."""

import re

from tests.integration.api.conftest import Client


async def test_the_page_of_all_routes_is_served_from_here(api: Client) -> None:
    page = await api.http.get("/docs")
    assert page.status_code == 200
    linked = re.findall(r"""(?:src|href|url)\s*[=:]\s*["']([^"']+)["']""", page.text)
    assert len(linked) == 4
    for link in linked:
        assert link.startswith("/")
        found = await api.http.get(link)
        assert (found.status_code, found.headers["x-content-type-options"]) == (200, "nosniff"), link
    policy = page.headers.get_list("content-security-policy")
    assert len(policy) == 1
    assert "default-src 'none'" in policy[0]
    assert "http" not in policy[0]


async def test_the_address_itself_leads_to_the_page(api: Client) -> None:
    led = await api.http.get("/")
    assert (led.status_code, led.headers["location"]) == (307, "/docs")


async def test_no_other_file_is_served_beside_it(api: Client) -> None:
    for path in ("main.py", "../main.py", "..%2f__init__.py", "/etc/passwd", ""):
        assert (await api.http.get(f"/docs/files/{path}")).status_code == 404
