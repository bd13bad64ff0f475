"""The code blocks of a Markdown page, and what counts as the output that a page claims.

A ` ```console ` block holds commands behind `$ ` and what they print. A ` ```python ` block may be followed by an
` ```output ` block. A comment before a block says more of it: `<!-- needs: nats -->` names a program that it runs,
`<!-- excerpt: crdtkv/crdt/number.py -->` a file that contains it.

In what is claimed, `…` stands for anything, alone on a line for any lines. Runs of blanks are one blank. What differs from
run to run (durations, ages, times, hexadecimal numbers) matches anything of its kind.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FENCE = re.compile(r"^```(?P<language>\w*)\s*$")
REMARK = re.compile(r"^<!-- (?P<name>needs|excerpt): (?P<value>\S+) -->$")
EXECUTED = ("python", "console")

#: What is measured or drawn, and what matches it: the page shows one such value, a run another.
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
    """A code block of a page; `output` is what the next block says that it prints, None if none does."""

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
            assert found and found[-1].output is None, f"{block.place}: the output of nothing"
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
    """Return the commands of a `console` block, each with what it is said to print."""
    commands: list[tuple[str, list[str]]] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            commands.append((line[2:], []))
        else:
            assert commands, f"{block.place}: output before the first command"
            commands[-1][1].append(line)
    return [(command, "\n".join(lines)) for command, lines in commands]


def is_as_claimed(claimed: str, printed: str) -> bool:
    """Tell whether a page is right about what was printed."""
    return re.fullmatch(_pattern(_plain(claimed)), _plain(printed), re.DOTALL) is not None


def _plain(text: str) -> str:
    return "\n".join(re.sub(r"[ \t]+", " ", line).strip() for line in text.strip().splitlines())


def _pattern(claimed: str) -> str:
    parts = []
    for line in claimed.split("\n"):
        # The line break before a line that stands for any lines may be all there is of it.
        parts.append(r"(\n.*)?" if line == "…" and parts else r".*" if line == "…" else r"\n" * bool(parts) + _line(line))
    return "".join(parts)


def _line(line: str) -> str:
    pattern, end = "", 0
    for found in re.finditer(rf"…|{MEASURED.pattern}", line):
        kind = found.lastgroup if found[0] != "…" else None
        named = next((name for name, value in found.groupdict().items() if value), None)
        assert kind is None or named is not None
        pattern += re.escape(line[end : found.start()]) + (MATCHING[named] if named else r"[^\n]*")
        end = found.end()
    return pattern + re.escape(line[end:])
