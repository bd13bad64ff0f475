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


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], right: Sequence[str] = ()) -> None:
    """Print a table; numbers, and the columns named so, are aligned to the right."""
    content = [list(row) for row in rows]
    shown = Table(
        title=title or None, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False
    )
    for index, name in enumerate(columns):
        numeric = name in right or (bool(content) and all(isinstance(row[index], (int, float)) for row in content))
        shown.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in content:
        shown.add_row(*(_cell(value) for value in row))
    _console.print(shown)


def say(text: str) -> None:
    """Print a line of plain text."""
    print(text, flush=True)


def as_json(document: Any) -> None:
    """Print a document for programs: one line of JSON."""
    print(json_text(document), flush=True)


def done(json_output: bool, key: str, text: str) -> None:
    """Tell that a write is done."""
    if json_output:
        as_json({"key": key, "ok": True})
    else:
        say(text)


def json_text(value: Any) -> str:
    """Return any value as JSON. What JSON lacks becomes something readable: bytes hexadecimal, sets sorted lists."""
    return json.dumps(_plain(value), default=str, ensure_ascii=False)


def value_text(value: Any) -> str:
    """Return a value as people read it: text as it is, all else as JSON."""
    return value if isinstance(value, str) else json_text(value)


def member_text(member: Any) -> str:
    """Return a member on one line, such that typing the line names the member: text that JSON could be is quoted."""
    if not isinstance(member, str) or not member.isprintable() or not member:
        return json_text(member)
    try:
        json.loads(member)
    except ValueError:
        return member
    return json_text(member)


def in_order(members: Iterable[Any]) -> list[Any]:
    """Return members in an order people expect: numbers first, then the others as they are shown."""
    return sorted(members, key=lambda one: (0, one, "") if type(one) in (int, float) else (1, 0, member_text(one)))


def _plain(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray)):
        return {"bytes": value.hex()}
    if isinstance(value, dict):
        return {key if isinstance(key, str) else json_text(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (set, frozenset)):
        return [_plain(member) for member in in_order(value)]
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value


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
