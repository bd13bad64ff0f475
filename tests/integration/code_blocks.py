"""The code blocks of a Markdown page, and the comparison of claimed with printed output.

A ` ```console ` block holds commands after `$ ` and their output. A ` ```python ` block may be followed by an
` ```output ` block. A comment before a block may name a program that it needs, `<!-- needs: nats -->`, or
a file that contains it, `<!-- excerpt: crdtkv/crdt/joined.py -->`.

In the claimed output `…` stands for any text, alone on a line for any lines. Runs of blanks are one blank. Values that
differ from run to run (durations, ages, times, hexadecimal numbers) match any value of their kind.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FENCE = re.compile(r"^```(?P<language>\w*)\s*$")
REMARK = re.compile(r"^<!-- (?P<name>needs|excerpt): (?P<value>\S+) -->$")
EXECUTED = ("python", "console")

#: Values that a page shows and that differ in every run.
MEASURED = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?)|(?P<seconds>\b\d+\.\d+ s\b)|(?P<age>\b\d+s\b)"
    r"|(?P<hex>\b(?=[0-9a-f]*\d)[0-9a-f]{8,}\b)"
)
MATCHING = {
    "time": r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?",
    "seconds": r"\d+\.\d+ s",
    "age": r"\w+",
    "hex": r"[0-9a-f]{8,}",
}


class Block(NamedTuple):
    """A code block of a page; `output` is the text of the `output` block after it, None if there is none."""

    page: Path
    line: int
    language: str
    text: str
    remarks: dict[str, str]
    output: str | None = None

    @property
    def place(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of a page, each `output` block with the one before it."""
    found: list[Block] = []
    for block in _fenced(page):
        if block.language == "output":
            assert found, f"{block.place}: output without a block before it"
            assert found[-1].output is None, f"{block.place}: a second output"
            found[-1] = found[-1]._replace(output=block.text)
        else:
            found.append(block)
    return found


def _fenced(page: Path) -> Iterator[Block]:
    lines = iter(enumerate(page.read_text().splitlines(), start=1))
    remarks: dict[str, str] = {}
    for number, line in lines:
        if remark := REMARK.match(line):
            remarks[remark["name"]] = remark["value"]
        elif fence := FENCE.match(line):
            text = []
            for _, inner in lines:
                if inner.startswith("```"):
                    break
                text.append(inner)
            yield Block(page, number, fence["language"], "\n".join(text), remarks)
            remarks = {}
        elif line.strip():
            remarks = {}


def commands_of(block: Block) -> list[tuple[str, str]]:
    """Return the commands of a `console` block, each with its claimed output."""
    commands: list[tuple[str, list[str]]] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            commands.append((line[2:], []))
        else:
            assert commands, f"{block.place}: output before the first command"
            commands[-1][1].append(line)
    return [(command, "\n".join(lines)) for command, lines in commands]


def is_as_claimed(claimed: str, printed: str) -> bool:
    """Return whether the printed output is as claimed."""
    return re.fullmatch(_pattern(_plain(claimed)), _plain(printed), re.DOTALL) is not None


def _plain(text: str) -> str:
    return "\n".join(re.sub(r"[ \t]+", " ", line).strip() for line in text.strip().splitlines())


def _pattern(claimed: str) -> str:
    first, *others = claimed.split("\n")
    pattern = ".*" if first == "…" else _line(first)
    for line in others:  # `…` may stand for no line at all, so its line break belongs to it
        pattern += r"(\n.*)?" if line == "…" else r"\n" + _line(line)
    return pattern


def _line(line: str) -> str:
    pattern, end = "", 0
    for found in re.finditer(rf"…|{MEASURED.pattern}", line):
        kind = next((name for name, value in found.groupdict().items() if value), None)
        pattern += re.escape(line[end : found.start()]) + (MATCHING[kind] if kind else r"[^\n]*")
        end = found.end()
    return pattern + re.escape(line[end:])
