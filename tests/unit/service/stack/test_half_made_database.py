"""What a Temporal server leaves that was killed as it began."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from service.stack.temporal import move_incomplete_away

HISTORIES, CLUSTER = "CREATE TABLE executions (id)", "CREATE TABLE cluster_metadata_info (id)"


def database(folder: Path, *statements: str) -> Path:
    file = folder / "temporal.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        for statement in statements:
            connection.execute(statement)
    return file


@pytest.mark.parametrize("statements", [(), (HISTORIES,), (HISTORIES, CLUSTER)])
def test_what_was_not_made_to_its_end_is_put_aside(tmp_path: Path, statements: tuple[str, ...]) -> None:
    file = database(tmp_path, *statements)
    for name in ("temporal.db-wal", "temporal.db.bak"):
        (tmp_path / name).touch()
    move_incomplete_away(file)
    left = {each.name for each in tmp_path.iterdir()}
    assert left == {"half-made-temporal.db", "half-made-temporal.db-wal", "temporal.db.bak"}


def test_what_has_served_stays(tmp_path: Path) -> None:
    file = database(tmp_path, CLUSTER, "INSERT INTO cluster_metadata_info VALUES (1)")
    move_incomplete_away(file)
    assert file.exists()


def test_what_is_no_database_is_for_the_server_to_say(tmp_path: Path) -> None:
    file = tmp_path / "temporal.db"
    file.write_bytes(b"torn" * 1000)
    move_incomplete_away(file)
    assert file.exists()
    move_incomplete_away(tmp_path / "nothing.db")
