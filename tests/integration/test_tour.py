"""Every command of README.md and docs/*.md runs as printed and answers what is shown.

The pages run in their order against one stack that `wardflow demo` has started, each in a shell of its own, in a
folder that looks like the checkout. Only `…` is special in an answer: it stands for anything in its line, and for any
lines if it is alone in its line. How wide the columns of a table are is not compared. Lines that say what a command
waits for are passed over, since only a slow machine prints them.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from config.servers import CHECKOUT
from tests.support.pages import Block, Command, answers, blocks_of, commands_of, is_part_of, pages
from tests.support.shell import Printed, Shell, ShellStopped

STARTS_A_STACK = "the test starts its stack by `wardflow demo`, which is all that this does after the installation"
RUNS_TESTS = "runs the tests, this one among them"
RESTORES = "restores a backup into another checkout with a second stack"

COMMANDS_NOT_RUN: Mapping[tuple[str, str], str] = {
    ("README.md", "make demo"): STARTS_A_STACK,
    ("README.md", "make test"): RUNS_TESTS,
    ("README.md", "make faults"): RUNS_TESTS,
    ("docs/lake.md", ".venv/bin/python -m uv pip install"): "the development environment has these packages, locked",
    ("docs/operate.md", "mkdir -m 700 .wardflow"): RESTORES,
    ("docs/operate.md", "$PG/pg_restore --clean"): RESTORES,
    ("docs/operate.md", "objects = backup"): RESTORES,
    ("docs/operate.md", "cp $BACKUP/token"): RESTORES,
    ("docs/operate.md", "for topic in"): RESTORES,
}
"""Commands that the test passes over: the page, how the command begins, and why."""

PAGES_NOT_RUN: Mapping[str, str] = {
    "docs/add-a-source.md": "tests/integration/test_add_a_source.py follows it, and fails if it gets another block",
}

PRINTED_BY_THE_DEMO: tuple[tuple[str, str], ...] = (
    ("README.md", "file  "),
    ("README.md", "zip code  "),
    ("README.md", "posted  "),
)
"""Blocks that show a part of what `make demo` prints: the page, and how the block begins."""

NO_COMMANDS: Mapping[tuple[str, str], str] = {
    ("README.md", "flowchart"): "a drawing",
    ("docs/architecture.md", "sequenceDiagram"): "a drawing",
    ("docs/architecture.md", "config/"): "a list of folders",
}
"""Blocks without commands and answers: the page, how the block begins, what it is."""

WITHIN = 150.0
"""Seconds that one command may take."""


@dataclass(frozen=True)
class Tour:
    """A folder that looks like a checkout, with a stack in which the demo has run."""

    folder: Path
    environment: dict[str, str]
    demo: str


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tour]:
    folder = tmp_path_factory.mktemp("tour") / "wardflow"
    folder.mkdir()
    for each in CHECKOUT.iterdir():
        if each.name not in (".git", ".venv", ".wardflow"):
            (folder / each.name).symlink_to(each)
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / ".curlrc").write_text("silent\nshow-error\n")  # curl shows its progress only off a terminal
    own = {
        "WARDFLOW_STACK__FOLDER": str(folder / ".wardflow"),
        "WARDFLOW_LAKE__APPEND_SECONDS": "2",  # a minute otherwise
        "CURL_HOME": str(folder),
        "NO_PROXY": "127.0.0.1",
    }
    environment = os.environ | own

    def wardflow(command: str) -> str:
        words = [str(folder / ".venv/bin/wardflow"), command]
        done = subprocess.run(  # noqa: S603 - our own command
            words, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    try:
        yield Tour(folder, environment, wardflow("demo"))
    finally:
        wardflow("down")


def of(page: str) -> tuple[list[Command], list[Block]]:
    return commands_of(blocks_of(page, (CHECKOUT / page).read_text()))


def is_run(command: Command) -> bool:
    return not any(command.page == page and command.text.startswith(begins) for page, begins in COMMANDS_NOT_RUN)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("page", [page for page in pages() if page not in PAGES_NOT_RUN])
def test_each_command_of_a_page_runs_and_answers_what_the_page_shows(page: str, tour: Tour, tmp_path: Path) -> None:
    commands = [each for each in of(page)[0] if is_run(each)]
    programs = ""
    with Shell.opened(tour.folder, tour.environment, tmp_path) as shell:
        for number, command in enumerate(commands):
            try:
                if command.language == "python":
                    printed = run_program(shell, programs, command, tmp_path)
                    programs += command.text
                else:
                    printed = shell.run(command.text, within=WITHIN)
            except ShellStopped as stopped:
                pytest.fail(f"{command.place}: {command.text}\n{stopped}", pytrace=False)
            ended_well = printed.code == 0 or shows_its_failure(commands[number + 1 :])
            if not ended_well or not (command.answer is None or answers(command.answer, printed.text)):
                pytest.fail(told(command, printed), pytrace=False)


def run_program(shell: Shell, before: str, program: Command, scratch: Path) -> Printed:
    """Run a page's program behind those above it; only what it prints itself counts."""
    mark = f"--- {program.place} ---"
    file = scratch / "program.py"
    file.write_text(f"{before}\nprint({mark!r})\n{program.text}")
    printed = shell.run(f".venv/bin/python {file}", within=WITHIN)
    return Printed(printed.text.rpartition(mark + "\n")[2], printed.code)


def shows_its_failure(following: list[Command]) -> bool:
    """Whether the page uses the exit code of a failed command."""
    return bool(following) and following[0].text == "echo $?" and following[0].answer not in (None, "", "0")


def told(command: Command, printed: Printed) -> str:
    shown = "" if command.answer is None else f"\n--- the page shows:\n{command.answer}"
    return f"{command.place}: {command.text}{shown}\n--- it printed, with exit code {printed.code}:\n{printed.text}"


@pytest.mark.timeout(400)
def test_the_demo_prints_what_the_pages_show(tour: Tour) -> None:
    for page, begins in PRINTED_BY_THE_DEMO:
        for block in of(page)[1]:
            if block.text.startswith(begins):
                assert is_part_of(block.text, tour.demo), f"{page}:{block.line}\n{tour.demo}"


def test_every_block_is_run_or_named_with_a_reason() -> None:
    named = [*PRINTED_BY_THE_DEMO, *NO_COMMANDS]
    for page in pages():
        if page in PAGES_NOT_RUN:
            continue
        for block in of(page)[1]:
            fits = any(page == each and block.text.startswith(begins) for each, begins in named)
            assert fits, f"{page}:{block.line} is neither run nor named in this file: {block.first_line}"


def test_every_exception_still_has_its_block() -> None:
    assert set(PAGES_NOT_RUN) <= set(pages())
    for page, begins in COMMANDS_NOT_RUN:
        assert any(each.text.startswith(begins) for each in of(page)[0]), f"no command of {page} begins with: {begins}"
    for page, begins in (*PRINTED_BY_THE_DEMO, *NO_COMMANDS):
        assert any(each.text.startswith(begins) for each in of(page)[1]), f"no block of {page} begins with: {begins}"
