"""Damage to decoded wire data, whatever its shape: every copy of a nested list in which one place was changed.

A parser that trusts nothing refuses a damaged copy, or it is one of the other things its own side might have written.
"""

from collections.abc import Iterator

from crdtkv import cbor


def damaged(wire: object) -> Iterator[object]:
    """Yield copies of `wire` with one item changed, dropped, doubled or swapped with its neighbor."""
    if isinstance(wire, list):
        for index, item in enumerate(wire):
            head, tail = wire[:index], wire[index + 1 :]
            yield from ([*head, other, *tail] for other in damaged(item))
            yield [*head, *tail]
            yield [*head, item, item, *tail]
            if tail:
                yield [*head, tail[0], item, *tail[1:]]
        yield [*wire, 0]
    yield from others(wire)


def others(item: object) -> Iterator[object]:
    """Yield items in place of `item`: of every other type, and of its own type near or past the limits."""
    for other in (None, True, False, -1, 0, 2**63, 2**64 - 1, 1.0, "", "x" * 200, b"", [], [[]], {}):
        if type(other) is not type(item) or other != item:
            yield other
    if type(item) is int:
        yield item + 1
        yield float(item)


def padded(wire: object) -> bytes:
    """Encode lists, numbers, strings, bytes and None as valid CBOR that is longer than it need be (floats as it is)."""
    if wire is None or isinstance(wire, float):
        return cbor.encode(wire)
    if isinstance(wire, int):
        return _head(0, wire) if wire >= 0 else _head(1, -1 - wire)
    if isinstance(wire, bytes):
        return _head(2, len(wire)) + wire
    if isinstance(wire, str):
        return _head(3, len(wire.encode())) + wire.encode()
    assert isinstance(wire, list)
    return _head(4, len(wire)) + b"".join(padded(item) for item in wire)


def _head(major: int, argument: int) -> bytes:
    return bytes([major << 5 | 27]) + argument.to_bytes(8, "big")
