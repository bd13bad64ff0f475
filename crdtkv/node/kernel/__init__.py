"""What every part of a node stands on: events, effects, the current step, the cluster as this node sees it, calls.

- `events`, `effects`: the two ends of `NodeCore.handle`. `world`, `group_commit`: how hosts carry effects out, and
  when it may release what a step held.
- `kernel`: the three things that each part is given: the view of the cluster (`cluster_view`, with the nodes that
  answer for a key now, `responsibles`), the current step (`step`), the requests in flight (`calls`).
- `keys`, `requester`, `stats`: checked keys, the client of a request, counters.

Invariant: nothing here reads a clock, a disk or a socket, and nothing here decides for the store.
Imported by all rooms of the node, and by its hosts.
"""
