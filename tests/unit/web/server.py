"""A server that answers with whatever bytes a test wants, and a network on which every address leads to it."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpcore

OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(5_000)
ZIP = b"PK\x03\x04" + b"x" * 5_000
PUBLIC = "93.184.216.34"

type Answer = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


def answer(body: bytes = b"", *headers: str, status: int = 200, length: int | None = None) -> bytes:
    """The bytes of an answer; its length may be a lie."""
    stated = f"Content-Length: {len(body) if length is None else length}"
    return "\r\n".join((f"HTTP/1.1 {status} Whatever", stated, *headers, "", "")).encode() + body


def redirect(location: str, status: int = 302) -> bytes:
    return answer(b"", f"Location: {location}", status=status)


@dataclass
class Server:
    """What is answered by path, or by path and query, and what was asked for."""

    port: int = 0
    answers: dict[str, Answer] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def origin(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, path: str) -> str:
        return f"http://{self.origin}{path}"

    @property
    def paths(self) -> list[str]:
        return [request.split(" ", 2)[1] for request in self.requests]

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.requests.append(head)
            target = head.split(" ", 2)[1]
            said = self.answers.get(target) or self.answers.get(target.partition("?")[0], answer(status=404))
            if callable(said):
                await said(writer)
            else:
                writer.write(said)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self.tasks.discard(task)


@asynccontextmanager
async def serving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    made = Server()
    listening = await asyncio.start_server(made.accept, "127.0.0.1", 0, ssl=tls)
    made.port = listening.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        listening.close()
        for task in list(made.tasks):
            task.cancel()
        await asyncio.gather(*made.tasks, return_exceptions=True)


async def drip(writer: asyncio.StreamWriter, data: bytes, seconds: float) -> None:
    """A byte at a time, for ever if need be."""
    for place in range(len(data)):
        writer.write(data[place : place + 1])
        await writer.drain()
        await asyncio.sleep(seconds)


class Answers:
    """A resolver that gives one list of addresses after another, the last of them again and again."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, _: int) -> Sequence[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def everything_leads_to(*addresses: str) -> Answers:
    return Answers(addresses)


@dataclass
class Internet(httpcore.AsyncNetworkBackend):
    """Each address is the local server under another name, so that public hosts can be tried without any network.

    Attributes:
        down: addresses where nobody answers.
        peer: the address at the other end, if it is another than the one that was connected to.
    """

    server: Server
    down: Iterable[str] = ()
    peer: str | None = None
    connected: list[str] = field(default_factory=list)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        self.connected.append(host)
        if host in self.down:
            raise httpcore.ConnectError("All connection attempts failed")
        stream = await httpcore.AnyIOBackend().connect_tcp(
            "127.0.0.1", self.server.port, timeout, local_address, socket_options
        )
        return _Elsewhere(stream, (self.peer or host, port))


class _Elsewhere(httpcore.AsyncNetworkStream):
    def __init__(self, stream: httpcore.AsyncNetworkStream, peer: tuple[str, int]) -> None:
        self._stream = stream
        self._peer = peer
        self.read = stream.read  # type: ignore[method-assign]
        self.write = stream.write  # type: ignore[method-assign]
        self.aclose = stream.aclose  # type: ignore[method-assign]

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature is httpcore's
    ) -> httpcore.AsyncNetworkStream:
        return await self._stream.start_tls(ssl_context, server_hostname, timeout)

    def get_extra_info(self, info: str) -> Any:
        return self._peer if info == "server_addr" else self._stream.get_extra_info(info)
