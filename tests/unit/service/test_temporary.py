"""Temporary files of killed processes do not stay: they can hold patients."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from library.contracts.errors import ConfigurationError
from service.temporary import own_temporary_folder

ROOT = Path(__file__).parents[3]
AT_WORK = """
import sys, tempfile
from pathlib import Path
from service.temporary import own_temporary_folder
with own_temporary_folder():
    Path(tempfile.mkdtemp(prefix="wardflow-stage-"), "landed").write_text("a patient")
    print("at work", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path / f"wardflow-{os.getuid()}"


@contextmanager
def at_work() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", AT_WORK]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - ours
        assert process.stdout is not None
        assert process.stdout.readline() == "at work\n"
        try:
            yield process
        finally:
            process.kill()


def patients(place: Path) -> int:
    return len(list(place.rglob("landed")))


def test_what_a_killed_process_had_at_hand_goes_when_the_next_one_starts_and_that_of_a_living_one_stays(
    place: Path,
) -> None:
    with at_work():
        with at_work() as killed:
            assert patients(place) == 2
            killed.kill()
            killed.wait()
        assert patients(place) == 2
        with own_temporary_folder():
            assert patients(place) == 1
    with own_temporary_folder():
        assert patients(place) == 0


def test_all_temporary_files_lie_in_the_folder_and_go_with_it(place: Path) -> None:
    with own_temporary_folder() as own:
        assert (place.stat().st_mode & 0o777, own.stat().st_mode & 0o777) == (0o700, 0o700)
        with tempfile.NamedTemporaryFile() as file:
            assert Path(file.name).parent == own
        Path(tempfile.mkdtemp(), "left").touch()
    assert not own.exists()
    assert Path(tempfile.gettempdir()) == place.parent


def test_a_folder_that_others_have_made_or_can_look_into_is_not_used(place: Path) -> None:
    place.mkdir()
    place.chmod(0o755)
    with pytest.raises(ConfigurationError, match="other users can read it"), own_temporary_folder():
        pass
    place.rmdir()
    place.symlink_to(place.parent)
    with pytest.raises(ConfigurationError), own_temporary_folder():
        pass
