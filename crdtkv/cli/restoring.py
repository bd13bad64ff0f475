"""Makes a key equal to its record, and writes only the differences.

Registers, sets, flags, counters, boards and maps are then equal to the record, except for concurrent writes of other
clients, which are kept. Types that only grow (gset, maxreg, minreg) are joined with the current value. A sketch (hll)
can only be compared: no operation writes one, so one that is not contained already is left out.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from crdtkv import cbor
from crdtkv.cli.records import (
    Record,
    check_record,
    expiry_in,
    fields_in,
    flag_in,
    members_in,
    name_in,
    number_in,
    scores_in,
    sketch_in,
    type_in,
    values_in,
    whole_in,
)
from crdtkv.client.bucket import Bucket
from crdtkv.client.codecs import CBOR
from crdtkv.client.entry import ReadContext
from crdtkv.client.values import element_value, values_of
from crdtkv.crdt.hll import REGISTERS, registers_of
from crdtkv.crdt.map import Field
from crdtkv.crdt.number import rank
from crdtkv.ids import key_bytes

#: The number of members that are added or removed with one request.
MEMBERS_AT_ONCE = 1000


class Restored(NamedTuple):
    """Whether anything was written, and how many sketches were left out."""

    has_written: bool
    left_out: int


async def restore(bucket: Bucket[Any], record: Record) -> Restored:
    """Make a key equal to a record; an expired record writes nothing.

    Raises:
        InvalidRequest: it is no record.
        CrdtkvError: a read or a write failed. Parts of the record may be written; a second call writes the rest.
    """
    check_record(record)
    handle = bucket.of_type(type_in(record), name_in(record))
    expires_at_s = expiry_in(record)
    ttl = expires_at_s - time.time() if expires_at_s is not None else None
    if ttl is not None and ttl <= 0:
        return Restored(False, 0)
    present = await handle.entry()
    work = _Restoring(present.context, ttl)
    has_written = await work.bring(handle, present.state, record)
    return Restored(has_written, work.left_out)


class _Restoring:
    """The restoring of one key. All methods take a handle, the current state (or None) and the record."""

    def __init__(self, context: ReadContext, ttl: float | None) -> None:
        self._context = context
        self._ttl = ttl
        self.left_out = 0
        self._by_type: dict[str, Callable[[Any, Any, Record], Awaitable[bool]]] = {
            "register": self._values,
            "lww": self._values,
            "counter": self._counter,
            "bcounter": self._bounded_counter,
            "set": self._members,
            "rwset": self._members,
            "gset": self._members,
            "flag": self._flag,
            "dwflag": self._flag,
            "maxreg": self._number,
            "minreg": self._number,
            "hll": self._sketch,
            "board": self._scores,
            "map": self._fields,
        }

    async def bring(self, handle: Any, state: Any, record: Record) -> bool:
        """Write the differences; return whether there are any."""
        return await self._by_type[type_in(record)](handle, state, record)

    async def _values(self, handle: Any, state: Any, record: Record) -> bool:
        wanted = values_in(record)
        present = [cbor.encode_value(value) for value in values_of(state)] if state is not None else []
        if set(wanted) == set(present):
            return False
        context = self._context if type_in(record) == "register" else None
        for value in reversed(wanted):  # the winner last, so that it has the highest timestamp
            await handle.put(cbor.decode_value(value), context=context, ttl=self._ttl)
        return True

    async def _counter(self, handle: Any, state: Any, record: Record) -> bool:
        is_there, difference = _compared(state, record)
        if difference or not is_there:  # an increment of 0 creates the counter
            await handle.increment(difference, ttl=self._ttl)
        return bool(difference) or not is_there

    async def _bounded_counter(self, handle: Any, state: Any, record: Record) -> bool:
        is_there, difference = _compared(state, record)
        if difference or not is_there:
            await (handle.decrement(-difference) if difference < 0 else handle.increment(difference))
        return bool(difference) or not is_there

    async def _members(self, handle: Any, state: Any, record: Record) -> bool:
        wanted, present = members_in(record), state.members if state is not None else []
        missing = [element_value(member, CBOR) for member in wanted if member not in set(present)]
        extra = [element_value(member, CBOR) for member in present if member not in set(wanted)]
        if type_in(record) == "gset":
            extra = []
        for start in range(0, len(missing), MEMBERS_AT_ONCE):
            await handle.add(*missing[start : start + MEMBERS_AT_ONCE], ttl=self._ttl)
        for start in range(0, len(extra), MEMBERS_AT_ONCE):
            await handle.remove(*extra[start : start + MEMBERS_AT_ONCE], context=self._context)
        return bool(missing or extra)

    async def _flag(self, handle: Any, state: Any, record: Record) -> bool:
        wanted = flag_in(record)
        if wanted == (state is not None and state.is_on):
            return False
        await (handle.enable(ttl=self._ttl) if wanted else handle.disable(context=self._context))
        return True

    async def _number(self, handle: Any, state: Any, record: Record) -> bool:
        wanted, present = number_in(record), state.joined if state is not None else None
        if present is not None and (present >= wanted if type_in(record) == "maxreg" else present <= wanted):
            return False
        await handle.set(wanted, ttl=self._ttl)
        return True

    async def _sketch(self, handle: Any, state: Any, record: Record) -> bool:
        wanted = registers_of(sketch_in(record))
        joined = state.joined if state is not None else None
        present = registers_of(joined) if joined is not None else bytes(REGISTERS)
        if any(more > have for more, have in zip(wanted, present, strict=True)):
            self.left_out += 1
        return False

    async def _scores(self, handle: Any, state: Any, record: Record) -> bool:
        wanted, present = scores_in(record), dict(state.ranking()) if state is not None else {}
        differing = {
            member: score
            for member, score in wanted.items()
            if member not in present or rank(present[member]) != rank(score)  # 3 and 3.0 are two numbers
        }
        extra = present.keys() - wanted.keys()
        for member, score in differing.items():
            await handle.set(element_value(member, CBOR), score, ttl=self._ttl)
        for member in sorted(extra):
            await handle.remove(element_value(member, CBOR))
        return bool(differing or extra)

    async def _fields(self, handle: Any, state: Any, record: Record) -> bool:
        has_written = False
        present = dict(state.shown()) if state is not None else {}
        for inner in fields_in(record):
            type_tag, name = type_in(inner), key_bytes(name_in(inner, "field"))
            there = present.pop(Field(type_tag, name), None)
            has_written |= await self.bring(handle.of_type(type_tag, name), there, inner)
        for type_tag, name in present:
            await handle.of_type(type_tag, name).delete()
        return has_written or bool(present)


def _compared(state: Any, record: Record) -> tuple[bool, int]:
    """Return whether a counter exists, and the difference to its record."""
    is_there = state is not None and not state.is_empty
    return is_there, whole_in(record) - (state.value if is_there else 0)
