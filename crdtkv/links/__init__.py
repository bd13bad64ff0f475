"""TCP links of one data center, between nodes and from clients to nodes, on one port.

- `link`: frames over one connection, with handshake, limits and deadlines. `dialer`: keeps a link to a node.
- `probe`: reads which node listens at an address. `room`: the shared memory bound of connections.

Invariant: before the handshake is done a peer costs 4 KiB at most. Imported by the server, the client and the CLI.
"""
