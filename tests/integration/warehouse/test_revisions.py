"""Revisions that `wardflow migrate` writes can be taken back, and branches of them are seen and merged."""

import os
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from library.warehouse import revisions
from tests.integration.warehouse.test_schema import empty_database  # noqa: F401 - a fixture
from tests.support.checkouts import copy_code

VERSIONS = "library/warehouse/migrations/versions"
NEW_TABLE = '''

from sqlmodel import SQLModel

class Colour(SQLModel, table=True):
    """A table that a test adds."""

    __tablename__ = "colour"
    __table_args__ = (Index("colour_name", "name"), {"schema": "beds"})

    id: int = field(\"Its id.\", primary_key=True)
    name: str
'''
PROGRAM = """
import asyncio, sys
import asyncpg
from alembic import command
from library.warehouse import schema
from service.bootstrap import SCHEMAS

async def main(dsn):
    connection = await asyncpg.connect(dsn)
    async def show(revision):
        there = await connection.fetchval("SELECT to_regclass('beds.colour_name') IS NOT NULL")
        print(revision, there)
    await show(await schema.upgrade(dsn, SCHEMAS))
    await schema.write_revision(dsn, SCHEMAS, "colours of beds")
    await show(await schema.upgrade(dsn, SCHEMAS))
    await schema.connected(dsn, lambda one: command.downgrade(schema.configuration(one, SCHEMAS), "-1"))
    await show((await schema.revisions(dsn))[0])
    await show(await schema.upgrade(dsn, SCHEMAS))

asyncio.run(main(sys.argv[1]))
"""
"""Says after each step where the schema is, and whether the index of the new table is there."""


class Branch:
    """A copy of the code, and commands in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._environment = os.environ | copy_code(folder)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the environment."""
        return subprocess.run(  # noqa: S603 - our own commands
            [f".venv/bin/{command[0]}", *command[1:]],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def check(self) -> subprocess.CompletedProcess[str]:
        """Run the line of `make check` that looks at the revisions."""
        (line,) = re.findall(r"^\t\.venv/bin/(python -m library\.warehouse\S+)$", self._makefile, re.MULTILINE)
        return self.run(*line.split())

    @property
    def _makefile(self) -> str:
        return (self.folder / "Makefile").read_text()

    def files(self) -> set[Path]:
        """The files of all revisions."""
        return set((self.folder / VERSIONS).glob("*.py"))


def test_a_written_revision_is_run_taken_back_and_run_again(
    empty_database: str,  # noqa: F811 - the fixture
    tmp_path: Path,
) -> None:
    branch = Branch(tmp_path / "wardflow")
    models = branch.folder / "library/sources/beds/datasets.py"
    models.write_text(models.read_text() + NEW_TABLE)

    done = branch.run("python", "-c", PROGRAM, empty_database)

    assert done.returncode == 0, done.stderr
    (written,) = (branch.folder / VERSIONS).glob("*_colours_of_beds.py")
    new_id = written.name.partition("_")[0]
    before = revisions.newest()
    steps = re.findall(r"^\S+ (?:True|False)$", done.stdout, re.MULTILINE)
    assert steps == [f"{before} False", f"{new_id} True", f"{before} False", f"{new_id} True"]
    assert new_id > "0011"
    assert abs(datetime.strptime(new_id + "+0000", "%Y%m%dT%H%M%S%z") - datetime.now(UTC)).total_seconds() < 120
    branch.run("ruff", "format", str(written))
    assert branch.run("ruff", "check", str(written)).stdout == "All checks passed!\n"


def test_two_newest_revisions_fail_the_check_which_names_the_command_that_merges_them(tmp_path: Path) -> None:
    branch = Branch(tmp_path / "wardflow")
    assert branch.check().returncode == 0
    before = branch.files()
    for name in ("20261130T140501", "20261130T140502"):
        text = f'revision = "{name}"\ndown_revision = "0011"\n\n\ndef upgrade() -> None:\n    pass\n'
        (branch.folder / VERSIONS / f"{name}_of_a_branch.py").write_text(text)
    failed = branch.check()
    assert failed.returncode == 1
    assert "20261130T140501, 20261130T140502" in failed.stderr
    assert "wardflow migrate --merge" in failed.stderr

    merged = branch.run("wardflow", "migrate", "--merge", "two branches")
    assert merged.returncode == 0, merged.stderr
    assert branch.check().returncode == 0
    (written,) = (each for each in branch.files() - before if "two_branches" in each.name)
    assert written.name > "20261130T140502"
    branch.run("ruff", "format", str(written))
    assert branch.run("ruff", "check", str(written)).stdout == "All checks passed!\n"


def test_one_newest_revision_cannot_be_merged() -> None:
    with pytest.raises(revisions.NothingToMerge, match="one newest revision"):
        revisions.merge("nothing")
