"""What the program prints: tables for people on standard output, JSON for programs, complaints on standard error."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

EXIT_NO = 1
EXIT_CALL = 2
EXIT_CLUSTER = 3

# Into a pipe or file, lines are as long as they need to be.
_console = Console(soft_wrap=False, highlight=False)
if not _console.is_terminal:
    _console.width = 240


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; numbers are aligned to the right."""
    content = [list(row) for row in rows]
    shown = Table(
        title=title or None, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False
    )
    for index, name in enumerate(columns):
        numeric = bool(content) and all(isinstance(row[index], (int, float)) for row in content)
        shown.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in content:
        shown.add_row(*(_cell(value) for value in row))
    _console.print(shown)


def say(text: str) -> None:
    """Print a line of plain text."""
    print(text, flush=True)


def as_json(document: Any) -> None:
    """Print a document for programs: one line of JSON."""
    print(json.dumps(document, default=jsonable, ensure_ascii=False), flush=True)


def jsonable(value: Any) -> Any:
    """Turn what JSON lacks into something readable: bytes become hexadecimal, sets lists, the rest its text."""
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=repr)
    return str(value)


def complain(text: str) -> None:
    """Print an error."""
    for line in text.splitlines() or ["error"]:
        print(f"crdtkv: {line}", file=sys.stderr, flush=True)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.3f}" if abs(value) < 10 else f"{value:,.1f}"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)
