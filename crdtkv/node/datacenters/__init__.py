"""Requests to the nodes of other data centers, over NATS, and what arrives from there.

- `bus_link`: sends messages to the nodes of other data centers.
- `applying`: stores entries of other data centers at a majority of the home replicas.
- `remote_calls`: writes and reads that wait for other data centers. `remote_service` answers them.

Invariant: an answer to another data center leaves only when what it says is durable at enough replicas here. Imported
by `coordinate`, `geo` and the core.
"""
