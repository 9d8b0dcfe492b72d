"""Commands, as somebody types them, called in this process."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from typer.testing import CliRunner, Result

from service.cli import app


@dataclass(frozen=True)
class Commands:
    """Calls commands; each has an event loop of its own, so they run in a thread."""

    environment: dict[str, str]

    async def call(self, *words: str) -> Result:
        """Call a command, whatever comes of it."""
        result = await asyncio.to_thread(CliRunner(env=self.environment).invoke, app, words)
        assert result.exception is None or isinstance(result.exception, SystemExit), (
            repr(result.exception) + result.output
        )
        return result

    async def done(self, *words: str) -> str:
        """Call a command that does what it should; what it printed."""
        result = await self.call(*words)
        assert result.exit_code == 0, result.output
        return result.stdout

    async def answer(self, *words: str) -> Any:
        """What a command answers to a script."""
        return json.loads(await self.done(*words, "--json"))
