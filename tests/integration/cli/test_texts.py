"""Texts of others are shown as they are: brackets are no styles, and what steers a terminal does not reach it."""

import asyncio
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from library.access.tokens import Tokens
from library.contracts.runs import RunError, RunFinished, RunStarted, RunState
from library.sources.beds.names import READ_BEDS
from library.warehouse.pool import Pool
from library.warehouse.runs import RunLog
from tests.support.commands import Commands

TEXTS = ("KH03 [/b].xls", "Beds [final].xlsx", "Beds [red]now[/].xlsx", "Beds :bed:.xlsx")


async def entered(pool: Pool, subject: str) -> str:
    """The id of a run that has failed."""
    log, run_id = RunLog(pool), f"run-{len(subject)}"
    await log.begin(
        RunStarted(
            run_id=run_id,
            workflow_id="workbook-[/x]",
            workflow="ingest-workbook",
            source="beds",
            subject=subject,
            started_at=datetime.now(UTC),
            object_key="landed/[/x]",
        )
    )
    error = RunError(type="[/x]", message="It says [bold].", advice="Look at [/b].")
    await log.warn(run_id, ["[/w]"])
    await log.finish(RunFinished(run_id=run_id, state=RunState.FAILED, error=error))
    return run_id


async def refused(pool: Pool, text: str) -> str:
    """The id of a rejection."""
    found = await pool.fetchval(
        "INSERT INTO ingest.rejection (load_id, source, dataset, object_key, line, reasons, raw) "
        "VALUES (gen_random_uuid(), 'beds', 'beds.occupancy', $1, 7, ARRAY[$1], convert_to($1, 'UTF8')) RETURNING id",
        text,
    )
    return str(found)


@pytest.mark.parametrize("text", TEXTS)
async def test_a_run_is_listed_shown_and_watched_with_its_subject(commands: Commands, pool: Pool, text: str) -> None:
    run_id = await entered(pool, text)
    assert f" {text} " in await commands.done("runs", "list")
    shown = await commands.done("runs", "show", run_id)
    assert f"subject   {text}\n" in shown
    assert "state     failed \n" in shown
    for said in ("(workbook-[/x])", "landed/[/x]", "warning: [/w]", "[/x]: It says [bold].", "Look at [/b]."):
        assert said in shown
    watched = await commands.call("runs", "watch", run_id)
    assert (watched.exit_code, text in watched.stdout) == (1, True)


@pytest.mark.parametrize("text", TEXTS)
async def test_a_token_is_listed_with_its_name(commands: Commands, pool: Pool, text: str) -> None:
    await Tokens(pool).create(text, [READ_BEDS])
    assert f" {text} " in await commands.done("access", "token", "list")


@pytest.mark.parametrize("text", TEXTS)
async def test_what_could_not_be_started_is_named_with_why(commands: Commands, text: str) -> None:
    for words in (("ingest", "workbook"), ("import", "fhir")):
        result = await commands.call(*words, f"https://example.org/{text.replace('/', '')}")
        assert result.exit_code == 1
        assert result.stdout.splitlines()[1].startswith(f"{text.replace('/', '')} ")
        assert f"\n{text.replace('/', '')}: " in result.stderr
    result = await commands.call("import", "zipcode", text)
    assert (result.exit_code, result.stdout.splitlines()[1].startswith(f"{text} ")) == (1, True)


@pytest.mark.parametrize("text", TEXTS)
async def test_a_refused_row_is_listed_and_shown_with_its_reasons(commands: Commands, pool: Pool, text: str) -> None:
    rejection_id = await refused(pool, text)
    assert f" {text}  {text}, line 7" in await commands.done("quarantine", "list")
    assert f"\n{text}\n" in await commands.done("quarantine", "show", rejection_id)


@pytest.mark.parametrize("text", TEXTS)
async def test_sql_shows_cells_and_headings(commands: Commands, text: str) -> None:
    shown = await commands.done("sql", f"""SELECT '{text}' AS "{text}", 1 AS n""")
    heading, row = shown.splitlines()
    assert heading.startswith(f"{text}  n")
    assert row.startswith(f"{text}  1")


async def test_a_stream_is_listed_with_why_it_stopped(commands_with: Callable[..., Commands], pool: Pool) -> None:
    await pool.execute(
        "INSERT INTO ingest.stream_offset (topic, partition, topic_id, incarnation, generation, next_offset, reason, "
        "paused, updated_at) VALUES ('patient', 0, 'x', 1, 1, 5, 'It says [/b].', false, now())"
    )
    commands = commands_with(KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert "It says [/b]." in await commands.done("streams", "list")


@pytest.mark.parametrize(
    ("sent", "seen"),
    [("\x1b]0;x\x07", r"\x1b]0;x\x07"), ("\x9b2J", r"\x9b2J"), ("a\rb", r"a\rb"), ("\u202egpj", r"\u202egpj")],
)
async def test_what_steers_a_terminal_is_shown_and_not_done(
    commands: Commands, pool: Pool, sent: str, seen: str
) -> None:
    run_id = await entered(pool, sent)
    await Tokens(pool).create(sent, [READ_BEDS])
    for words in (
        ("runs", "list"),
        ("runs", "show", run_id),
        ("access", "token", "list"),
        ("quarantine", "list"),
        ("quarantine", "show", await refused(pool, sent)),
        ("sql", f"SELECT convert_from('\\x{sent.encode().hex()}', 'UTF8')"),
    ):
        printed = await commands.done(*words)
        assert sent not in printed, words
        assert seen in printed, words


@pytest.mark.parametrize(("name", "seen"), [("[/x]", "[/x]"), ("\x1b]0;x\x07", r"\x1b]0;x\x07")])
async def test_a_bar_on_a_terminal_has_its_name(commands: Commands, name: str, seen: str) -> None:
    def on_a_terminal() -> str:
        terminal, its_end = pty.openpty()
        words = (sys.executable, "-m", "service.cli", "import", "zipcode", name)
        environment = os.environ | {"TERM": "xterm"} | commands.environment
        shown = b""
        with subprocess.Popen(words, env=environment, stdin=its_end, stdout=its_end, stderr=its_end):  # noqa: S603 - ours
            os.close(its_end)
            with suppress(OSError):  # Linux raises this when the other end is closed
                while some := os.read(terminal, 65_536):
                    shown += some
        os.close(terminal)
        return shown.decode()

    shown = await asyncio.to_thread(on_a_terminal)
    assert f"\x1b[2K{seen} \x1b[" in shown, "the bar"
    assert f"{seen}: This is not a zip code." in shown
    assert name == seen or name not in shown
