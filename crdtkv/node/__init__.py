"""The decisions of one node, as pure code: events in, effects out.

The rooms, from the ground up; each imports only from those before it (import-linter checks that):

- `kernel`: events, effects, the step, calls.
- `replica`: the stored entries. `membership`: which nodes are up, and the ring.
- `repair`: anti-entropy. `handoff`: hinted handoff.
- `quorum_calls`: requests to several replicas. `rights`: the rights of bounded counters.
- `coordinate`: clients' requests. `geo`: other data centers. `tombstone_gc`: tombstones. `watch`: watches.
- `enrollment`: how a node becomes a member that counts in quorums.
- `dispatch` routes messages to them, `status` reports on them, and `core` composes them.
"""
