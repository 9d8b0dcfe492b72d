"""Commands with Kafka turned off: they say so in a sentence, and say what to do."""

import json
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from config.settings import Settings
from library.warehouse.pool import Pool
from service.sources.records.demo import demonstrate
from service.stack.doctor import examine
from tests.support.access import all_users
from tests.support.commands import Commands
from tests.support.processes import OwnProcess, api_process

SETTING = "WARDFLOW_KAFKA__ENABLED"


@pytest.fixture
def turned_off(commands_with: Callable[..., Commands]) -> Commands:
    return commands_with(KAFKA__ENABLED="false")


@pytest_asyncio.fixture
async def api(settings: Settings) -> AsyncIterator[OwnProcess]:
    assert not settings.kafka.enabled
    async with api_process(settings) as running:
        yield running


@pytest.mark.parametrize("words", [("list",), ("archives",), ("pause", "patient"), ("resume", "patient")])
async def test_commands_of_streams_say_that_kafka_is_turned_off(turned_off: Commands, words: tuple[str, ...]) -> None:
    refused = await turned_off.call("streams", *words)
    assert refused.exit_code == 1
    assert "Kafka is turned off" in refused.stderr
    assert SETTING in refused.stderr


async def test_the_simulator_says_so_and_makes_no_users(turned_off: Commands, pool: Pool) -> None:
    refused = await turned_off.call("simulate", "records", "--json")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "Kafka is turned off" in refused.stderr
    assert SETTING in refused.stderr
    assert await all_users(pool) == []


async def test_the_simulator_says_so_of_an_api_elsewhere_too(
    commands_with: Callable[..., Commands], api: OwnProcess, pool: Pool
) -> None:
    commands = commands_with(KAFKA__ENABLED="true", KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1", API__URL=api.url)
    refused = await commands.call("simulate", "records", "--duration", "1")
    assert refused.exit_code == 1
    assert "Kafka is turned off" in refused.stderr
    assert api.url in refused.stderr
    assert all(user["disabled_at"] for user in await all_users(pool))


async def test_the_doctor_names_kafka_as_turned_off_and_as_no_problem(
    turned_off: Commands, commands: Commands, settings: Settings
) -> None:
    for each in (turned_off, commands):  # as a setting says, and as the running stack was started
        report = json.loads((await each.call("doctor", "--json")).stdout)
        states = {part["name"]: part["state"] for part in report["parts"]}
        assert states["kafka"] == "turned off"
        assert not [problem for problem in report["problems"] if "afka" in problem["message"]]
        assert "turned off" in (await each.call("doctor")).stdout
    found = await examine(settings, lambda _: ["the bootstrap was looked at"])
    assert "the bootstrap was looked at" in [problem.message for problem in found.problems]


async def test_the_demo_leaves_records_out_and_says_why(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert (await demonstrate(settings)).agrees
    said = capsys.readouterr().out
    assert "left out" in said
    assert "Kafka is turned off" in said
