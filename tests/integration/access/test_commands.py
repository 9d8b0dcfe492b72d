"""`wardflow access user` and `grant`: everything can be done from the machine itself, and stands in the audit."""

import json

import pytest
from typer.testing import CliRunner

from config.settings import Settings
from service.cli.access import app
from service.resources import warehouse_dsn


@pytest.fixture
def call(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setenv("WARDFLOW_POSTGRES__DSN", warehouse_dsn(settings))
    return CliRunner()


def done(call: CliRunner, *arguments: str, given: str | None = None) -> str:
    result = call.invoke(app, arguments, input=given)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_user_is_made_granted_changed_and_disabled(call: CliRunner) -> None:
    done(call, "user", "add", "clinic", "--password", given="correct horse battery\n")
    done(call, "grant", "clinic", "patient", "admissions")
    done(call, "ungrant", "clinic", "patient")
    made = done(call, "user", "token", "clinic", "--days", "1").strip()
    assert made.startswith("wf_")
    done(call, "user", "password", "clinic", given="another one entirely\n")
    done(call, "user", "disable", "clinic")
    (found,) = json.loads(done(call, "user", "list", "--json"))
    assert (found["name"], found["grants"], found["has_password"]) == ("clinic", ["admissions"], True)
    assert found["disabled_at"]
    (token,) = json.loads(done(call, "token", "list", "--json"))
    assert (token["user"], token["scopes"]) == ("clinic", [])


def test_a_user_whom_nobody_knows_or_a_password_too_short_is_a_sentence(call: CliRunner) -> None:
    for arguments, given, said in (
        (("grant", "nobody", "patient"), None, "There is no user with this name."),
        (("user", "add", "clinic", "--password"), "short\n", "The password is too short or too long."),
    ):
        result = call.invoke(app, arguments, input=given)
        assert (result.exit_code, said in result.output) == (1, True), result.output
