"""What a server delivered of what it announced or was asked for: counts for a run's result, report and warnings."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import cast

from pydantic import Field, JsonValue

from library.contracts.base import Contract
from library.contracts.runs import RunError

MOST_KINDS = 200
"""Codes and types to count by name. A server could make up any number of them."""
OTHERS = "others"
_SHOWN = 10


class Delivery(Contract):
    """Counts of one search, of one export, or of a whole run. They contain no patient data.

    Attributes:
        left_out: matches of the search for patients that are no patients of the zip code.
        answered: searches for observations, and reads of patients, that the server answered.
        patients_refused: patients whose resources the server refused.
        refusal: the first of these refusals.
        everything: whether the server refused `_lastUpdated`, so that all observations were requested.
        short_searches: searches that twice had fewer resources than the server's `total`.
        missing_resources: the resources that these searches did not have.
        search_failures: issues of the severity error or fatal among the entries of searches.
        short_files: files of an export that twice had fewer lines than the manifest's `count`.
        missing_lines: the lines that these files did not have.
        issues: issues in the export's files of errors, by severity and code (`error/exception`).
        failures: those of the severity error or fatal.
        unread_errors: files of errors, and lines of them, that cannot be read.
        deleted: deletions that the export names, by the type of resource. They are not applied.
        unread_deletions: files of deletions, and lines of them, that cannot be read.
        unread_pages: pages of the manifest that cannot be read; later pages are unknown.
    """

    left_out: int = 0
    answered: int = 0
    patients_refused: int = 0
    refusal: RunError | None = None
    everything: bool = False
    short_searches: int = 0
    missing_resources: int = 0
    search_failures: int = 0
    short_files: int = 0
    missing_lines: int = 0
    issues: dict[str, int] = Field(default_factory=dict)
    failures: int = 0
    unread_errors: int = 0
    deleted: dict[str, int] = Field(default_factory=dict)
    unread_deletions: int = 0
    unread_pages: int = 0

    def __add__(self, other: "Delivery") -> "Delivery":
        """The sums of both; the first refusal stays."""
        return Delivery(
            refusal=self.refusal or other.refusal,
            everything=self.everything or other.everything,
            issues=summed(self.issues, other.issues),
            deleted=summed(self.deleted, other.deleted),
            **{name: getattr(self, name) + getattr(other, name) for name in _NUMBERS},
        )

    @property
    def incomplete(self) -> bool:
        """Whether the server said that data is missing, so that the result of the run is `incomplete`."""
        return bool(
            self.patients_refused or self.search_failures or self.failures or self.unread_errors or self.unread_pages
        )

    @property
    def all_refused(self) -> bool:
        """Whether the server refused the resources of every patient."""
        return self.patients_refused > 0 and self.answered == 0

    @property
    def report(self) -> dict[str, JsonValue]:
        """The entries of the run's report; zeros are left out."""
        names = (*(name for name in _NUMBERS if name != "answered"), "issues", "deleted")
        return {name: cast(JsonValue, value) for name in names if (value := getattr(self, name))}

    def warnings(self) -> list[str]:
        """Sentences for people. `left_out` has none: most servers return more patients than those of a zip code."""
        return list(self._warnings())

    def _warnings(self) -> Iterator[str]:
        if self.patients_refused:
            reason = f" {self.refusal.message}" if self.refusal else ""
            yield f"The server refused the resources of {_some(self.patients_refused, 'patient')}.{reason}"
        if self.everything:
            yield "The server refused the parameter _lastUpdated, so all observations were requested."
        if self.short_searches:
            yield (
                f"{_some(self.short_searches, 'search', 'searches')} had fewer resources than the server's total, in "
                f"two tries: {self.missing_resources:,} did not come. The next import requests all of them again."
            )
        if self.search_failures:
            yield (
                f"The server stated {_some(self.search_failures, 'error')} beside the results of searches, so results "
                "can be missing. The next import requests all of them again."
            )
        if self.short_files:
            yield (
                f"{_some(self.short_files, 'file')} of the export had fewer lines than the manifest counts, in two "
                f"tries: {self.missing_lines:,} did not come."
            )
        if self.issues:
            yield f"The export names issues in its files of errors: {_named(self.issues)}."
        if self.unread_errors:
            yield f"{_some(self.unread_errors, 'file or line', 'files or lines')} of export errors cannot be read."
        if self.deleted:
            yield f"The export names deletions, which were not applied: {_named(self.deleted)}."
        if self.unread_deletions:
            what = _some(self.unread_deletions, "file or line", "files or lines")
            yield f"{what} of the export's deletions cannot be read."
        if self.unread_pages:
            yield "A further page of the export's manifest cannot be read. Its files, and those after it, are missing."


_NUMBERS = tuple(name for name, each in Delivery.model_fields.items() if each.annotation is int)


def summed(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    """Counts by name. Names after the first `MOST_KINDS` are counted together."""
    sums = Counter(one)
    for name, count in other.items():
        sums[name if name in sums or len(sums) < MOST_KINDS else OTHERS] += count
    return dict(sums)


def _some(count: int, one: str, several: str = "") -> str:
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def _named(counts: Mapping[str, int]) -> str:
    most = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    more = sum(count for _, count in most[_SHOWN:])
    return ", ".join([*(f"{name} {count:,}" for name, count in most[:_SHOWN]), *([f"more {more:,}"] if more else [])])
