"""What became of runs that a command started: for scripts, and for people."""

from collections.abc import Sequence

from rich.text import Text

from library.contracts.runs import RunState
from service.cli.following import RunEnd
from service.cli.output import err, out, table

_KINDS = ("inserted", "updated", "unchanged", "rejected")


def told(followed: RunEnd) -> dict[str, object]:
    """What scripts get of a run."""
    found = followed.run
    return {
        "name": followed.name,
        "run": found.id if found else "",
        "state": found.state if found else RunState.FAILED,
        "result": found.result if found else None,
        "counts": found.counts if found else {},
        "report": found.report if found else {},
        "warnings": found.warnings if found else [],
        "error_type": followed.error_type,
        "error": followed.error,
        "advice": followed.advice,
    }


def show(followed: Sequence[RunEnd]) -> None:
    """A line for each run, with its rows in all datasets; below them why those that failed did."""
    lines = table("name", "result", *(f"{kind}>" for kind in _KINDS))
    for each in followed:
        state = each.run.state if each.run else RunState.FAILED
        counts = [counted for counted in each.run.counts.values() if isinstance(counted, dict)] if each.run else []
        rows = [sum(int(str(counted.get(kind, 0))) for counted in counts) for kind in _KINDS]
        lines.add_row(
            each.name,
            Text(each.result, "green") if each.completed else Text(each.error_type or state, "red"),
            *(f"{number:,}" if number or each.completed else "" for number in rows),
        )
    out.print(lines)
    show_errors(followed)


def show_errors(followed: Sequence[RunEnd]) -> None:
    """Print the reasons of failed runs, and what to do."""
    for each in followed:
        if each.error:
            err.print(f"\n{each.name}: {each.error}", style="red")
            err.print(each.advice)
