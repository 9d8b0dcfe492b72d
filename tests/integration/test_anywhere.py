"""The first minutes of a new user, wherever the checkout lies, on real stacks."""

import json
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from config.servers import CHECKOUT
from config.settings import Settings, StackSettings
from service.resources import warehouse_dsn
from service.stack import identity, postgres
from service.stack.jars import choose_folder
from service.stack.runner import embedded_stack
from tests.support.checkouts import Checkout, copy_checkout
from tests.support.runs import NHS

WORKBOOK = NHS / "kh03" / "Beds-Open-Overnight-Web_File-Q3-2025-26.xlsx"
ODD = Path('it\'s a "quoted" path', "Krankenhäuser — données", "$HOME,a;b#c%20", "x" * 90)
"""A path with blanks, quotes, other letters and signs, too long for a socket."""


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that only its owner can enter; it goes with all copies that were made in it."""
    folder = Path(tempfile.mkdtemp(prefix="wardflow-anywhere-"))
    yield folder
    shutil.rmtree(folder)


@dataclass(frozen=True)
class Situation:
    """How and where a checkout is used.

    Attributes:
        path: of the checkout, below the folder of the test.
        closed: whether only their owner can enter the folders of the checkout, as after a clone with umask 077.
        data: of the data, below the folder of the test; `None`: in the checkout.
        note: what the doctor says of Postgres where root starts the stack.
    """

    path: Path
    closed: bool = False
    note: str = identity.NAMESPACE_NOTE
    data: Path | None = None
    umask: int = 0o022
    environment: dict[str, str] = field(default_factory=dict)
    confinement: tuple[str, ...] = ()

    def made(self, place: Path) -> Checkout:
        """Make it in a folder."""
        environment = {name: value.format(place=place) for name, value in self.environment.items()}
        if "HOME" in environment:
            environment["WARDFLOW_STACK__JARS"] = str(choose_folder(None, place))  # fetched once is enough
        if self.data is not None:
            environment["WARDFLOW_STACK__FOLDER"] = str(place / self.data)
        confinement = tuple(word.format(place=place) for word in self.confinement)
        (place / "read-only").mkdir(mode=0o555, exist_ok=True)
        return Checkout(copy_checkout(place / self.path, closed=self.closed), environment, confinement, self.umask)


TWO_AT_ONCE = (
    # Closed folders, umask 077, and no HOME.
    Situation(Path("closed"), closed=True, umask=0o077),
    # Data in a closed folder with an odd path, umask 027, a HOME that is missing, and a locale without our letters.
    Situation(
        Path("open"),
        note=identity.USER_NOTE.format(identity.USER),
        data=ODD / ".wardflow",
        umask=0o027,
        environment={
            "HOME": "{place}/nowhere",
            "LC_ALL": "C",
            "PYTHONUTF8": "0",
            "PYTHONCOERCECLOCALE": "0",
            "PYTHONIOENCODING": "ascii",
        },
    ),
)
ANOTHER_USER = Situation(
    Path("wardflow"),
    environment={"HOME": "{place}/read-only"},
    confinement=("--another-user", "--noexec-tmp={place}", "--no-ipv6"),
)


def answer(checkout: Checkout, *words: str) -> Any:
    result = checkout.wardflow(*words, "--json")
    assert result.returncode == 0, result.stdout + result.stderr
    return json.loads(result.stdout)


def others_can_read(folder: Path) -> bool:
    """Whether each user of the machine can read a folder."""
    reads = stat.S_IROTH | stat.S_IXOTH
    return all(each.stat().st_mode & reads == reads for each in (folder, *folder.resolve().parents))


def check_that_it_works(checkout: Checkout, note: str = "") -> None:
    (ingested,) = answer(checkout, "ingest", "workbook", str(checkout.folder / WORKBOOK.relative_to(CHECKOUT)))
    assert (ingested["state"], ingested["result"]) == ("completed", "loaded")
    report = answer(checkout, "doctor")
    assert report["problems"] == []
    folder = Path(checkout.environment.get("WARDFLOW_STACK__FOLDER", checkout.folder / ".wardflow"))
    assert Path(report["folder"]) == folder.resolve()
    if os.geteuid() == 0 and not checkout.confinement:
        (part,) = (part for part in report["parts"] if part["name"] == "postgres")
        process = psutil.Process(part["pid"])
        assert [each["message"] for each in report["notes"]] == [note]
        if note == identity.NAMESPACE_NOTE:
            assert "CapEff:\t0000000000000000" in Path(f"/proc/{process.pid}/status").read_text()
        else:
            assert process.username() == identity.USER


@pytest.mark.timeout(300)
def test_two_checkouts_start_at_once_and_know_nothing_of_each_other(place: Path) -> None:
    place.chmod(0o755)
    checkouts = [situation.made(place) for situation in TWO_AT_ONCE]
    try:
        starting = [each.begin(str(each.folder / ".venv/bin/wardflow"), "up", "--detach") for each in checkouts]
        for process in starting:
            out, err = process.communicate(timeout=200)
            assert process.returncode == 0, out + err
        for each, situation in zip(checkouts, TWO_AT_ONCE, strict=True):
            # The copies use the programs of this checkout, which another user cannot read in a closed folder.
            check_that_it_works(each, situation.note if others_can_read(Path(sys.prefix)) else identity.NAMESPACE_NOTE)
    finally:
        ended = [each.wardflow("down") for each in checkouts]
    assert [each.returncode for each in ended] == [0, 0]


@pytest.mark.timeout(300)
def test_another_user_needs_no_home_folder_to_write_to_no_programs_in_tmp_and_no_ipv6(place: Path) -> None:
    checkout = ANOTHER_USER.made(place)
    try:
        started = checkout.wardflow("up", "--detach", wait=200)
        assert started.returncode == 0, started.stdout + started.stderr
        check_that_it_works(checkout)
    finally:
        ended = checkout.wardflow("down")
    assert ended.returncode == 0, ended.stderr


@pytest.mark.timeout(300)
def test_make_demo_installs_and_runs_below_closed_folders_with_odd_names_through_a_link_from_elsewhere(
    place: Path,
) -> None:
    folder = copy_checkout(place / ODD / "wardflow", installed=False, closed=True)
    (place / "link").symlink_to(folder)
    checkout = Checkout(place / "link", {"HOME": str(Path.home()), "LC_ALL": "C"}, umask=0o077, called_from=Path("/"))
    try:
        demo = checkout.call("make", "-C", str(place / "link"), "demo", wait=280)
        assert demo.returncode == 0, demo.stdout + demo.stderr
        assert demo.stdout.count("✓") == 8 + 1 + 1
        assert answer(checkout, "doctor")["folder"] == str(folder / ".wardflow")
    finally:
        checkout.wardflow("down")


@pytest.mark.skipif(os.geteuid() != 0, reason="every other user runs Postgres as itself")
def test_where_postgres_can_run_neither_as_another_user_nor_in_a_namespace_the_first_line_says_what_to_do(
    place: Path,
) -> None:
    folder = copy_checkout(place / "wardflow", closed=True)
    (folder / ".venv" / ".product").unlink()
    checkout = Checkout(folder, confinement=("--no-namespaces",))
    for command in (("bash", ".ci/install", "product"), (".venv/bin/wardflow", "up"), (".venv/bin/wardflow", "demo")):
        refused = checkout.call(*command)
        assert refused.returncode == 1
        first = (refused.stdout + refused.stderr).splitlines()[0]
        assert "useradd" in first
        assert "WARDFLOW_STACK__USER" in first
        assert "Installing" not in refused.stderr
        assert "starting" not in refused.stdout + refused.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="every other user runs Postgres as itself")
async def test_data_are_handed_over_when_their_former_user_cannot_reach_them_any_more(place: Path) -> None:
    settings = Settings(environment="test", stack=StackSettings(folder=place / ".wardflow"))
    data = place / ".wardflow" / "postgres"
    async with embedded_stack(settings, parts=("postgres",)):
        owner = data.stat().st_uid
    for path in (*data.rglob("*"), data):
        os.chown(path, 4_711, 4_711)
    async with embedded_stack(settings, parts=("postgres",)) as running:
        assert data.stat().st_uid == (data / "base").stat().st_uid == owner
        assert not (await postgres.health(warehouse_dsn(running))).problem
