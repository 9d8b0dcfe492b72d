"""Reads the commands and answers in the fenced blocks of README.md and docs/*.md.

The info string says what a block is:

- `bash`: commands; the page shows no answer.
- `text` that begins with `$ `: commands, each with its answer below.
- `python`: a program. The blocks of a page are one session: a block can use the names of earlier blocks.
- `text` after a `python` block: the output of that block.

Any other block is not a command. The test must name it with a reason.
"""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from markdown_it import MarkdownIt

from config.servers import CHECKOUT

ELLIPSIS = "…"
PROMPT = "$ "


@dataclass(frozen=True)
class Block:
    """A block of code.

    Attributes:
        page: its file, from the top of the checkout.
        line: where it begins, counted from 1.
        info: the word behind the fence.
    """

    page: str
    line: int
    info: str
    text: str

    @property
    def first_line(self) -> str:
        """What the block is named by."""
        return self.text.partition("\n")[0]

    @property
    def is_transcript(self) -> bool:
        """Whether it shows commands together with their answers."""
        return self.info == "text" and self.text.startswith(PROMPT)


@dataclass(frozen=True)
class Command:
    """A command of a page.

    Attributes:
        place: page and line.
        language: `bash` or `python`.
        answer: what the page shows below it; `None` where it shows nothing.
    """

    page: str
    line: int
    language: str
    text: str
    answer: str | None = None

    @property
    def place(self) -> str:
        """Where it stands, for people."""
        return f"{self.page}:{self.line}"


def pages() -> list[str]:
    """README.md, then the pages of docs in the order in which README names them."""
    readme = (CHECKOUT / "README.md").read_text()
    there = {f"docs/{file.name}" for file in (CHECKOUT / "docs").glob("*.md")}
    named = [page for page in dict.fromkeys(re.findall(r"\((docs/[\w-]+\.md)", reading_list(readme))) if page in there]
    return ["README.md", *named, *sorted(there - set(named))]


def reading_list(readme: str) -> str:
    """The last section of README.md that lists the pages."""
    return readme.rpartition("## Where to read on")[2]


def blocks_of(page: str, text: str) -> list[Block]:
    """The blocks of a page. One that is only indented has no info string, so it has to be named."""
    tokens = MarkdownIt().parse(text)
    return [
        Block(page, (token.map or [0])[0] + 1, token.info.strip(), token.content)
        for token in tokens
        if token.type in ("fence", "code_block")
    ]


def inline_code(text: str) -> list[str]:
    """What stands in backquotes within the sentences of a page."""
    tokens = MarkdownIt().enable("table").parse(text)
    return [child.content for token in tokens for child in token.children or () if child.type == "code_inline"]


def commands_of(blocks: list[Block]) -> tuple[list[Command], list[Block]]:
    """The commands of a page's blocks in their order, and the blocks that hold none."""
    commands: list[Command] = []
    others: list[Block] = []
    for before, block in zip([None, *blocks], blocks, strict=False):
        if block.info == "bash":
            commands += _commands(block)
        elif block.is_transcript:
            commands += _transcript(block)
        elif block.info == "python":
            commands.append(Command(block.page, block.line, "python", block.text))
        elif block.info == "text" and before is not None and before.info == "python":
            program = commands.pop()
            commands.append(Command(program.page, program.line, "python", program.text, block.text))
        else:
            others.append(block)
    return commands, others


def _commands(block: Block) -> Iterator[Command]:
    """Each command that is complete by itself, be it of several lines."""
    begun: list[str] = []
    for number, line in enumerate(block.text.splitlines(), block.line + 1):
        if not begun and (not line.strip() or line.lstrip().startswith("#")):
            continue
        begun.append(line)
        if _is_complete("\n".join(begun)):
            yield Command(block.page, number - len(begun) + 1, "bash", "\n".join(begun))
            begun = []
    assert not begun, f"{block.page}:{block.line}: bash cannot read the end of this block"


def _transcript(block: Block) -> Iterator[Command]:
    lines = block.text.splitlines()
    at = 0
    while at < len(lines):
        first = at
        command = lines[at].removeprefix(PROMPT)
        at += 1
        while not _is_complete(command) and at < len(lines):
            command += "\n" + lines[at]
            at += 1
        answer: list[str] = []
        while at < len(lines) and not lines[at].startswith(PROMPT):
            answer.append(lines[at])
            at += 1
        yield Command(block.page, block.line + 1 + first, "bash", command, "\n".join(answer))


def _is_complete(command: str) -> bool:
    if command.endswith("\\"):
        return False
    read = subprocess.run(["bash", "-n"], input=command, capture_output=True, text=True, check=False)  # noqa: S607
    return read.returncode == 0 and not read.stderr  # a here-document without its end is only a warning


WAITS = "Waiting for "
"""How a line begins that says what a command waits for."""


def plain(text: str) -> str:
    """A text as it is compared: without the widths of columns and blank ends."""
    return "\n".join(re.sub(r"([ ─═])\1+", r"\1", line).strip() for line in text.splitlines()).strip("\n")


def pattern(shown: str) -> str:
    """The expression for what a page shows: `…` is anything in its line, or any lines."""
    parts = []
    for line in plain(shown).split("\n"):
        if line == ELLIPSIS:
            parts.append(r"(?:.*\n)*?")
        else:
            parts.append(r".*?".join(re.escape(each) for each in line.split(ELLIPSIS)) + r"\n")
    return "".join(parts)


def answers(shown: str, printed: str) -> bool:
    """Whether a command printed what its page shows.

    Lines that say what a command waits for come on a slow machine only, so they count only where the page shows one.
    """
    if WAITS not in shown:
        printed = "".join(line for line in printed.splitlines(keepends=True) if not line.startswith(WAITS))
    return re.fullmatch(pattern(shown), plain(printed) + "\n") is not None


def is_part_of(shown: str, printed: str) -> bool:
    """Whether a command printed what its page shows, among other lines."""
    return re.search("^" + pattern(shown), plain(printed) + "\n", re.MULTILINE) is not None
