"""Strict JSON without loss: the format that the program reads and writes.

Python's own reader accepts `NaN`, takes the last of two equal names, and turns a large number into infinity.
"""

import json
import math
from typing import Any, NoReturn


class NoJson(ValueError):
    """The text is no JSON."""


class Lossy(ValueError):
    """The text is JSON, or nearly so, but its content cannot be represented."""


def loads(text: str) -> Any:
    """Return the content of a JSON text.

    Raises:
        NoJson: it is no JSON.
        Lossy: a name occurs twice in one object, a number is too large, or it is nested too deeply.
    """
    lost: list[str] = []

    def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            lost.append(f"the name {json.dumps(twice)[:80]} is there twice in one object")
        return found

    def number_of(digits: str) -> float:
        number = float(digits)
        if math.isinf(number):
            lost.append(f"the number {digits:.40} is too large")
        return number

    try:
        found = json.loads(text, object_pairs_hook=object_of, parse_float=number_of, parse_constant=_refuse)
    except RecursionError:
        raise Lossy("it is nested too deeply") from None
    except ValueError as error:
        raise NoJson(str(error)) from None
    if lost:
        raise Lossy(lost[0])
    return found


def dumps(document: Any, sort_keys: bool = False, is_ascii: bool = False) -> str:
    r"""Return plain data as JSON on one line; unprintable characters are written as `\u…`.

    Raises:
        ValueError: a number is not finite.
    """
    text = json.dumps(document, ensure_ascii=is_ascii, allow_nan=False, sort_keys=sort_keys)
    if text.isprintable():
        return text
    # Outside of strings there is nothing but printable ASCII.
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in text)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
