"""docs/add-a-source.md, followed to the letter by somebody who knows nothing else: what it says works."""

import asyncio
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest_asyncio

from config.settings import Settings
from library.warehouse.pool import Pool
from service.resources import warehouse_dsn
from service.temporal import connect
from tests.support.databases import named

CHECKOUT = Path(__file__).parents[2]
PAGE = CHECKOUT / "docs" / "add-a-source.md"
SOURCES = "service/sources/__init__.py"
PACKAGES = ("config", "library", "activities", "workflows", "service")
PATIENCE = 40.0
"""Seconds that one command may take: a source that does not work is tried again for hours."""


@dataclass(frozen=True)
class Section:
    """A section of the page: the file that its heading names, and its blocks."""

    file: str
    blocks: list[str]


def sections() -> list[Section]:
    """The page's introduction, and its numbered sections."""
    found = []
    for text in re.split(r"^## \d+\. ", PAGE.read_text(), flags=re.MULTILINE):
        file = re.search(r"`(\S+\.py)`", text.partition("\n")[0])
        found.append(Section(file[1] if file else "", re.findall(r"^```\w+\n(.*?)^```", text, re.DOTALL | re.M)))
    return found


@dataclass(frozen=True)
class Stranger:
    """Somebody with a checkout of their own, and the stack of this test session."""

    folder: Path
    environment: dict[str, str]

    async def run(self, commands: str) -> list[str]:
        """Run a block's commands, each to its end; what each of them printed."""
        return [await self._run(line) for line in commands.splitlines() if not line.startswith("make ")]

    async def _run(self, line: str) -> str:
        process = await self._start(line)
        try:
            printed, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 0, line
        return printed.decode()

    async def _start(self, line: str) -> asyncio.subprocess.Process:
        # What it says on its standard error stands in the report of a test that fails.
        return await asyncio.create_subprocess_exec(
            "bash",
            "-c",
            line,
            cwd=self.folder,
            env=self.environment,
            stdout=asyncio.subprocess.PIPE,
        )

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """With a worker that has the folder's code."""
        worker = await self._start(".venv/bin/wardflow worker")
        try:
            yield
            assert worker.returncode is None
        finally:
            if worker.returncode is None:
                worker.terminate()
            await worker.communicate()

    def change(self, file: str, lines: str) -> None:
        """Let lines of a block take the places of those that begin alike; an import that is new goes to the others."""
        path = self.folder / file
        text = path.read_text()
        for line in lines.splitlines():
            beginning = re.match(r"from \S+ import |\w+ = ", line)
            if beginning is None:
                continue
            text, places = re.subn(rf"^{re.escape(beginning[0])}.*", line, text, flags=re.MULTILINE)
            if not places:
                text = text.replace("\nfrom ", f"\n{line}\nfrom ", 1)
        path.write_text(text)


@pytest_asyncio.fixture
async def stranger(settings: Settings, tmp_path: Path) -> AsyncIterator[Stranger]:
    folder = tmp_path / "wardflow"
    for package in PACKAGES:
        shutil.copytree(CHECKOUT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(CHECKOUT / "pyproject.toml", folder)
    (folder / ".venv").symlink_to(sys.prefix)
    dsn, reader = warehouse_dsn(settings), settings.postgres.read_only_dsn
    assert reader is not None
    told = {
        "ENVIRONMENT": settings.environment,
        "STACK__FOLDER": str(settings.stack.folder),
        "POSTGRES__DSN": dsn,
        "POSTGRES__READ_ONLY_DSN": named(reader.get_secret_value(), dsn.rpartition("/")[2]),
        "KAFKA__ENABLED": "false",
        "WORKER__QUEUE_PREFIX": settings.worker.queue_prefix,
        "WORKER__GRACEFUL_SHUTDOWN": "1",
    }
    # The environment's own packages lead to the checkout that is tested: the stranger's folder comes before it.
    yield Stranger(
        folder,
        os.environ | {"PYTHONPATH": str(folder)} | {f"WARDFLOW_{name}": value for name, value in told.items()},
    )
    client = await connect(settings)
    for schedule in (
        "upkeep",
        "tidy-lake",
    ):  # of `wardflow migrate`: they would start work each minute that nobody does
        await client.get_schedule_handle(settings.worker.queue_prefix + schedule).delete()


async def test_whoever_follows_the_page_has_a_source(stranger: Stranger, pool: Pool, tmp_path: Path) -> None:
    introduction, dataset, declaration, *files, worker = sections()
    (counts,) = introduction.blocks
    rooms, model = dataset.blocks
    source, sources, revision = declaration.blocks
    part, send, commands = (block.replace("/tmp/", f"{tmp_path}/") for block in worker.blocks)  # noqa: S108

    new = {dataset.file: model, declaration.file: source, worker.file: part}
    new |= {each.file: text for each in files for text in each.blocks}
    await stranger.run(rooms)
    for file, text in new.items():
        assert not (stranger.folder / file).exists(), file
        (stranger.folder / file).write_text(text)
    stranger.change(SOURCES, sources)
    await stranger.run(revision)
    (written,) = (stranger.folder / "library/warehouse/migrations/versions").glob("*_ward_counts.py")

    (tmp_path / "counts.csv").write_text(counts)
    (tmp_path / "send.py").write_text(send)
    async with stranger.working():
        sent, loaded, refused = await stranger.run(commands)
        again, *_ = await stranger.run(commands)
        reloading = send.replace("(landed=landed)", "(landed=landed, reload=1)").replace('f"census-', 'f"census-again-')
        (tmp_path / "send.py").write_text(reloading)
        once_more, *_ = await stranger.run(commands)

    changed = " ".join((*new, str(written), SOURCES))
    await stranger.run(
        f".venv/bin/ruff format --check {changed}\n.venv/bin/ruff check {changed}\n.venv/bin/lint-imports"
    )

    rows = await pool.fetch("SELECT ward, counted_on, occupied, note FROM census.ward_count")
    assert [tuple(row) for row in rows] == [("W1", date(2026, 1, 5), 17, None)]
    rejected = await pool.fetch("SELECT dataset, line, reasons, raw FROM ingest.rejection")
    reason = ["occupied: not a whole number"]
    assert [tuple(row) for row in rejected] == [("census.ward_count", 3, reason, b"W2,2026-01-05,many,counted twice")]
    assert ["already_loaded" in printed for printed in (sent, again, once_more)] == [False, True, False]
    assert "W1" in loaded
    assert reason[0] in refused
