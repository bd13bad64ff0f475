"""Which nodes of this data center are up, and which ring they use.

- `gossip`, `table`, `member`: heartbeats of all nodes, spread by push and pull.
- `detector`: the phi-accrual failure detector. `membership`: links, gossip and detector together say who is alive.
- `ring_follower`: the newest topology document that this node has seen, from NATS or from a link.
- `load_meter`: the load figures that gossip carries.

Invariant: membership decides where requests go, never what they mean: no quorum shrinks because a node is down.
Imported by dispatch, the selection of replicas, and the core.
"""
