"""What each value type means, said once more without its data structures: a value is a function of a set of operations.

An operation is told with what it had *seen* when it happened (`operation`); a `View` is what operations a replica or
a reader has seen, at one hybrid time, for what expires. `types.SPECIFICATIONS` says of every type what such a view
shows. The laws run this against the types themselves, and the judge of simulated lives (`checking.specified`) against
everything a client was ever shown.
"""
