"""A client in a process of its own that posts as fast as it is answered: plain sockets, or it would be measured.

Reads from standard input (JSON) host, port, path, headers, bodies, connections and seconds; prints how many requests
were answered, and the milliseconds of each.
"""

import asyncio
import json
import sys
import time
from itertools import cycle
from typing import Any


async def _post(asked: dict[str, Any], until: float, taken: list[float], wrong: list[str]) -> None:
    reader, writer = await asyncio.open_connection(asked["host"], asked["port"])
    head = "".join(f"{name}: {value}\r\n" for name, value in asked["headers"].items())
    requests = cycle(
        f"POST {asked['path']} HTTP/1.1\r\nhost: x\r\n{head}content-length: {len(body)}\r\n\r\n{body}".encode()
        for body in asked["bodies"]
    )
    while (began := time.perf_counter()) < until:
        writer.write(next(requests))
        answer = await reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(length)
        taken.append((time.perf_counter() - began) * 1_000)
        if b" 202 " not in answer[:20]:
            wrong.append(body.decode())
    writer.close()


async def main() -> None:
    """Post, and say what came of it."""
    asked = json.load(sys.stdin)
    taken: list[float] = []
    wrong: list[str] = []
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(asked["connections"]):
            group.create_task(_post(asked, began + asked["seconds"], taken, wrong))
    seconds = time.perf_counter() - began
    json.dump({"requests": len(taken), "seconds": seconds, "taken": sorted(taken), "wrong": wrong[:3]}, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main())
