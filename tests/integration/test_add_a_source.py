"""Follows docs/add-a-source.md step by step in a copy of the checkout: the source works."""

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import pytest
import pytest_asyncio

from config.servers import CHECKOUT
from config.settings import Settings
from library.warehouse.pool import Pool
from service.resources import warehouse_dsn
from service.temporal import connect
from tests.support.checkouts import copy_code
from tests.support.databases import named

PAGE = CHECKOUT / "docs" / "add-a-source.md"
SOURCES = "service/sources/__init__.py"
PATIENCE = 60.0
"""Seconds that one command may take. A source that does not work is retried for hours."""
TESTS = 240.0
"""Seconds that the tests of the page may take. They start their own servers."""


@dataclass(frozen=True)
class Section:
    """A section of the page: the file that its heading names, and its blocks."""

    file: str
    blocks: list[str]


def sections(page: str) -> list[Section]:
    """The page's introduction, and its numbered sections."""
    found = []
    for text in re.split(r"^## \d+\. ", page, flags=re.MULTILINE):
        file = re.search(r"`(\S+\.py)`", text.partition("\n")[0])
        found.append(Section(file[1] if file else "", re.findall(r"^```\w+\n(.*?)^```", text, re.DOTALL | re.M)))
    return found


@dataclass(frozen=True)
class Contributor:
    """A contributor with a copy of the checkout, and the stack of this test session."""

    folder: Path
    environment: dict[str, str]

    async def run(self, commands: str) -> list[str]:
        """Run the commands of a block, one after the other; return what each of them printed."""
        return [await self._run(line) for line in commands.splitlines() if not line.startswith("make ")]

    async def test(self, commands: str) -> str:
        """Run the tests of a block on their own servers; return what they printed."""
        apart = {name: value for name, value in self.environment.items() if not name.startswith("WARDFLOW_")}
        return "".join(await replace(self, environment=apart).run(commands))

    async def _run(self, line: str) -> str:
        process = await self._start(line)
        try:
            printed, _ = await asyncio.wait_for(process.communicate(), TESTS if " pytest " in line else PATIENCE)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 0, line
        return printed.decode()

    async def _start(self, line: str) -> asyncio.subprocess.Process:
        # Its standard error is in the report of a failed test.
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
        """Run a worker with the code of the folder."""
        worker = await self._start(".venv/bin/wardflow worker")
        try:
            yield
            assert worker.returncode is None
        finally:
            if worker.returncode is None:
                worker.terminate()
            await worker.communicate()

    def add(self, file: str, lines: str) -> None:
        """Add the names in a block's lines to the lines of the file that begin in the same way."""
        path = self.folder / file
        text = path.read_text()
        for line in lines.splitlines():
            if beginning := re.match(r"from \S+ import |\w+ = \(", line):
                (there,) = re.findall(rf"^{re.escape(beginning[0])}(.*)$", text, re.MULTILINE)
                names = [each.strip(" )") for each in there.split(",")]
                names += [each for each in re.findall(r"[\w.]+", line[beginning.end() :]) if each not in names]
                whole = f"({', '.join(names)})" if beginning[0].endswith("(") else ", ".join(sorted(names))
                text = text.replace(beginning[0] + there, beginning[0].rstrip("(") + whole)
        path.write_text(text)


@pytest_asyncio.fixture
async def contributor(settings: Settings, tmp_path: Path) -> AsyncIterator[Contributor]:
    folder = tmp_path / "wardflow"
    own = copy_code(folder)
    shutil.copytree(CHECKOUT / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__", "data"))
    (folder / "tests" / "data").symlink_to(CHECKOUT / "tests" / "data")
    if (cache := CHECKOUT / ".mypy_cache").exists():  # of `make check`: mypy then reads the changed files alone
        shutil.copytree(cache, folder / cache.name)
    dsn, reader = warehouse_dsn(settings), settings.postgres.read_only_dsn
    assert reader is not None
    variables = {
        "ENVIRONMENT": settings.environment,
        "STACK__FOLDER": str(settings.stack.folder),
        "POSTGRES__DSN": dsn,
        "POSTGRES__READ_ONLY_DSN": named(reader.get_secret_value(), dsn.rpartition("/")[2]),
        "KAFKA__ENABLED": "false",
        "WORKER__QUEUE_PREFIX": settings.worker.queue_prefix,
        "WORKER__GRACEFUL_SHUTDOWN": "1",
    }
    yield Contributor(folder, os.environ | own | {f"WARDFLOW_{name}": value for name, value in variables.items()})
    client = await connect(settings)
    for schedule in ("upkeep", "tidy-lake"):  # of `wardflow migrate`; there is no worker for their work
        await client.get_schedule_handle(settings.worker.queue_prefix + schedule).delete()


ANOTHER = {
    "census": "roster",
    "Census": "Roster",
    "CENSUS": "ROSTER",
    "ward_count": "rota_count",
    "WardCount": "RotaCount",
    "WARD_COUNT": "ROTA_COUNT",
    "Ward counts": "Rota counts",
}
"""The names of another source, which was added by the page before."""


@dataclass(frozen=True)
class Page:
    """The blocks of the page by their subject, and its files in their order."""

    counts: str
    rooms: str
    sources: str
    revision: str
    commands: str
    checks: str
    files: dict[str, str]

    @classmethod
    def read(cls, text: str) -> "Page":
        """Read the page; each of its blocks is used."""
        introduction, *numbered = sections(text)
        (counts,) = introduction.blocks
        files, beside = {}, []
        for section in numbered:
            programs = [block for block in section.blocks if block.startswith('"""')]
            assert len(programs) == 1, section.file
            files[section.file] = programs[0]
            beside += [block for block in section.blocks if block not in programs]
        rooms, sources, revision, commands, checks = beside
        return cls(counts, rooms, sources, revision, commands, checks, files)


async def write_source(contributor: Contributor, page: Page) -> list[str]:
    """Write a source's files in the order of the page, the revision where the page has it; return the changed files."""
    await contributor.run(page.rooms)
    versions = contributor.folder / "library/warehouse/migrations/versions"
    before = set(versions.glob("*.py"))
    for file, text in page.files.items():
        assert not (contributor.folder / file).exists(), file
        (contributor.folder / file).write_text(text)
        if file.startswith("service/sources/") and file.endswith("__init__.py"):
            contributor.add(SOURCES, page.sources)
            await contributor.run(page.revision)
    (written,) = set(versions.glob("*.py")) - before
    return [*page.files, str(written.relative_to(contributor.folder)), SOURCES]


@pytest.mark.timeout(420)
async def test_the_page_builds_a_working_source_also_beside_another_that_it_built(
    contributor: Contributor, pool: Pool, tmp_path: Path
) -> None:
    text = PAGE.read_text()
    other = re.sub("|".join(ANOTHER), lambda found: ANOTHER[found[0]], text)
    await write_source(contributor, Page.read(other))
    page = Page.read(text.replace("/tmp/", f"{tmp_path}/"))  # noqa: S108
    changed = await write_source(contributor, page)

    (tmp_path / "counts.csv").write_text(page.counts)
    async with contributor.working():
        sent, loaded, refused, origin = await contributor.run(page.commands)
        ingest = page.commands.partition("\n")[0]
        (again,) = await contributor.run(ingest)
        (once_more,) = await contributor.run(f"{ingest} --reload")

    rows = await pool.fetch("SELECT ward, counted_on, occupied, note FROM census.ward_count")
    assert [tuple(row) for row in rows] == [("W1", date(2026, 1, 5), 17, None)]
    rejected = await pool.fetch("SELECT dataset, line, reasons, raw FROM ingest.rejection ORDER BY id LIMIT 1")
    reason = ["occupied: not a whole number"]
    assert [tuple(row) for row in rejected] == [("census.ward_count", 3, reason, b"W2,2026-01-05,many,counted twice")]
    assert ["already_loaded" in printed for printed in (sent, again, once_more)] == [False, True, False]
    assert "W1" in loaded
    assert reason[0] in refused
    assert origin == page.counts

    every = " ".join(changed)
    await contributor.run(
        f".venv/bin/ruff format --check {every}\n.venv/bin/ruff check {every}\n"
        f".venv/bin/lint-imports\n.venv/bin/mypy {every}"
    )
    tried = await contributor.test(page.checks)
    assert re.search(r"\d+ passed", tried)
