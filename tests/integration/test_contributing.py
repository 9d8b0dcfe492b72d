"""CONTRIBUTING.md: every command runs as printed, in a checkout of its own with a stack of its own."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from config.servers import CHECKOUT
from tests.support.checkouts import PACKAGES, copy_code
from tests.support.pages import Command, answers, blocks_of, commands_of
from tests.support.shell import Shell

PAGE = "CONTRIBUTING.md"
NOT_RUN: Mapping[str, str] = {"make install-dev": "`make test` begins with it, so CI runs it"}
HOOKS_NOT_RUN = "mypy,imports"
"""They look at the whole project, which `make check` does too."""
WITHIN = 100.0
"""Seconds that one command, or a restart, may take."""


@dataclass(frozen=True)
class Contributor:
    """Somebody with a checkout of their own."""

    folder: Path
    environment: dict[str, str]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(  # noqa: S603 - our own commands
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )


@pytest.fixture
def contributor(tmp_path: Path) -> Iterator[Contributor]:
    folder = tmp_path / "wardflow"
    folder.mkdir()
    own = copy_code(folder) | {
        "WARDFLOW_STACK__FOLDER": str(folder / ".wardflow"),
        "WARDFLOW_KAFKA__ENABLED": "false",
        "WARDFLOW_STACK__FHIR_SANDBOX": "false",
        "PRE_COMMIT_HOME": str(tmp_path / "hooks"),
        "GIT_CONFIG_GLOBAL": os.devnull,
    }
    for each in CHECKOUT.iterdir():
        if each.name not in (".git", ".wardflow") and not (folder / each.name).exists():
            (folder / each.name).symlink_to(each)
    someone = Contributor(folder, os.environ | own)
    someone.run("git", "init", "--quiet")
    someone.run("git", "add", *PACKAGES)
    try:
        yield someone
    finally:
        someone.run(".venv/bin/wardflow", "down")


def commands() -> list[Command]:
    found, others = commands_of(blocks_of(PAGE, (CHECKOUT / PAGE).read_text()))
    assert others == [], "a block that is neither commands nor a transcript"
    return [each for each in found if each.text not in NOT_RUN]


@pytest.mark.timeout(600)
def test_each_command_runs_and_answers_what_the_page_shows(contributor: Contributor, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with Shell.opened(contributor.folder, contributor.environment, scratch) as shell:
        for command in commands():
            if command.text.endswith("wardflow down"):
                a_replay_with_another_step_fails(contributor.folder, shell)
                a_saved_file_restarts_the_api(contributor.folder)
            printed = shell.run(command.text.replace("/tmp/", f"{scratch}/"), within=WITHIN)  # noqa: S108
            fits = command.answer is None or answers(command.answer, printed.text)
            assert printed.code == 0, f"{command.place}: {command.text}\n{printed.text}"
            assert fits, f"{command.place}: {command.text}\n{printed.text}"
    saved = (scratch / "history.json").read_text()
    assert "YmluYXJ5L2Flcy0yNTYtZ2Nt" in saved, "the payloads of the saved history are encrypted: binary/aes-256-gcm"


def a_replay_with_another_step_fails(folder: Path, shell: Shell) -> None:
    """Rename an activity, replay the page's run, and name the activity as before."""
    activities = folder / "activities/beds.py"
    text = activities.read_text()
    activities.write_text(text.replace('name="stage_workbook"', 'name="another_step"'))
    printed = shell.run(".venv/bin/python -m service.cli.replay $RUN", within=WITHIN)
    activities.write_text(text)
    assert printed.code == 1
    assert "another_step" in printed.text


def a_saved_file_restarts_the_api(folder: Path) -> None:
    """Change the answer of a route, also by way of code that does not start, and wait until the API has it."""
    url = json.loads((folder / ".wardflow/stack.json").read_text())["api"]["url"] + "/health/live"
    route = folder / "service/api/routes/health.py"
    text = route.read_text()
    with httpx.Client(trust_env=False) as client:
        route.write_text("def (")
        wait_until(lambda: answer_of(client, url) == "")
        route.write_text(text.replace('"live"', '"changed"'))
        wait_until(lambda: "changed" in answer_of(client, url))


def answer_of(client: httpx.Client, url: str) -> str:
    try:
        return client.get(url).text
    except httpx.TransportError:
        return ""


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + WITHIN
    while not holds():
        assert time.monotonic() < until, "the API did not start again"
        time.sleep(0.1)


def test_the_hooks_are_the_checks_of_make_and_need_no_network(contributor: Contributor) -> None:
    checks = contributor.run("make", "--dry-run", "check").stdout
    config = (CHECKOUT / ".pre-commit-config.yaml").read_text()
    entries = [line.partition("entry: ")[2] for line in config.splitlines() if "entry: " in line]
    assert all(entry in checks for entry in entries)
    assert checks.count("\n.venv/bin/") + checks.startswith(".venv/bin/") >= len(entries)
    assert config.count("language: system") == len(entries)

    untidy = contributor.folder / "service" / "untidy.py"
    untidy.write_text('"""Untidy."""\n\nimport   os\n')
    contributor.run("git", "add", str(untidy))
    contributor.environment["SKIP"] = HOOKS_NOT_RUN
    refused = contributor.run(".venv/bin/pre-commit", "run")
    assert refused.returncode == 1, refused.stdout + refused.stderr
    assert "files were modified by this hook" in refused.stdout
    assert "F401" in refused.stdout
    untidy.write_text('"""Tidy."""\n')
    contributor.run("git", "add", str(untidy))
    passed = contributor.run(".venv/bin/pre-commit", "run")
    assert passed.returncode == 0, passed.stdout + passed.stderr
