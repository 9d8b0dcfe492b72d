"""Measures contestants side by side, in turns; the best time of several rounds counts. Prints the table."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from rich.console import Console
from rich.table import Table

type Contestant = Callable[[], Awaitable[float]]
"""Does its work once and returns the seconds that count: preparations are not among them."""


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        measured: what was measured, in words.
        value: the figure as text: `1.12 x`, `38 MB`.
        bound: the bound that it must keep; empty if it is only reported.
        kept: whether it keeps the bound.
        parts: the values from which it was calculated.
    """

    measured: str
    value: str
    bound: str = ""
    kept: bool = True
    parts: str = ""


@dataclass
class Report:
    """All figures of a session, in the order in which they were measured."""

    figures: list[Figure] = field(default_factory=list)

    def ratio(self, measured: str, ours: float, theirs: float, *, at_most: float, of: str) -> Figure:
        """Enter how many times as long as `of` ours takes."""
        quotient = ours / theirs
        parts = f"{seconds(ours)} : {seconds(theirs)} ({of})"
        return self.enter(measured, f"{quotient:.2f} x", f"≤ {at_most:g} x", kept=quotient <= at_most, parts=parts)

    def speedup(self, measured: str, ours: float, theirs: float, *, at_least: float, of: str) -> Figure:
        """Enter how many times as fast as `of` ours is."""
        quotient = theirs / ours
        parts = f"{seconds(ours)} : {seconds(theirs)} ({of})"
        return self.enter(measured, f"{quotient:.1f} x", f"≥ {at_least:g} x", kept=quotient >= at_least, parts=parts)

    def enter(self, measured: str, value: str, bound: str = "", *, kept: bool = True, parts: str = "") -> Figure:
        """Add a figure and print it at once, since all of them take minutes."""
        figure = Figure(measured, value, bound, kept, parts)
        print(f"\n{measured}: {value} {bound} {parts}", flush=True)  # noqa: T201 - shows the progress
        self.figures.append(figure)
        return figure

    def show(self, console: Console) -> None:
        """Print the table."""
        lines = Table("measured", "figure", "bound", "kept", "made of", title="Benchmarks", title_justify="left")
        for figure in self.figures:
            kept = ("yes" if figure.kept else "[red]NO[/]") if figure.bound else ""
            lines.add_row(figure.measured, figure.value, figure.bound, kept, figure.parts)
        console.print(lines)


def seconds(value: float) -> str:
    """A duration with three digits."""
    return f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"


def milliseconds(values: Sequence[float]) -> str:
    """The median of some durations."""
    return f"{median(values) * 1000:.0f} ms"


async def in_turns(rounds: int, *contestants: Contestant) -> tuple[list[float], ...]:
    """The seconds of each contestant in each round. Every other round begins with the last one.

    So whatever else the machine does meets all of them, and none always comes after the same other.
    """
    taken: tuple[list[float], ...] = tuple([] for _ in contestants)
    for number in range(rounds):
        order = range(len(contestants))
        for index in order if number % 2 == 0 else reversed(order):
            taken[index].append(await contestants[index]())
    return taken


async def best_of(rounds: int, *contestants: Contestant) -> tuple[float, ...]:
    """The shortest time of each contestant: what disturbs a measurement only ever makes it longer."""
    return tuple(min(taken) for taken in await in_turns(rounds, *contestants))


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    def __call__(self) -> float:
        return time.perf_counter() - self._began
