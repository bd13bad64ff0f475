"""Command line arguments as values: JSON, or else plain text."""

import math
import os
from collections.abc import Callable
from typing import Any

import typer

from crdtkv.cli import strict_json
from crdtkv.crdt.number import Number, is_number
from crdtkv.crdt.registry import type_named
from crdtkv.errors import InvalidRequest


def typed_bytes(typed: str | bytes) -> bytes:
    """Return the bytes of a key or prefix on the command line, UTF-8 or not."""
    return os.fsencode(typed)


def key_of(typed: str | None) -> str | bytes | None:
    """Return the typed key or prefix: text, or bytes if it is not UTF-8."""
    if typed is None:
        return None
    encoded = typed_bytes(typed)
    try:
        return encoded.decode()
    except UnicodeDecodeError:
        return encoded


def seconds(least: float, most: int, is_least_taken: bool = True) -> Callable[[typer.CallbackParam, Any], Any]:
    """Return a callback that checks an option in seconds."""

    def check(option: typer.CallbackParam, value: float | None) -> float | None:
        return value if value is None else checked_seconds(option.opts[0], value, least, most, is_least_taken)

    return check


def checked_seconds(option: str, value: float, least: float, most: int, is_least_taken: bool = True) -> float:
    """Return a number of seconds.

    Raises:
        InvalidRequest: it is out of these bounds, or not finite.
    """
    if least < value <= most or (is_least_taken and value == least):
        return value
    lower = f"from {least:g}" if is_least_taken else f"above {least:g}"
    raise InvalidRequest(f"{option} takes seconds, {lower} and up to {most:,}, not {value:g}")


def no_nan(value: float | None) -> float | None:
    """Return a bound.

    Raises:
        InvalidRequest: it is NaN.
    """
    if value is not None and math.isnan(value):
        raise InvalidRequest("a bound is a number, which nan is not")
    return value


def parsed_value(text: str, as_text: bool = False) -> Any:
    """Return a value: that of the JSON, or the text itself if it is no JSON or `as_text`.

    Raises:
        InvalidRequest: a part of the JSON cannot be represented.
    """
    if as_text:
        return text
    try:
        return strict_json.loads(text)
    except strict_json.NoJson:
        return text
    except strict_json.Lossy as error:
        raise InvalidRequest(f"{error}: change it, or pass it as text (--text)") from None


def parsed_member(text: str, as_text: bool = False) -> Any:
    """Return a member of a set or board: a value, with lists turned into tuples, which can be members.

    Raises:
        InvalidRequest: it is or contains a JSON object.
    """
    return _as_tuple(parsed_value(text, as_text))


def parsed_number(text: str) -> Number:
    """Return a number.

    Raises:
        InvalidRequest: it is no finite number of 64 bits.
    """
    number = parsed_value(text)
    if not is_number(number):
        raise InvalidRequest(f"a number is a whole one below 2**63 or a finite floating-point one, not {text!r:.40}")
    return number


def only_for(verb: str, type_tag: str, types: tuple[str, ...]) -> None:
    """Check that a verb supports a type.

    Raises:
        InvalidRequest: it does not, or there is no such type.
    """
    type_named(type_tag)
    if type_tag not in types:
        raise InvalidRequest(f"{verb} is for {either(types)}, not for {type_tag}: choose with --type")


def either(names: tuple[str, ...]) -> str:
    """Return names as an enumeration: `a, b or c`."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def _as_tuple(value: Any) -> Any:
    if isinstance(value, dict):
        raise InvalidRequest("a JSON object cannot be a member: use a list, or its text (--text)")
    return tuple(_as_tuple(inner) for inner in value) if isinstance(value, list) else value
