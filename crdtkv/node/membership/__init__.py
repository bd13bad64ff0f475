"""Which nodes of this data center are up, and which ring they use.

- `gossip`, `table`, `member`: heartbeats of all nodes, spread by push and pull.
- `detector`: the failure detector, by the time since a heartbeat grew. `membership`: combines links, gossip and
  detector into the set of live nodes.
- `ring_follower`: adopts the newest topology document that this node has seen, from NATS or from a link.
- `load_meter`: the load figures that gossip carries.

Invariant: membership decides where requests are sent, never their quorum: no quorum shrinks because a node is down.
Imported by dispatch, the selection of replicas, and the core.
"""
