"""Dots: the unique, permanent name of one operation.

A dot is an actor and that actor's counter *for one key*. Every mutation gets one: also a delete, and also a replica's
own decision to drop an older version. So a causal context is exactly the set of operations seen, state is a function of
that set, and equal contexts mean equal bytes.

Source: Preguiça et al., "Dotted Version Vectors" (2012); Almeida, Shoker, Baquero, "Delta State Replicated Data Types"
(2018), section 7.
"""

from typing import NamedTuple

from crdtkv.ids import Actor


class Dot(NamedTuple):
    """One operation: the `counter`-th (from 1) of `actor` on a key."""

    actor: Actor
    counter: int

    def __repr__(self) -> str:
        return f"{self.actor}:{self.counter}"
