"""Commands and answers are taken out of the pages; commands in sentences exist."""

import re

import pytest
from typer.testing import CliRunner

from config.servers import CHECKOUT
from service.cli import app
from tests.support.pages import answers, blocks_of, commands_of, inline_code, is_part_of, pages

PAGE = """
# A page

```bash
one --flag   # with a reason
for each in 1 2; do
    echo $each
done

cat <<END
text
END
```

```text
$ two "of
  several lines"
its answer
$ three \\
    more
$ echo $?
1
```

```python
print("four")
```

```text
four
```

```json
{}
```

```text
an answer to nothing
```
"""


def test_each_block_is_commands_with_their_answers_or_is_left_to_be_named() -> None:
    commands, others = commands_of(blocks_of("docs/x.md", PAGE))
    assert [(each.line, each.text, each.answer) for each in commands] == [
        (5, "one --flag   # with a reason", None),
        (6, "for each in 1 2; do\n    echo $each\ndone", None),
        (10, "cat <<END\ntext\nEND", None),
        (16, 'two "of\n  several lines"', "its answer"),
        (19, "three \\\n    more", ""),
        (21, "echo $?", "1"),
        (25, 'print("four")\n', "four\n"),
    ]
    assert [each.first_line for each in others] == ["{}", "an answer to nothing"]


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("a   b\n1   22", "a  b\n1  22  \n"),
        ("id …, done", "id 7f3a, done\n"),
        ("first\n…\nlast", "first\nlast\n"),
        ("first\n…\nlast", "first\n2\n3\nlast\n\n"),
        ("", ""),
        ("a (b) [c] $d", "a (b) [c] $d"),
        ("3 rows", "Waiting for Kafka. Trying for up to 9 s more.\n3 rows\n"),
        ("Waiting for Kafka. …\n3 rows", "Waiting for Kafka. Trying for up to 9 s more.\n3 rows\n"),
    ],
)
def test_an_answer_fits_what_is_shown(shown: str, printed: str) -> None:
    assert answers(shown, printed)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("3 rows", "4 rows\n"),
        ("3 rows", "3 rows\nand a warning\n"),
        ("a …\nb", "a\nc\nb\n"),
        ("first\n…\nlast", "first\nlast\nmore\n"),
        ("", "something\n"),
        ("a.c", "abc\n"),
        ("Waiting for Kafka. …\n3 rows", "3 rows\n"),
    ],
)
def test_another_answer_does_not(shown: str, printed: str) -> None:
    assert not answers(shown, printed)


def test_a_part_has_whole_lines() -> None:
    assert is_part_of("b …\nc", "a\nb 1\nc\nd\n")
    assert not is_part_of("b …\nc", "a\nb 1\ncc\nd\n")


@pytest.mark.parametrize("page", pages())
def test_commands_within_sentences_exist_with_their_options(page: str) -> None:
    targets = re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)
    for code in inline_code((CHECKOUT / page).read_text()):
        program, *words = code.removeprefix(".venv/bin/").replace("…", "").split() or [""]
        if program == "make":
            assert set(words) <= set(targets), f"{page}: {code}"
        elif program == "wardflow":
            told = CliRunner().invoke(app, [*words, "--help"])
            assert told.exit_code == 0, f"{page}: {code}\n{told.output}"
