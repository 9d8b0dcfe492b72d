import json
from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic_settings import SettingsError

from config.settings import Settings, StackSettings

STACK = {
    "postgres": {"url": "postgresql://owner@stack/db", "read_only_url": "postgresql://reader@stack/db"},
    "temporal": {"address": "127.0.0.1:7233", "namespace": "wardflow"},
    "temporal_ui": {"url": "http://127.0.0.1:8233"},
    "s3": {"url": "http://127.0.0.1:8333", "bucket": "b", "access_key": "a", "secret_key": "s"},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "stack.json").write_text(json.dumps(STACK))
    monkeypatch.setenv("WARDFLOW_STACK__FOLDER", str(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_a_running_stack_is_found_without_being_told() -> None:
    settings = Settings()
    assert settings.postgres.dsn is not None
    assert settings.postgres.dsn.get_secret_value() == STACK["postgres"]["url"]
    assert settings.temporal.address == "127.0.0.1:7233"
    assert settings.temporal.ui_url == "http://127.0.0.1:8233"
    assert settings.s3.url == "http://127.0.0.1:8333"


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("WARDFLOW_POSTGRE__DSN", "postgresql://x/y", "WARDFLOW_POSTGRE__DSN: no such setting"),
        ("WARDFLOW_POSTGRES__DNS", "postgresql://x/y", "Extra inputs are not permitted"),
        ("WARDFLOW_LAKE__TOPICS", '["patient"]', "appear twice"),
        ("WARDFLOW_LAKE__TOPICS", "vitals", "error parsing"),
        ("WARDFLOW_LAKE__APPEND_SECONDS", "1800", "less than or equal to 300"),
        ("WARDFLOW_FHIR__ZIPCODE", "(", "not a regular expression"),
        ("WARDFLOW_STREAMS__RECORD_BYTES", "0", "greater than or equal to 65536"),
        ("WARDFLOW_KAFKA__PATIENT_TOPIC", "a b", "should match pattern"),
        ("WARDFLOW_RECORDS__PER_SECOND", "1e-300", "greater than or equal to 0.001"),
    ],
)
def test_a_setting_that_cannot_be_is_an_error(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises((ValidationError, SettingsError), match=says):
        Settings()


@pytest.mark.usefixtures("folder")
def test_an_environment_variable_is_stronger_and_takes_its_part_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDFLOW_POSTGRES__DSN", "postgresql://elsewhere/db")
    settings = Settings()
    assert settings.postgres.dsn is not None
    assert settings.postgres.dsn.get_secret_value() == "postgresql://elsewhere/db"
    assert settings.postgres.read_only_dsn is None
    assert settings.temporal.address == "127.0.0.1:7233"


def test_a_half_written_stack_file_is_no_stack(folder: Path) -> None:
    (folder / "stack.json").write_text('{"postgres": {')
    assert Settings().postgres.dsn is None


def test_an_environment_brings_its_own_sizes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WARDFLOW_ENVIRONMENT", "test")
    monkeypatch.setenv("WARDFLOW_POSTGRES__POOL_SIZE", "3")
    settings = Settings(stack=StackSettings(folder=tmp_path))
    assert settings.postgres.lock_timeout == 6.0
    assert settings.postgres.pool_size == 3


def test_every_environment_file_holds_known_settings(tmp_path: Path) -> None:
    for environment in ("development", "test", "production"):
        assert Settings(environment=environment, stack=StackSettings(folder=tmp_path)).environment == environment


def test_an_unknown_setting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDFLOW_POSTGRES__DNS", "postgresql://typo")
    with pytest.raises(ValueError, match="dns"):
        Settings()


def test_secrets_are_in_no_text_of_the_settings(folder: Path) -> None:
    assert str(folder)
    assert "owner@stack" not in repr(Settings())
    assert "'s'" not in repr(Settings().s3)


def test_a_frozen_process_loses_its_transaction_before_those_who_wait_for_it_give_up(tmp_path: Path) -> None:
    for environment in ("development", "test", "production"):
        postgres = Settings(environment=environment, stack=StackSettings(folder=tmp_path)).postgres
        assert postgres.idle_in_transaction_timeout < postgres.lock_timeout


def test_the_fhir_server_that_is_asked_is_the_one_that_was_set_then_the_stacks_sandbox_then_hapis(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Settings().fhir.default == "hapi"
    (folder / "stack.json").write_text(json.dumps(STACK | {"fhir_sandbox": {"url": "http://127.0.0.1:1/fhir"}}))
    assert Settings().fhir.default == "sandbox"
    assert Settings().fhir.by_name["sandbox"].base_url == "http://127.0.0.1:1/fhir"
    monkeypatch.setenv("WARDFLOW_FHIR__SERVERS__WARD__BASE_URL", "https://ward.example/fhir")
    assert Settings().fhir.default == "ward"
    monkeypatch.setenv("WARDFLOW_FHIR__BASE_URL", "https://base.example/r4")
    assert Settings().fhir.default == "default"
    monkeypatch.setenv("WARDFLOW_FHIR__DEFAULT_SERVER", "hapi")
    assert Settings().fhir.default == "hapi"
    assert set(Settings().fhir.by_name) == {"hapi", "sandbox", "ward", "default"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BASE_URL", "ftp://ward.example"),
        ("BASE_URL", "https://user:secret@ward.example"),
        ("DEFAULT_SERVER", "unheard-of"),
        ("SERVERS", '{"file": {"base_url": "https://ward.example"}}'),
        ("SERVERS", '{"A b": {"base_url": "https://ward.example"}}'),
    ],
)
@pytest.mark.usefixtures("folder")
def test_a_fhir_server_that_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"WARDFLOW_FHIR__{name}", value)
    with pytest.raises(ValueError, match="fhir"):
        Settings()
