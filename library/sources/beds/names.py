"""The names that the beds source gives to what workbooks call in many ways."""

from collections.abc import Sequence
from typing import Literal, get_args

type Basis = Literal["overnight", "day_only"]
type Sector = Literal["total", "general_and_acute", "learning_disabilities", "maternity", "mental_illness"]
type ParentKind = Literal["strategic_health_authority", "area_team", "region"]

READ_BEDS = "read:beds"
"""The scope of questions about beds."""

BASES: tuple[Basis, ...] = get_args(Basis.__value__)
SECTORS: tuple[Sector, ...] = get_args(Sector.__value__)
PARENT_KINDS: tuple[ParentKind, ...] = get_args(ParentKind.__value__)


def one_of(column: str, names: Sequence[str]) -> str:
    """Return the SQL condition that a column has one of these names."""
    return f"{column} IN ({', '.join(repr(name) for name in names)})"
