"""The base of every part of a node: events, effects, the current step, the view of the cluster, calls.

- `events`, `effects`: the input and the output of `NodeCore.handle`. `world`, `group_commit`: how hosts carry out
  effects, and when they may release held effects.
- `kernel`: the three objects that every part gets: the view of the cluster (`cluster_view`, with the responsible
  replicas of a key, `responsible`), the current step (`step`), the requests in flight (`calls`).
- `keys`, `requester`, `stats`: checked keys, the client of a request, counters.

Invariant: nothing here reads a clock, a disk or a socket, and nothing here decides for the store. All rooms of the node
and its hosts import it.
"""
