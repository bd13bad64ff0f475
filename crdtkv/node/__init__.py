"""The decisions of one node, as pure code: events in, effects out.

The rooms, from the ground up; each imports only from those before it (import-linter checks that):

- `kernel`: events, effects, the step, calls.
- `replica`: what is stored here. `membership`: which nodes are up, and the ring.
- `repair`: anti-entropy. `handoff`: hinted handoff.
- `quorum_calls`: requests to several replicas. `rights`: the rights of bounded counters.
- `coordinate`: clients' requests. `geo`: other data centers. `tombstone_gc`: tombstones. `watch`: watches.
- `enrollment`: how a node comes to count.
- `dispatch` brings messages to them, `status` shows them, and `core` composes them.
"""
