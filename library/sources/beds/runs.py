"""Sets superscript and subscript runs of an .xlsx part apart, before the spreadsheet library joins them."""

from dataclasses import dataclass, field
from typing import NamedTuple
from xml.parsers import expat

from library.sources.beds.contracts import WorkbookDamaged
from library.sources.beds.marks import RUN_END, RUN_START, are_marks


class _Run(NamedTuple):
    """A run of a text: the positions of its characters in the part, and whether it is raised or lowered."""

    start: int
    end: int
    text: str
    moved: bool


def with_runs_set_apart(part: bytes) -> bytes:
    """Put each superscript or subscript run of a part between `RUN_START` and `RUN_END`.

    Raises:
        WorkbookDamaged: the part is not well-formed XML, or declares entities.
    """
    if b"vertAlign" not in part:
        return part
    reading = _Reading()
    try:
        reading.parser.Parse(part, True)
    except expat.ExpatError as error:
        raise WorkbookDamaged("A part of the archive is not valid XML.") from error
    pieces: list[bytes] = []
    position = 0
    for run in reading.marks:
        pieces += [part[position : run.start], RUN_START.encode(), part[run.start : run.end], RUN_END.encode()]
        position = run.end
    return b"".join([*pieces, part[position:]])


def _refuse_entities(*_: object) -> None:
    raise WorkbookDamaged("A part of the archive is not valid XML.")


@dataclass
class _Reading:
    """Collects the runs of each text (`si` or `is`), and of these the ones that are marks."""

    parser: expat.XMLParserType = field(default_factory=expat.ParserCreate)
    marks: list[_Run] = field(default_factory=list)
    _runs: list[_Run] = field(default_factory=list)
    _inside: list[str] = field(default_factory=list)
    _moved: bool = False
    _start: int | None = None
    _text: str = ""

    def __post_init__(self) -> None:
        self.parser.StartElementHandler = self._start_element
        self.parser.EndElementHandler = self._end_element
        self.parser.CharacterDataHandler = self._characters
        self.parser.EntityDeclHandler = _refuse_entities

    def _start_element(self, name: str, attributes: dict[str, str]) -> None:
        local = name.rpartition(":")[2]
        self._inside.append(local)
        if local in ("si", "is"):
            self._runs = []
        elif local == "r":
            self._moved = False
        elif local == "vertAlign":
            self._moved = attributes.get("val") in ("superscript", "subscript")
        elif local == "t":
            self._start, self._text = None, ""

    def _characters(self, content: str) -> None:
        if self._inside and self._inside[-1] == "t":
            if self._start is None:
                self._start = self.parser.CurrentByteIndex
            self._text += content

    def _end_element(self, _name: str) -> None:
        local = self._inside.pop()
        if local == "t" and self._start is not None and "rPh" not in self._inside:
            moved = self._moved and "r" in self._inside
            self._runs.append(_Run(self._start, self.parser.CurrentByteIndex, self._text, moved))
        elif local in ("si", "is"):
            self._keep_marks()

    def _keep_marks(self) -> None:
        marks = are_marks([(run.text, run.moved) for run in self._runs])
        self.marks.extend(run for run, is_mark in zip(self._runs, marks, strict=True) if is_mark)
