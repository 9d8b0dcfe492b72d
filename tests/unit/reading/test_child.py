"""A child process reads what its parent would not survive."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from library.contracts.reading import ReaderDied, ReaderTimedOut, ReaderUnavailable
from library.reading import child
from library.reading.child import MAX_ANSWER, close_nursery, run_in_child
from library.sources.beds import contracts as beds
from library.sources.beds.contracts import AnotherSeries, WorkbookRejected
from tests.support.workbook_builder import with_parts, write
from tests.unit.reading import child_functions
from tests.unit.sources.beds.test_bad_files import SECTOR_PART, XLSX

MEBIBYTE = 1024 * 1024
ROOT = Path(__file__).parents[3]


def run(function: Any, *args: Any, seconds: float = 20.0, memory: int = 256 * MEBIBYTE) -> Any:
    return run_in_child(function, *args, errors=[WorkbookRejected], max_memory=memory, max_seconds=seconds)


def is_running(process: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return False


def has_ended(process: int) -> bool:
    return not is_running(process)


def until(condition: Any, seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_the_answer_of_a_function_comes_back() -> None:
    assert run(child_functions.echo, 1, "två", None, [1.5, {"a": True}]) == [1, "två", None, [1.5, {"a": True}]]
    assert run(child_functions.organisations, str(XLSX)) == 184


def test_a_refused_workbook_keeps_its_type_its_text_and_its_place() -> None:
    kinds = [kind for kind in vars(beds).values() if isinstance(kind, type) and issubclass(kind, WorkbookRejected)]
    assert len(kinds) > 15
    for kind in kinds:
        with pytest.raises(WorkbookRejected) as caught:
            run(child_functions.reject, kind.__name__)
        error = caught.value
        assert type(error) is kind
        assert error.message == "It is wrong. (sheet 'S', row 7, column AB)"
        assert (error.sheet, error.row, error.column, error.advice) == ("S", 7, "AB", "Make it right.")


def test_an_error_that_the_reader_does_not_list_is_not_made_again() -> None:
    with pytest.raises(ReaderDied, match="AnotherSeries"):
        run_in_child(child_functions.reject, "AnotherSeries", max_memory=256 * MEBIBYTE, max_seconds=20.0)


def test_a_real_refusal_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "other.xlsx"
    path.write_bytes(write({"A": {(0, 0): "x"}}))
    with pytest.raises(AnotherSeries):
        run(child_functions.organisations, str(path))


def test_a_full_disk_stays_an_error_of_the_system() -> None:
    with pytest.raises(OSError, match="No space left") as caught:
        run(child_functions.fill_the_disk)
    assert caught.value.filename is None


def test_an_unexpected_error_says_where_and_not_what() -> None:
    with pytest.raises(ReaderDied, match=r"KeyError in child_functions\.py, line \d+") as caught:
        run(child_functions.fail)
    assert "cell" not in caught.value.message


def test_memory_beyond_the_limit_is_refused_and_within_it_is_given() -> None:
    with pytest.raises(ReaderDied, match="memory"):
        run(child_functions.take_memory, 300 * MEBIBYTE)
    with pytest.raises(ReaderDied, match="memory"):
        run(child_functions.take_memory_in_small_pieces)
    assert run(child_functions.take_memory, 100 * MEBIBYTE) == 100 * MEBIBYTE


def test_a_workbook_that_makes_its_decoder_abort_kills_the_child_alone(tmp_path: Path) -> None:
    # Two cells in opposite corners, written (two blanks) so that no check sees the second before the decoder does.
    bomb = with_parts(
        write({"A": {(0, 0): "x", (1_048_575, 16_383): "y"}}),
        {SECTOR_PART: lambda part: re.sub(rb"<dimension[^>]*>", b"", part).replace(b'<c r="XFD', b'<c  r="XFD')},
    )
    path = tmp_path / "bomb.xlsx"
    path.write_bytes(bomb)
    assert len(bomb) < 10_000

    with pytest.raises(ReaderDied, match="without an answer"):
        run(child_functions.organisations, str(path))
    assert run(child_functions.echo, 1) == [1]


@pytest.mark.parametrize("function", [child_functions.abort, child_functions.leave])
def test_a_child_that_dies_is_an_error_with_a_type(function: Any) -> None:
    with pytest.raises(ReaderDied, match="without an answer"):
        run(function)


def test_a_child_that_takes_too_long_is_ended() -> None:
    started = time.monotonic()
    with pytest.raises(ReaderTimedOut, match=r"0\.5 seconds"):
        run(child_functions.loop, seconds=0.5)
    assert time.monotonic() - started < 3


def test_a_child_that_ignores_its_alarm_clock_is_killed(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    with pytest.raises(ReaderTimedOut):
        run(child_functions.sleep_without_an_alarm_clock, str(note), seconds=0.5)
    assert until(lambda: not is_running(int(note.read_text())))


def test_an_answer_that_is_none_is_an_error() -> None:
    with pytest.raises(ReaderDied, match="in the middle"):
        run(child_functions.babble)
    with pytest.raises(ReaderDied, match="an answer that is too long"):
        run(child_functions.say, 2 * MAX_ANSWER)
    with pytest.raises(ReaderDied, match="TypeError"):
        run(child_functions.unspeakable)
    assert len(run(child_functions.say, MAX_ANSWER // 2)) == MAX_ANSWER // 2


def test_what_a_decoder_prints_goes_nowhere() -> None:
    script = """
        from tests.unit.reading.child_functions import chatter
        from library.reading.child import run_in_child
        print(run_in_child(chatter, max_memory=2**28, max_seconds=20.0))
    """
    assert python(script) == "quiet\n"  # and nothing to standard error, which `python` asserts


def test_many_threads_have_children_at_once() -> None:
    run(child_functions.echo)
    started = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        naps = list(pool.map(lambda _: run(child_functions.nap, 0.5), range(8)))
        answers = list(pool.map(lambda number: run(child_functions.echo, number), range(50)))
    assert time.monotonic() - started < 4
    assert answers == [[number] for number in range(50)]
    assert len(set(naps)) == 1


def test_threads_that_come_first_share_one_nursery() -> None:
    close_nursery()
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: run(child_functions.nap, 0.0), range(16)))) == 1


def test_a_nursery_that_was_killed_is_started_again() -> None:
    first = run(child_functions.nap, 0.0)
    for _ in range(3):
        os.kill(first, signal.SIGKILL)
        assert until(partial(has_ended, first))
        second = run(child_functions.nap, 0.0)
        assert second != first
        first = second


def children_of(process: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def test_a_child_that_died_while_it_waited_for_a_caller_is_replaced() -> None:
    nursery = run(child_functions.nap, 0.0)
    for _ in range(3):
        for waiting in children_of(nursery):
            os.kill(waiting, signal.SIGKILL)
        assert run(child_functions.nap, 0.0) == nursery


def test_a_child_that_waits_for_a_caller_is_let_go_once_its_nursery_is_dead() -> None:
    nursery = run(child_functions.nap, 0.0)
    waiting = children_of(nursery)
    assert any(map(is_running, waiting))
    os.kill(nursery, signal.SIGKILL)
    assert until(lambda: not is_running(nursery))
    run(child_functions.nap, 0.0)
    assert until(lambda: not any(map(is_running, waiting)))


def test_a_child_that_answered_is_asked_again_whatever_it_thought_of_the_file() -> None:
    close_nursery()
    first = run(child_functions.who)
    with pytest.raises(WorkbookRejected):
        run(child_functions.reject, "AnotherSeries")
    assert run(child_functions.who) == first


@pytest.mark.parametrize(
    "function", [child_functions.fail, child_functions.fill_the_disk, child_functions.keep_much_memory]
)
def test_a_child_that_may_not_be_as_it_was_is_never_asked_again(function: Any) -> None:
    close_nursery()
    first = run(child_functions.who)
    with contextlib.suppress(ReaderDied, OSError):
        run(function)
    assert run(child_functions.who) != first
    assert until(lambda: not is_running(first))


def test_each_question_has_the_whole_time_and_the_memory_of_a_new_child() -> None:
    close_nursery()
    first = run(child_functions.who)
    for _ in range(3):
        run(child_functions.nap, 0.7, seconds=1.0)
        assert run(child_functions.take_memory, 200 * MEBIBYTE) == 200 * MEBIBYTE
    with pytest.raises(ReaderDied, match="memory"):
        run(child_functions.take_memory, 300 * MEBIBYTE)
    assert run(child_functions.take_memory, 300 * MEBIBYTE, memory=400 * MEBIBYTE)
    assert run(child_functions.who) != first


def test_no_alarm_clock_rings_behind_an_answer() -> None:
    answered = run(child_functions.who, seconds=0.3)
    time.sleep(0.6)  # that something does not happen can only be waited for
    assert run(child_functions.who) == answered


def test_a_call_outlives_the_death_of_the_nursery() -> None:
    nursery = run(child_functions.nap, 0.0)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(run, child_functions.nap, 0.5)
        time.sleep(0.2)
        os.kill(nursery, signal.SIGKILL)
        assert isinstance(call.result(), int)


def test_a_nursery_imports_nothing_heavy() -> None:
    # In a child of the nursery of a fresh process: this one's has imported what other tests asked for.
    script = """
        from tests.unit.reading.child_functions import imported
        from library.reading.child import run_in_child
        print(*run_in_child(imported, max_memory=2**28, max_seconds=20.0))
    """
    names = set(python(script).split())
    assert "python_calamine" in names
    assert not names & {
        "temporalio",
        "asyncpg",
        "minio",
        "pandas",
        "fastapi",
        "sqlmodel",
        "httpx",
        "openpyxl",
        "pytest",
    }


def python(script: str, *args: str, folder: Path | None = None) -> str:
    """What a script prints that runs as the main module of a fresh interpreter."""
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(script), *args]
    if folder is not None:
        (folder / "main.py").write_text(textwrap.dedent(script))
        command = [sys.executable, "-W", "error", str(folder / "main.py"), *args]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_the_main_module_of_the_caller_is_not_run_again(tmp_path: Path) -> None:
    script = """
        from tests.unit.reading.child_functions import echo
        from library.reading.child import run_in_child
        print("main", run_in_child(echo, 1, max_memory=2**28, max_seconds=20.0))
    """
    assert python(script, folder=tmp_path) == "main [1]\n"


def test_it_works_with_the_standard_streams_closed(tmp_path: Path) -> None:
    script = """
        import os, sys
        from pathlib import Path
        for standard in (0, 1, 2):
            os.close(standard)
        from tests.unit.reading.child_functions import chatter
        from library.reading.child import run_in_child
        said = [run_in_child(chatter, max_memory=2**28, max_seconds=20.0) for _ in range(3)]
        Path(sys.argv[1]).write_text(" ".join(said))
        os._exit(0)
    """
    python(script, str(tmp_path / "said"))
    assert (tmp_path / "said").read_text() == "quiet quiet quiet"


def test_nothing_outlives_a_caller_that_was_killed(tmp_path: Path) -> None:
    script = """
        import sys
        from tests.unit.reading.child_functions import sleep
        from library.reading.child import run_in_child
        run_in_child(sleep, sys.argv[1], max_memory=2**28, max_seconds=50.0)
    """
    note = tmp_path / "pid"
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(script), str(note)], cwd=ROOT) as caller:  # noqa: S603
        try:
            assert until(lambda: note.exists() and note.read_text(), 20.0)
            sleeper = int(note.read_text())
            nursery = int(re.findall(r"PPid:\t(\d+)", Path(f"/proc/{sleeper}/status").read_text())[0])
            assert is_running(sleeper)
        finally:
            caller.kill()
    assert until(lambda: not is_running(sleeper) and not is_running(nursery))


def test_a_forked_process_has_a_nursery_of_its_own() -> None:
    ours = run(child_functions.nap, 0.0)
    owner = child._nursery
    assert owner is not None
    # As a fork would see it: the same object, owned by another process.
    owner.owner += 1
    try:
        assert run(child_functions.nap, 0.0) != ours
        close_nursery()
    finally:
        owner.owner -= 1
        owner.close()


def test_a_nursery_that_hangs_is_replaced_and_so_is_a_child_that_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "_NEW_CHILD_TIMEOUT", 3.0)
    monkeypatch.setattr(child, "_USED_CHILD_TIMEOUT", 0.5)
    nursery = run(child_functions.nap, 0.0)
    (idle,) = (each for each in children_of(nursery) if is_running(each))
    os.kill(idle, signal.SIGSTOP)
    assert run(child_functions.who) != idle
    os.kill(idle, signal.SIGCONT)
    assert until(partial(has_ended, idle))
    os.kill(nursery, signal.SIGSTOP)
    for each in children_of(nursery):
        os.kill(each, signal.SIGKILL)
    assert run(child_functions.nap, 0.0) != nursery
    assert has_ended(nursery)


def test_that_no_process_can_be_started_is_no_fault_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    close_nursery()
    monkeypatch.setattr(child, "_BOOT", "raise SystemExit(1)")
    with pytest.raises(ReaderUnavailable) as caught:
        run(child_functions.nap, 0.0)
    assert caught.value.retryable
    monkeypatch.undo()
    close_nursery()
    run(child_functions.nap, 0.0)
