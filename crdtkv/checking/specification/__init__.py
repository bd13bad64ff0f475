"""The meaning of each value type, specified without its data structures: a value is a function of a set of operations.

An operation has the set of operations that it had *seen* (`operation`); a `View` is the set of operations that a
replica or a reader has seen, at one hybrid time, for expiries. `types.SPECIFICATIONS` defines for every type what such
a view shows. The laws compare this with the types themselves, and the checker of simulated runs (`checking.specified`)
with everything a client has read.
"""
