"""NATS: streams between data centers, and the bucket of the topology document. The only package that imports nats.

- `connection`: a permanent connection, and checks of the server. `home`: the NATS of this data center (stream, topology
  bucket). `remote`: the NATS of another data center (this one's consumer there).

Invariant: this package does not interpret messages; it passes payloads to and from the core as bytes. Imported by the
server only.
"""
