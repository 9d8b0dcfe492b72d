"""Revisions that `wardflow migrate` writes can be taken back, and branches of them are seen and merged."""

import os
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from tests.integration.warehouse.test_schema import empty_database  # noqa: F401 - a fixture
from tests.support.checkouts import copy_code

VERSIONS = "library/warehouse/migrations/versions"
NEW_TABLE = '''

from sqlmodel import SQLModel

class Colour(SQLModel, table=True):
    """A table that a test adds."""

    __tablename__ = "colour"
    __table_args__ = (Index("colour_name", "name"), {"schema": "beds"})

    id: int = Field(primary_key=True)
    name: str
'''
UPGRADE = "import asyncio; from library.warehouse import schema; from service.bootstrap import SCHEMAS; dsn = {dsn!r}; "
WRITE = UPGRADE + "asyncio.run(schema.write_revision(dsn, SCHEMAS, 'colours of beds'))"
UPGRADE += "print(asyncio.run(schema.upgrade(dsn, SCHEMAS)))"


class Branch:
    """A copy of the code, and commands in it."""

    def __init__(self, folder: Path, dsn: str = "") -> None:
        self.folder = folder
        self._environment = os.environ | copy_code(folder) | {"WARDFLOW_POSTGRES__DSN": dsn}
        self._dsn = dsn

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

    def python(self, program: str) -> str:
        """Run a program that ends well; what it prints."""
        done = self.run("python", "-c", program.format(dsn=self._dsn))
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

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


async def exists(dsn: str, table: str) -> bool:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval("SELECT to_regclass($1)", table) is not None
    finally:
        await connection.close()


@pytest.mark.usefixtures("empty_database")
async def test_a_written_revision_is_run_taken_back_and_run_again(
    empty_database: str,  # noqa: F811 - the fixture
    tmp_path: Path,
) -> None:
    branch = Branch(tmp_path / "wardflow", empty_database)
    branch.python(UPGRADE)
    models = branch.folder / "library/sources/beds/datasets.py"
    models.write_text(models.read_text() + NEW_TABLE)
    before = branch.files()
    branch.python(WRITE)
    (written,) = branch.files() - before
    new_id = written.name.partition("_")[0]
    assert abs(datetime.strptime(new_id + "+0000", "%Y%m%dT%H%M%S%z") - datetime.now(UTC)).total_seconds() < 120
    assert new_id > "0011"

    assert branch.python(UPGRADE) == new_id
    assert await exists(empty_database, "beds.colour_name")
    done = branch.run("alembic", "downgrade", "-1")
    assert done.returncode == 0, done.stderr
    assert not await exists(empty_database, "beds.colour")
    assert branch.python(UPGRADE) == new_id
    assert await exists(empty_database, "beds.colour_name")
    for check in (("ruff", "format", str(written)), ("ruff", "check", str(written))):
        done = branch.run(*check)
        assert done.returncode == 0, done.stdout


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
    for check in (("ruff", "format", str(written)), ("ruff", "check", str(written))):
        assert branch.run(*check).returncode == 0
    nothing = branch.run("wardflow", "migrate", "--merge", "again")
    assert (nothing.returncode, "nothing to merge" in nothing.stderr) == (1, True)
