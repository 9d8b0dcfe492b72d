"""A KH03 workbook of four made-up trusts."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

from tests.sources.environment import Sent, SourceEnvironment
from tests.sources.supply import RefusedWhole, Supply
from tests.support.workbook_builder import ERA_F, SECTOR_SHEET, TRUSTS, kh03, place_of, write

NAME, TITLE = "ZWETSCHGENBAUM HOSPITAL NHS TRUST", "beds open overnight, as Kunigunde counted them"
TRUST = replace(TRUSTS[0], name=NAME, occupied=(1601.252525, 0.0, 116.75, 0.0))
SHEETS = kh03(replace(ERA_F, title=TITLE), (TRUST, *TRUSTS[1:]))


def _bad() -> bytes:
    sector = SHEETS[SECTOR_SHEET]
    row, column = place_of(sector, NAME)
    return write(SHEETS | {SECTOR_SHEET: sector | {(row, column + 2): "about fifty-five"}})


async def _send(environment: SourceEnvironment, content: bytes) -> Sent:
    return await environment.upload("/nhs-data/upload", "beds.xlsx", content)


async def _reload(environment: SourceEnvironment, content: bytes) -> Sent:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "beds.xlsx")
        path.write_bytes(content)
        said = await environment.commands.done("ingest", "workbook", str(path), "--reload", "--json")
    (outcome,) = json.loads(said)
    return await environment.ended(outcome["run"])


SUPPLY = Supply(
    send=_send,
    good=write(SHEETS),
    rows={
        "beds.edition": 1,
        "beds.edition_organisation": 4,
        "beds.occupancy": 20,
        "beds.specialty_occupancy": 24,
        "beds.england_total": 5,
        "beds.specialty": 6,
    },
    bad=_bad(),
    bad_row=RefusedWhole("NumberExpected"),
    another_kind=write({"Sales": {(0, 0): "Month", (1, 0): NAME, (1, 1): 1601.252525, (2, 0): "about fifty-five"}}),
    another_kind_is="AnotherSeries",
    sentinels=frozenset((NAME, TITLE, "1601.252525", "fifty-five")),
    reload=_reload,
)
