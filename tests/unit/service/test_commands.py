"""The command line itself, without a server."""

from typer.testing import CliRunner

from service.cli import app


def test_a_misspelt_command_is_answered_with_a_similar_one() -> None:
    result = CliRunner().invoke(app, ["ingst"])
    assert result.exit_code == 2
    assert "Did you mean 'ingest'?" in " ".join(result.output.split())
