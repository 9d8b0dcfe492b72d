"""What a machine lacks is said before anything is installed or started, one sentence each."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.servers import CHECKOUT
from library.contracts.errors import ConfigurationError
from service.stack import identity, jars, preflight
from service.stack.preflight import MachineLacks, Needs, check


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_machine_that_has_all_of_it_is_told_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in ("DISK_FOR_DATA", "DISK_FOR_PROGRAMS", "MEMORY"):
        monkeypatch.setattr(preflight, limit, 1)
    check(Needs(tmp_path / "missing" / ".wardflow", first_start=True, install_into=CHECKOUT, postgres=True))


def test_every_lack_is_one_line_with_the_way_to_mend_it(
    tmp_path: Path, busy_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "DISK_FOR_DATA", 2**60)
    monkeypatch.setattr(preflight, "DISK_FOR_PROGRAMS", 2**60)
    monkeypatch.setattr(preflight, "MEMORY", 2**60)
    with pytest.raises(MachineLacks) as refused:
        ports = {"api": busy_port, "kafka": 99_999}
        check(Needs(tmp_path / "data", first_start=True, ports=ports, install_into=tmp_path))
    lines = refused.value.message.splitlines()
    assert [line.split(":")[0] for line in lines] == ["Disk", "Disk", "Memory", "Port", "Port"]
    assert "for the data" in lines[0]
    assert "WARDFLOW_STACK__FOLDER" in lines[0]
    assert "for the packages" in lines[1]
    assert "WARDFLOW_STACK__API_PORT" in lines[3]
    assert str(busy_port) in lines[3]
    assert "1 to 65535" in lines[4]


def test_a_folder_that_cannot_be_written_to_is_named() -> None:
    with pytest.raises(MachineLacks, match=r"^Folder: /proc, for the data, cannot be written to\. .*FOLDER"):
        check(Needs(Path("/proc/none/.wardflow")))


def test_it_runs_before_anything_is_installed_and_reads_the_settings_of_the_environment(busy_port: int) -> None:
    refused = subprocess.run(
        [sys.executable, "-S", "-m", "service.stack.preflight"],  # -S: without any package
        cwd=CHECKOUT,
        env={
            "PATH": os.environ["PATH"],
            "WARDFLOW_STACK__FOLDER": "/proc/x",
            "WARDFLOW_STACK__S3_PORT": str(busy_port),
        },
        capture_output=True,
        text=True,
    )
    assert refused.returncode == 1
    assert refused.stdout == ""
    *lacks, last = refused.stderr.splitlines()
    assert [line for line in lacks if line.startswith("Folder: /proc")]
    assert [line for line in lacks if line.startswith(f"Port: {busy_port}")]
    assert last == "Nothing was installed or started. Fix this, then try again."


def test_data_and_packages_on_one_disk_need_the_sum_of_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = shutil.disk_usage(tmp_path).free
    monkeypatch.setattr(preflight, "DISK_FOR_DATA", free * 2 // 3)
    monkeypatch.setattr(preflight, "DISK_FOR_PROGRAMS", free * 2 // 3)
    monkeypatch.setattr(preflight, "MEMORY", 1)
    check(Needs(tmp_path / "data", first_start=True))
    with pytest.raises(MachineLacks, match="for the packages"):
        check(Needs(tmp_path / "data", first_start=True, install_into=tmp_path))


def test_a_stack_with_data_starts_whatever_memory_and_disk_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("DISK_FOR_DATA", "MEMORY"):
        monkeypatch.setattr(preflight, limit, 2**60)
    check(Needs(tmp_path, first_start=False))


def test_caches_of_files_in_a_container_count_as_available(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mebibyte = 2**20
    (tmp_path / "memory.max").write_text(f"{4_096 * mebibyte}\n")
    (tmp_path / "memory.current").write_text(f"{4_000 * mebibyte}\n")
    caches = {"anon": 900, "inactive_file": 1_500, "active_file": 500, "slab_reclaimable": 100}
    (tmp_path / "memory.stat").write_text("".join(f"{name} {size * mebibyte}\n" for name, size in caches.items()))
    monkeypatch.setattr(preflight, "_MEMORY_OF_CONTAINER", tmp_path)
    monkeypatch.setattr(preflight, "MEMORY", 2_000 * mebibyte)
    check(Needs(tmp_path, first_start=True))
    monkeypatch.setattr(preflight, "MEMORY", 3_000 * mebibyte)
    with pytest.raises(MachineLacks, match=r"^Memory: 2\.1 GiB are available, 2\.9 GiB are needed"):
        check(Needs(tmp_path, first_start=True))


def test_a_user_who_does_not_exist_is_refused_with_the_setting_before_and_after_the_installation(
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigurationError, match="WARDFLOW_STACK__USER names the user nobody-of-this-name"):
        identity.check_before_install(tmp_path, CHECKOUT, "nobody-of-this-name")
    with pytest.raises(ConfigurationError, match="WARDFLOW_STACK__USER names the user nobody-of-this-name"):
        identity.choose(tmp_path, [CHECKOUT / "service"], "nobody-of-this-name")


def test_jars_lie_in_the_cache_of_the_user_or_with_the_stack_where_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = tmp_path / "stack"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert jars.choose_folder(None, stack) == tmp_path / "cache" / "wardflow" / "jars"
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/none")
    assert jars.choose_folder(None, stack) == stack / "jars"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert jars.choose_folder(None, stack) == tmp_path / ".cache" / "wardflow" / "jars"
    monkeypatch.setenv("HOME", str(tmp_path / "missing"))
    assert jars.choose_folder(None, stack) == stack / "jars"
    assert jars.choose_folder(tmp_path / "named", stack) == tmp_path / "named"
