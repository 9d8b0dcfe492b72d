"""The floor of every load: the same work as plain SQL in one transaction, fed by psql's copy from a local file."""

import asyncio
import re
import subprocess

from service.stack.postgres import binary

_END = "end of the statement"
_TOOK = re.compile(r"^Time: ([0-9.]+) ms", re.MULTILINE)


async def seconds_of(dsn: str, *statements: str, counting: slice = slice(None)) -> float:
    """What psql says that the statements took together: neither its own start nor its connecting is counted.

    Args:
        dsn: where.
        statements: all that psql understands, each of one line; one that consists of several counts as a whole.
        counting: which of them count.
    """
    script = "\n".join([r"\timing on", *(f"{statement}\n\\echo {_END}" for statement in statements)])
    done = await asyncio.to_thread(
        subprocess.run,
        [binary("psql"), dsn, "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1"],
        input=script,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *parts, _ = done.stdout.split(f"{_END}\n")
    taken = [sum(map(float, _TOOK.findall(part))) for part in parts]
    assert len(taken) == len(statements), done.stdout
    return sum(taken[counting]) / 1000
