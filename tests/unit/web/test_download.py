"""What arrives, and what a download does about answers that are not the file."""

import asyncio
import gzip
import time
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpcore
import pytest

from library.contracts.errors import WardflowError
from library.contracts.web import (
    DownloadRefused,
    DownloadTooLarge,
    DownloadUnavailable,
    UnexpectedContent,
    UrlNotAllowed,
)
from library.web.download import Downloaded, download
from library.web.guard import Guard
from library.web.kinds import Kind
from tests.unit.web.server import OLE2, ZIP, Server, answer, drip, everything_leads_to

WORKBOOKS: Collection[Kind] = ("ole2", "zip")


async def fails[E: WardflowError](kind: type[E], url: str, path: Path, guard: Guard, **more: Any) -> E:
    """Download what must fail with exactly this type of error, and leave no file."""
    with pytest.raises(WardflowError) as caught:
        await download(url, path, guard, expect=WORKBOOKS, **more)
    assert type(caught.value) is kind, caught.value
    assert not path.exists()
    for text in (caught.value.message, caught.value.advice):
        assert "secret" not in text
    assert caught.value.__cause__ is None
    return caught.value


async def test_a_file_arrives_with_what_it_is_and_where_it_came_from(
    server: Server, guard: Guard, tmp_path: Path
) -> None:
    server.answers["/a/b.xls"] = answer(OLE2, "Content-Type: Application/VND.ms-excel; charset=secret")
    heard: list[int] = []
    path = tmp_path / "file"
    done = await download(server.url("/a/b.xls?token=secret#x"), path, guard, expect=WORKBOOKS, progress=heard.append)
    assert path.read_bytes() == OLE2
    assert sum(heard) == len(OLE2)
    assert done == Downloaded(len(OLE2), "ole2", "application/vnd.ms-excel", server.url("/a/b.xls"), ())


async def test_a_request_says_no_more_than_it_must(
    server: Server, guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
        monkeypatch.setenv(name.upper(), "http://127.0.0.1:1")
    server.answers["/"] = answer(ZIP, "Set-Cookie: a=b")
    server.answers["/from"] = answer(b"", "Location: /?token=secret", "Set-Cookie: c=d", status=302)
    await download(server.url("/from"), tmp_path / "file", guard, expect=WORKBOOKS)
    for request, target in zip(server.requests, ("/from", "/?token=secret"), strict=True):
        assert request.split("\r\n") == [
            f"GET {target} HTTP/1.1",
            f"Host: {server.origin}",
            "User-Agent: wardflow",
            "Accept: */*",
            "Accept-Encoding: identity",
            "Connection: close",
            "",
            "",
        ]


async def test_a_large_file_arrives_in_pieces(server: Server, guard: Guard, tmp_path: Path) -> None:
    content = ZIP + bytes(range(256)) * 12_000
    server.answers["/"] = answer(content)
    path = tmp_path / "file"
    done = await download(server.url("/"), path, replace(guard, max_bytes=len(content)), expect=WORKBOOKS)
    assert done.size == len(content)
    assert path.read_bytes() == content


async def test_a_file_that_states_too_large_a_size_is_not_read(server: Server, guard: Guard, tmp_path: Path) -> None:
    server.answers["/"] = answer(ZIP, length=100_001)
    error = await fails(DownloadTooLarge, server.url("/?secret"), tmp_path / "file", guard)
    assert "100,000" in error.message


@pytest.mark.parametrize("head", ["Transfer-Encoding: chunked", "Connection: close"])
async def test_a_file_without_a_stated_size_is_cut_off_at_the_limit(
    server: Server, guard: Guard, tmp_path: Path, head: str
) -> None:
    sent = 0

    async def endless(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode())
        piece = b"PK\x03\x04" + bytes(9_996)
        while True:
            writer.write(b"2710\r\n" + piece + b"\r\n" if "chunked" in head else piece)
            await writer.drain()
            sent += len(piece)

    server.answers["/"] = endless
    await fails(DownloadTooLarge, server.url("/"), tmp_path / "file", guard)
    assert sent < 20_000_000  # what sockets buffer, and no more


async def test_a_file_of_exactly_the_limit_arrives(server: Server, guard: Guard, tmp_path: Path) -> None:
    server.answers["/"] = answer(ZIP)
    exact = replace(guard, max_bytes=len(ZIP))
    assert (await download(server.url("/"), tmp_path / "file", exact, expect=WORKBOOKS)).size == len(ZIP)
    await fails(DownloadTooLarge, server.url("/"), tmp_path / "other", replace(guard, max_bytes=len(ZIP) - 1))


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, GZIP"])
async def test_a_compressed_answer_is_not_inflated(server: Server, guard: Guard, tmp_path: Path, encoding: str) -> None:
    bomb = gzip.compress(ZIP + bytes(10_000_000))
    server.answers |= {"/bomb": answer(bomb, f"Content-Encoding: {encoding}")}
    await fails(UnexpectedContent, server.url("/bomb"), tmp_path / "file", guard)
    server.answers["/"] = answer(ZIP, f"Content-Encoding: {encoding}")
    await fails(UnexpectedContent, server.url("/"), tmp_path / "file", guard)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<!DOCTYPE html><html><body>Not found, secret</body></html>" + b" " * 5_000, "html"),
        (b"<html>", "html"),
        (b'{"error": "secret"}', "text"),
        (b"", "empty"),
    ],
)
async def test_a_page_with_status_200_is_not_the_file_whatever_type_it_states(
    server: Server, guard: Guard, tmp_path: Path, body: bytes, kind: str
) -> None:
    server.answers["/"] = answer(body, "Content-Type: application/vnd.ms-excel")
    error = await fails(UnexpectedContent, server.url("/"), tmp_path / "file", guard)
    assert kind in error.message
    assert not error.retryable


async def test_what_is_not_the_file_is_not_read_on(server: Server, guard: Guard, tmp_path: Path) -> None:
    async def page(writer: asyncio.StreamWriter) -> None:
        writer.write(answer(b"<html>" + b" " * 2_000, length=90_000))
        await asyncio.sleep(60)

    server.answers["/"] = page
    await fails(UnexpectedContent, server.url("/"), tmp_path / "file", guard)


@pytest.mark.parametrize(
    "data",
    [
        answer(ZIP, length=len(ZIP) + 1),
        answer(ZIP, length=len(ZIP) + 50_000),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nPK\x03\x04x\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nsecret\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: secret\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000,
        b"SSH-2.0-secret\r\n",
        b"",
    ],
)
async def test_an_answer_that_breaks_off_or_is_no_http_is_unavailable(
    server: Server, guard: Guard, tmp_path: Path, data: bytes
) -> None:
    server.answers["/"] = data
    error = await fails(DownloadUnavailable, server.url("/?secret"), tmp_path / "file", guard)
    assert error.retryable


async def test_an_answer_that_is_cut_off_in_the_middle_is_unavailable(
    server: Server, guard: Guard, tmp_path: Path
) -> None:
    async def abort(writer: asyncio.StreamWriter) -> None:
        writer.write(answer(ZIP, length=50_000))
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.transport.abort()

    server.answers["/"] = abort
    await fails(DownloadUnavailable, server.url("/"), tmp_path / "file", guard)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 407, 410, 418, 451])
async def test_a_4xx_is_a_refusal_that_no_repeat_changes(
    server: Server, guard: Guard, tmp_path: Path, status: int
) -> None:
    server.answers["/"] = answer(b"secret", status=status)
    error = await fails(DownloadRefused, server.url("/?secret"), tmp_path / "file", guard)
    assert error.status == status
    assert not error.retryable
    assert error.message == f"{server.url('/')} answered {status}."


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_a_busy_server_is_asked_again_when_it_says(
    server: Server, guard: Guard, tmp_path: Path, status: int
) -> None:
    server.answers["/"] = answer(b"", "Retry-After: 17", status=status)
    error = await fails(DownloadUnavailable, server.url("/"), tmp_path / "file", guard)
    assert (error.status, error.retry_after) == (status, 17.0)
    server.answers["/"] = answer(b"", status=status)
    assert (await fails(DownloadUnavailable, server.url("/"), tmp_path / "file", guard)).retry_after is None


@pytest.mark.parametrize("status", [202, 203, 204, 206, 300, 304, 302])
async def test_another_answer_without_a_file_is_unexpected(
    server: Server, guard: Guard, tmp_path: Path, status: int
) -> None:
    server.answers["/"] = answer(b"" if status in (204, 304) else ZIP, status=status)
    await fails(UnexpectedContent, server.url("/"), tmp_path / "file", guard)


async def test_a_server_that_nobody_runs_is_unavailable(server: Server, guard: Guard, tmp_path: Path) -> None:
    closed = replace(guard, private_origins=("127.0.0.1:1",))
    await fails(DownloadUnavailable, "http://127.0.0.1:1/?secret", tmp_path / "file", closed)
    assert server.requests == []


@pytest.mark.parametrize("before", [b"", b"HTTP/1.1 200 OK\r\nX: ", answer(ZIP, length=90_000)])
async def test_a_slow_trickle_ends_at_the_deadline(server: Server, guard: Guard, tmp_path: Path, before: bytes) -> None:
    async def trickle(writer: asyncio.StreamWriter) -> None:
        writer.write(before)
        await drip(writer, b"HTTP/1.1 200 OK" + bytes(1_000) if not before else b"y" * 1_000, 0.02)

    server.answers["/"] = trickle
    started = time.monotonic()
    error = await fails(DownloadUnavailable, server.url("/?secret"), tmp_path / "file", replace(guard, deadline=0.3))
    assert "0.3 seconds" in error.message
    assert time.monotonic() - started < 2


async def test_a_name_that_does_not_resolve_ends_at_the_deadline(guard: Guard, tmp_path: Path) -> None:
    async def never(*_: object) -> list[str]:
        await asyncio.sleep(60)
        return []

    hasty = replace(guard, deadline=0.1)
    error = await fails(DownloadUnavailable, "https://files.example.org/", tmp_path / "file", hasty, resolver=never)
    assert "0.1 seconds" in error.message


async def test_a_server_that_falls_silent_ends_at_the_read_timeout(
    server: Server, guard: Guard, tmp_path: Path
) -> None:
    async def silent(writer: asyncio.StreamWriter) -> None:
        writer.write(answer(ZIP, length=90_000))
        await asyncio.sleep(60)

    server.answers["/"] = silent
    error = await fails(DownloadUnavailable, server.url("/"), tmp_path / "file", replace(guard, read_timeout=0.2))
    assert "ReadTimeout" in error.message


async def test_a_cancelled_download_lets_go_and_leaves_no_file(server: Server, guard: Guard, tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def silent(writer: asyncio.StreamWriter) -> None:
        writer.write(answer(ZIP, length=90_000))
        await asyncio.sleep(60)

    server.answers["/"] = silent
    path = tmp_path / "file"
    task = asyncio.create_task(download(server.url("/"), path, guard, expect=WORKBOOKS, progress=lambda _: begun.set()))
    await begun.wait()
    assert path.exists()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not path.exists()


async def test_a_failure_of_the_file_is_no_failure_of_the_network(server: Server, guard: Guard, tmp_path: Path) -> None:
    server.answers["/"] = answer(ZIP)
    with pytest.raises(FileNotFoundError):
        await download(server.url("/"), tmp_path / "missing" / "file", guard, expect=WORKBOOKS)


async def test_a_url_that_is_not_allowed_meets_no_network(guard: Guard, tmp_path: Path) -> None:
    asked = everything_leads_to("93.184.216.34")
    await fails(
        UrlNotAllowed, "https://evil.org/?secret", tmp_path / "file", guard, resolver=asked, backend=Forbidden()
    )
    assert asked.asked == []


class Forbidden(httpcore.AsyncNetworkBackend):
    """Fails the test where a connection is tried."""
