"""Quorum arithmetic: consistency levels, the tally, and the bookkeeping of a quorum read.

- `level`: levels and their counts. `tally`: the only quorum arithmetic. `read_call`: answers, spares, merged result.

Invariant: each replica counts once, and a reached tally stays reached. Pure. Imported by the node, the client and the
simulator.
"""
