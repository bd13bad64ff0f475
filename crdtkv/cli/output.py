"""The output of the program: tables on standard output, JSON for programs, errors on standard error.

Keys, values and members are text from outside. None of it is markup, and terminal control characters are printed as
escape sequences: in tables, JSON and errors always; in a value that is printed alone, on a terminal.
"""

import math
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from crdtkv.cli import strict_json
from crdtkv.cli.arguments import typed_bytes
from crdtkv.ids import printable

EXIT_NO = 1
EXIT_CALL = 2
EXIT_CLUSTER = 3

_console = Console(highlight=False)
#: In a pipe or file a row is one line of any length; the columns after a wider cell are shifted.
_WIDEST_ALIGNED = 120


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], right: Sequence[str] = ()) -> None:
    """Print a table; numbers, and the columns in `right`, are aligned to the right."""
    content = [list(row) for row in rows]
    cells = [[_cell(value) for value in row] for row in content]
    numeric = [
        name in right or (bool(content) and all(isinstance(row[index], (int, float)) for row in content))
        for index, name in enumerate(columns)
    ]
    if _console.is_terminal:
        _console.print(_rich_table(title, columns, cells, numeric))
        return
    lines = [list(columns), *cells]
    widths = [
        max((width for line in lines if (width := cell_len(line[index])) <= _WIDEST_ALIGNED), default=0)
        for index in range(len(columns))
    ]
    if title:
        say(escaped(title))
    for line in lines:
        padded = [_padded(cell, width, is_right) for cell, width, is_right in zip(line, widths, numeric, strict=True)]
        _write("  ".join(padded).rstrip())


def say(text: str) -> None:
    """Print text, for instance a value; on a terminal without control characters."""
    _write(escaped(text, keeping="\n\t") if sys.stdout.isatty() else text)


def as_json(document: Any) -> None:
    """Print a document for programs: one line of JSON, in ASCII if standard output is not UTF-8."""
    _write(strict_json.dumps(_plain(document), is_ascii=sys.stdout.encoding.lower() not in ("utf-8", "utf8")))


def done(json_output: bool, key: str, text: str) -> None:
    """Report a completed write."""
    if json_output:
        as_json({**named(key), "ok": True})
    else:
        say(text)


def shown(key: str | bytes) -> str:
    """Return a typed or read key as readable text: hexadecimal if it is not printable."""
    return printable(typed_bytes(key))


def named(key: str | bytes, name: str = "key") -> dict[str, str]:
    """Return a typed or read key as fields of a JSON document; different keys have different fields."""
    encoded = typed_bytes(key)
    try:
        return {name: encoded.decode()}
    except UnicodeDecodeError:
        return {name: printable(encoded), f"{name}_hex": encoded.hex()}


def escaped(text: str, keeping: str = "") -> str:
    """Return text without control characters: unprintable characters are escaped as in Python, except `keeping`."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in keeping else ascii(one)[1:-1] for one in text)


def json_text(value: Any) -> str:
    """Return any value as JSON.

    Types that JSON lacks become something readable: bytes hexadecimal, sets sorted lists.
    """
    return strict_json.dumps(_plain(value))


def value_text(value: Any) -> str:
    """Return a value as readable text: text as it is, all else as JSON."""
    return value if isinstance(value, str) else json_text(value)


def member_text(member: Any) -> str:
    """Return a member on one line that names the member if it is typed: text that could be JSON is quoted."""
    if not isinstance(member, str) or not member.isprintable() or not member:
        return json_text(member)
    try:
        strict_json.loads(member)
    except strict_json.NoJson:
        return member
    except strict_json.Lossy:
        pass
    return json_text(member)


def in_order(members: Iterable[Any]) -> list[Any]:
    """Return members in an order that users expect: numbers first, then the others as they are printed."""
    return sorted(members, key=lambda one: (0, one, "") if type(one) in (int, float) else (1, 0, member_text(one)))


def _plain(value: Any) -> Any:
    match value:
        case None | str() | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else {"float": str(value)}
        case bytes() | bytearray():
            return {"bytes": value.hex()}
        case dict():
            return _plain_items(value)
        case set() | frozenset():
            value = in_order(value)
        case list() | tuple():
            pass
        case _:
            return str(value)
    return [_plain(inner) for inner in value]


def _plain_items(mapping: dict[Any, Any]) -> Any:
    named = [(key if isinstance(key, str) else json_text(key), _plain(inner)) for key, inner in mapping.items()]
    plain = dict(named)
    # {1: …, "1": …}: names that are equal in JSON would hide each other.
    return plain if len(plain) == len(named) else [[_plain(key), _plain(inner)] for key, inner in mapping.items()]


def complain(text: str) -> None:
    """Print an error."""
    for line in text.split("\n") if text else ["error"]:
        print(f"crdtkv: {escaped(line)}", file=sys.stderr, flush=True)


def _write(line: str) -> None:
    print(line, flush=True)


def _rich_table(title: str, columns: Sequence[str], rows: list[list[str]], numeric: Sequence[bool]) -> Table:
    """Return a table of `Text`, so that nothing is markup."""
    table = Table(
        title=Text(escaped(title), style="bold") if title else None,
        title_justify="left",
        header_style="bold",
        box=None,
        pad_edge=False,
    )
    for name, is_right in zip(columns, numeric, strict=True):
        table.add_column(name, justify="right" if is_right else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _padded(cell: str, width: int, is_right: bool) -> str:
    room = " " * (width - cell_len(cell))
    return room + cell if is_right else cell + room


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.3f}" if abs(value) < 10 else f"{value:,.1f}"
    if isinstance(value, int):
        return f"{value:,}"
    return escaped(str(value))
