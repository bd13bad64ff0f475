"""Is the history of one register linearizable? The plain answer, by search, for a dozen or two calls.

It applies the definition directly: take any call that no other open call ended before, let it take effect, continue
with the rest; a history is linearizable if this ends with every call done. Values need not be unique. A write of
unknown outcome (`ended` is `math.inf`) never blocks another call and need not be done at the end.

The search is by Wing and Gong ("Testing and Verifying Concurrent Objects", Journal of Parallel and Distributed
Computing 17, 1993); the cache of visited states is by Lowe ("Testing for Linearizability", Concurrency and Computation
29(4), 2017). A state is the set of open calls and the register's value, so the cost may double with every call that is
concurrent with all others. `linearizability` is for long histories; this module checks it.
"""

import math
from collections.abc import Hashable, Iterable, Iterator
from typing import NamedTuple

from crdtkv.checking.linearizability import Access


class _State(NamedTuple):
    """The calls that have not taken effect, by their position in the history, and the value of the register."""

    pending: frozenset[int]
    value: Hashable


def is_linearizable(accesses: Iterable[Access]) -> bool:
    """Return whether the calls can take effect one by one, each between its beginning and its end."""
    history = tuple(accesses)
    start = _State(frozenset(range(len(history))), None)
    seen = {start}
    stack = [start]
    while stack:
        state = stack.pop()
        if all(_may_be_left_out(history[place]) for place in state.pending):
            return True
        fresh = set(_successors(history, state)) - seen
        seen |= fresh
        stack.extend(fresh)
    return False


def _may_be_left_out(access: Access) -> bool:
    return access.kind == "write" and access.ended == math.inf


def _successors(history: tuple[Access, ...], state: _State) -> Iterator[_State]:
    """Let each call take effect that may be next: no pending call ended before it began."""
    first_end = min(history[place].ended for place in state.pending)
    for place in state.pending:
        access = history[place]
        may_be_next = access.began <= first_end
        if may_be_next and (access.kind == "write" or access.value == state.value):
            yield _State(state.pending - {place}, access.value)
