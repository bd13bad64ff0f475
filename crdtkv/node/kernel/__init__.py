"""What every part of a node stands on: events, effects, the current step, the cluster as this node sees it, calls.

- `events`, `effects`: the two ends of `NodeCore.handle`.
- `step`: the time, the effects so far, and who answers for a key now (`seats`).
- `calls`: the requests in flight, their timers and deadlines.
- `keys`, `requester`, `stats`: checked keys, the client of a request, counters.

Invariant: nothing here reads a clock, a disk or a socket, and nothing here decides for the store.
Imported by all rooms of the node, and by its hosts.
"""
