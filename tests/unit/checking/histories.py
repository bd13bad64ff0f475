"""Small histories, written down by hand: one line a call."""

from typing import Any

from crdtkv.checking.history import Context, Operation
from crdtkv.checking.verdict import judge


def put(value: str, began: float, dot: str | None, **more: Any) -> Operation:
    return _write("put", value, began, dot, **more)


def delete(began: float, dot: str | None, **more: Any) -> Operation:
    return _write("delete", None, began, dot, **more)


def increment(amount: int, began: float, dot: str | None, **more: Any) -> Operation:
    return _write("increment", amount, began, dot, **{"type": "counter", **more})


def get(values: list[Any], began: float, context: Context, **more: Any) -> Operation:
    return _read("get", values, began, context, **more)


def scan(values: list[Any], began: float, context: Context, **more: Any) -> Operation:
    return _read("scan", values, began, context, **more)


def final(values: list[Any], context: Context, **more: Any) -> Operation:
    return _read("final", values, 1000.0, context, **{"level": "LOCAL_ALL", "reads": 3, **more})


def broken(*history: Operation, lost_disks: int = 0) -> list[str]:
    """Return the invariants that a history breaks, each once."""
    return sorted({violation.invariant for violation in judge(history, lost_disks)})


def _write(kind: str, argument: Any, began: float, dot: str | None, **more: Any) -> Operation:
    """A write at W=2 of 3 that took a second; a dot `a1` is the first of actor a, None is one of unknown fate."""
    given = {"datacenter": "eu", "type": "register", "reads": 2, "writes": 2, "replicas": 3, **more}
    given.setdefault("outcome", "ok" if dot else "info")
    if dot:
        given.setdefault("timestamp", int(began) + 1)
    ended = given.pop("ended", began + 1)
    return Operation(
        client="c",
        kind=kind,
        key="k",
        argument=argument,
        began=began,
        ended=ended,
        dot=(dot[0], int(dot[1:])) if dot else None,
        **given,
    )


def _read(kind: str, values: list[Any], began: float, context: Context, **more: Any) -> Operation:
    given = {"datacenter": "eu", "type": "register", "reads": 2, "replicas": 3, **more}
    return Operation(
        client="c",
        kind=kind,
        key="k",
        began=began,
        ended=given.pop("ended", began + 1),
        outcome="ok",
        values=values,
        context=context,
        **given,
    )
