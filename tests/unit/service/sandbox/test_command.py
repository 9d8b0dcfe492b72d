"""`wardflow sandbox fhir`, as a process."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.support.sandbox import NO_TLS, sandbox_process

COMMAND = (sys.executable, "-m", "service.cli", "sandbox", "fhir")


def test_without_files_the_shipped_sample_is_served_with_the_faults_asked_for() -> None:
    words = ("--fault", "unavailable=1", "--fault", "times=1", "--fault", "retry_after=2")
    with sandbox_process([], *words) as sandbox, httpx.Client(trust_env=False, verify=NO_TLS) as client:
        busy = client.get(f"{sandbox.url}/Patient")
        assert (busy.status_code, busy.headers["Retry-After"]) == (503, "2")
        assert client.get(f"{sandbox.url}/Patient").json()["total"] == 9


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_while_connections_are_open(number: signal.Signals) -> None:
    process = subprocess.Popen(  # noqa: S603 - our own command
        COMMAND, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    with httpx.Client(trust_env=False, verify=NO_TLS) as client:
        assert client.get(f"{url}/metadata").status_code == 200
        process.send_signal(number)
        _, log = process.communicate(timeout=20)
    assert process.returncode == 0, log
    assert "fhir sandbox started" in log
    assert url in log
    assert "fhir sandbox ended" in log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--fault", "unavailabel=1"), "A fault cannot be played: .*unavailabel"),
        (("--fault", "unavailable=often"), "A fault cannot be played: .*unavailable"),
        (
            ("--fault", "too_many_requests=2"),
            "A fault cannot be played: too_many_requests must be a rate from 0 to 1.*not 2",
        ),
        (("--fault", "unavailable=nan"), "A fault cannot be played: unavailable must be a rate from 0 to 1.*not nan"),
        (("nowhere",), "There is no file or folder nowhere"),
        (("pyproject.toml",), "pyproject.toml is neither a FHIR resource nor a Bundle"),
    ],
)
def test_a_mistake_is_answered_with_a_sentence(words: tuple[str, ...], sentence: str) -> None:
    root = Path(__file__).parents[4]
    refused = subprocess.run(  # noqa: S603 - our own command
        [*COMMAND, *words], cwd=root, env=os.environ | {"COLUMNS": "200"}, capture_output=True, text=True, timeout=60
    )
    assert refused.returncode == 1
    assert re.search(sentence, refused.stderr)
    assert "Traceback" not in refused.stderr
