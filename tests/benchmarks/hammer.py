"""Many requests at once by a client that costs little: it shares the machine with what it measures."""

import asyncio
import time
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Hammered:
    """What came out.

    Attributes:
        seconds: in all.
        taken: of each request, sorted.
    """

    seconds: float
    taken: list[float]

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.taken) / self.seconds

    def percentile(self, share: float) -> float:
        """The time within which so many of them were answered."""
        return self.taken[min(len(self.taken) - 1, int(len(self.taken) * share))]


async def hammer(url: str, headers: dict[str, str], *, requests: int, connections: int) -> Hammered:
    """Ask the same thing again and again, each connection one request at a time; every answer has to be 200."""
    parts = urlsplit(url)
    told = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    asked = f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\n{told}\r\n".encode()
    taken: list[float] = []

    async def connection(share: int) -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        for _ in range(share):
            began = time.perf_counter()
            writer.write(asked)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            assert head.startswith(b"http/1.1 200"), head
            length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            taken.append(time.perf_counter() - began)
        writer.close()
        await writer.wait_closed()

    began = time.perf_counter()
    await asyncio.gather(*(connection(requests // connections) for _ in range(connections)))
    return Hammered(time.perf_counter() - began, sorted(taken))
